"""`storecredit migrate --buckets` on a service that runs, and what is told of buckets."""

import httpx

from tests.e2e.conftest import Storecredit, until
from tests.e2e.page_commands import Page
from tests.e2e.steady_creates import Client

OPERATOR = "operator-token-of-a-test"


async def test_a_service_at_work_takes_new_buckets_up_by_itself(
    new_storecredit: Storecredit, empty_url: str
) -> None:
    where = {"STORECREDIT_DATABASE_URL": empty_url}
    serving = new_storecredit.serve("--migrate", STORECREDIT_ADMIN_TOKEN=OPERATOR, **where)
    made = serving.made_store(OPERATOR, tier="unlimited", credits=10_000)
    client = Client(serving.url, made["api_key"])
    with client.creating():
        until(lambda: len(client.done) > 1, "generations are made")
        told = new_storecredit("migrate", "--buckets", 3, "--json", **where).json()
        assert (told["changed"], told["buckets"], told["applied"]) == (True, 3, [])
        (sentence,) = told["notes"]
        assert sentence.startswith("The database has 3 buckets now, and had 1.")
        assert serving.await_event("buckets_taken_up")["buckets"] == 3
        until(lambda: len(serving.events("serving")) > 1, "the service serves again")
        client.await_more(2)
    assert httpx.get(f"{serving.url}/health/ready").status_code == 200
    assert serving.stop() == 0


def test_buckets_are_refused_that_cannot_be(new_storecredit: Storecredit, empty_url: str) -> None:
    where = {"STORECREDIT_DATABASE_URL": empty_url}
    new = new_storecredit("migrate", "--buckets", 2, **where)
    assert new.status == 0
    assert "The database has 2 buckets.\n" in new.output
    fewer = new_storecredit("migrate", "--buckets", 1, **where).sentence()
    assert "The database has 2 buckets, and none of them is ever taken away" in fewer
    many = new_storecredit("migrate", "--buckets", 2_000, **where).sentence()
    assert "at most 1000 buckets" in many
    crowd = new_storecredit("migrate", "--buckets", 900, **where).sentence()
    assert "each process may take 16 for each bucket: there is room for " in crowd
    found = new_storecredit("bucket", "list", "--json", **where).json()["buckets"]
    assert len(found) == 2
    assert new_storecredit("migrate", "--buckets", 0, **where).status == 2


def test_buckets_are_listed_and_looked_into(new_storecredit: Storecredit, empty_url: str) -> None:
    where = {"STORECREDIT_DATABASE_URL": empty_url}
    assert new_storecredit("migrate", "--buckets", 2, **where).status == 0
    for number in range(12):
        made = (
            "store",
            "create",
            "--name",
            "S",
            "--shop-domain",
            f"s{number}.example",
            "--credits",
            5,
        )
        assert new_storecredit(*made, **where).status == 0
    found = new_storecredit("bucket", "list", "--json", **where).json()["buckets"]
    assert [(each["number"], each["schema"], each["node"]) for each in found] == [
        (0, "storecredit", None),
        (1, "storecredit_1", None),
    ]
    assert sum(each["owners"] for each in found) == 12
    # What nobody has counted yet is not told as none.
    assert all(each["bytes"] > 0 and each["movements"] != 0 for each in found)
    listed = new_storecredit("bucket", "list", **where).output
    assert "storecredit_1" in listed
    assert "here" in listed
    seen = new_storecredit(
        *("psql", "--bucket", 1, "--tuples-only", "--no-align"),
        *("-c", "SELECT count(*) FROM stores"),
        **where,
    )
    assert seen.output == f"{found[1]['owners']}\n"


def test_the_page_makes_buckets_and_lists_them(
    new_storecredit: Storecredit, empty_url: str
) -> None:
    lines = Page("docs/scaling.md").block("storecredit migrate").splitlines()
    done = [
        new_storecredit(*line.split()[1:], STORECREDIT_DATABASE_URL=empty_url) for line in lines
    ]
    assert [each.status for each in done] == [0, 0]
    assert "The database has 4 buckets.\n" in done[0].output
    assert "storecredit_3" in done[1].output


def test_on_one_node_nothing_can_be_moved(new_storecredit: Storecredit, empty_url: str) -> None:
    where = {"STORECREDIT_DATABASE_URL": empty_url}
    for command in (("move", 1, "--to", "other:5432"), ("rebalance",)):
        told = new_storecredit("bucket", *command, **where).sentence()
        assert told.startswith("Error: There is one node, which has all buckets: ")
        told = new_storecredit("bucket", *command).sentence(2)
        assert told.startswith("Error: The embedded database is one node, which has all buckets: ")
    told = new_storecredit("bucket", "move", 1, "--to", "other", **where).sentence(2)
    assert told == "Error: --to other is no HOST:PORT."
