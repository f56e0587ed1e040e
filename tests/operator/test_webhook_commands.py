"""`storecredit webhook`: endpoints of the operator's own and of a store's."""

import asyncio
import json
from base64 import b64decode
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.e2e.in_process import InProcess

URL = "https://ops.example/hooks"
UNKNOWN = UUID(int=7)


@pytest.fixture
def store(command: InProcess) -> str:
    """A store's id; people call it Hats."""
    made = command(
        *("store", "create", "--name", "Hats", "--shop-domain", "hats.example"), "--json"
    )
    store_id: str = made.json()["store_id"]
    return store_id


def answer(command: InProcess, *words: object) -> dict[str, Any]:
    found: dict[str, Any] = command("webhook", *words, "--json").json()
    return found


def test_an_endpoint_is_made_changed_and_deleted(command: InProcess, store: str) -> None:
    of = ("--store", "hats")
    done = command("webhook", "create", URL, "--type", "credits.low", *of, "--json")
    made = done.json()
    assert "only time the secret is shown" in done.errors
    assert len(b64decode(made["secret"].removeprefix("whsec_"), validate=True)) == 32
    id_, secret = made["endpoint_id"], made.pop("secret")
    assert made["store_id"] == store
    assert (made["url"], made["event_types"]) == (URL, ["credits.low"])
    assert answer(command, "list", *of) == {"items": [made]}
    assert answer(command, "show", id_, *of) == made

    changes = ("--type", "*", "--description", "ops", "--ordered", "--url", f"{URL}/2")
    changed = answer(command, "update", id_, *changes, *of)
    assert (changed["event_types"], changed["description"]) == (["*"], "ops")
    assert (changed["ordered"], changed["url"]) == (True, f"{URL}/2")
    assert answer(command, "update", id_, "--not-ordered", *of)["ordered"] is False
    rotated = answer(command, "rotate", id_, "--overlap-seconds", 0, *of)
    assert rotated["secret"] != secret
    assert rotated["previous_expires_at"] is not None
    assert answer(command, "disable", id_, *of)["disabled_reason"] == "requested"
    assert "enabled" not in command("webhook", "list", *of).output
    assert answer(command, "enable", id_, *of)["status"] == "enabled"
    assert answer(command, "delete", id_, *of)["deleted"] is True
    assert answer(command, "list", *of) == {"items": []}
    assert "webhook create" in command("webhook", "list", *of).errors


def test_whose_endpoint_it_is_decides_where_it_is_found(command: InProcess, store: str) -> None:
    made = answer(command, "create", URL)
    own = made["endpoint_id"]
    assert made["store_id"] is None
    of_store = answer(command, "create", URL, "--store", store)["endpoint_id"]
    for words in (("show", of_store), ("show", own, "--store", store), ("test", UNKNOWN)):
        refused = command("webhook", *words)
        assert refused.status == 1
        assert "has no endpoint" in refused.errors
    for each in ("rotate", "disable", "delete", "deliveries"):
        assert command("webhook", each, of_store).status == 1
    assert [each["endpoint_id"] for each in answer(command, "list")["items"]] == [own]
    nobody = command("webhook", "list", "--store", "nobody")
    assert nobody.status == 1
    assert "There is no store nobody" in nobody.errors


WRONG: tuple[tuple[tuple[object, ...], str], ...] = (
    (("create", "http://ops.example/"), "needs an https URL"),
    (("create", "http://127.0.0.1:9000/"), "With STORECREDIT_ALLOW_PRIVATE_HOSTS=1"),
    (("create", "https://127.0.0.1/"), "private or local"),
    (("create", URL, "--type", "credit.low"), "there is no event 'credit.low'"),
    (("create", URL, "--store", "hats", "--type", "verify.failed"), "the operator alone"),
    (("update", UNKNOWN), "Give what to change"),
    (("resend", UNKNOWN), "Give an event or --since"),
    (("resend", UNKNOWN, "evt_1"), "evt_ and 32 digits"),
    (("resend", UNKNOWN, UNKNOWN, "--status", "failed"), "--status goes with --since"),
    (("deliveries", UNKNOWN, UNKNOWN, "--status", "failed"), "not both"),
)


def test_what_makes_no_sense_is_said_in_a_sentence(command: InProcess, store: str) -> None:
    for words, said in WRONG:
        refused = command("webhook", *words)
        assert refused.status == 2, words
        assert said in " ".join(refused.errors.replace("│", " ").split())
    hopeless = command("webhook", "create", "ftp://127.0.0.1/")
    assert "ALLOW_PRIVATE" not in hopeless.errors, "no setting would help"
    assert answer(command, "list") == answer(command, "list", "--store", store) == {"items": []}


def test_no_more_endpoints_than_there_may_be(command: InProcess, database_url: str) -> None:
    async def make_ten() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute(
            """INSERT INTO storecredit.webhook_endpoints (endpoint_id, account_id, url, event_types)
               SELECT gen_random_uuid(), 0, $1, '{*}' FROM generate_series(1, 10)""",
            URL,
        )
        await connection.close()

    asyncio.run(make_ten())
    refused = command("webhook", "create", URL)
    assert refused.status == 1
    assert "There are 10 endpoints" in refused.errors
    assert refused.output == ""


def test_what_a_store_was_told_is_listed_shown_and_sent_again(
    command: InProcess, store: str
) -> None:
    id_ = answer(command, "create", URL, "--store", store)["endpoint_id"]
    for _ in range(3):
        command("key", "create", store)
    of = (id_, "--store", "hats")
    first = answer(command, "deliveries", *of, "--type", "key.created", "--limit", 2)
    rest = answer(command, "deliveries", *of, "--cursor", first["next_cursor"])
    items = [*first["items"], *rest["items"]]
    assert [each["type"] for each in items] == ["key.created"] * 3
    assert answer(command, "deliveries", *of, "--status", "failed")["items"] == []
    event_id = items[0]["event_id"]
    assert event_id in command("webhook", "deliveries", *of).output
    one = answer(command, "deliveries", id_, event_id, "--store", "hats")
    body = json.loads(one.pop("body"))
    assert (body["type"], body["data"]["store_id"]) == ("key.created", store)
    assert one == items[0] | {"attempted": []}
    assert answer(command, "resend", id_, event_id, "--store", "hats") == {"resent": 1}
    assert answer(command, "resend", *of, "--since", "2020-01-01") == {"resent": 0}
    unknown = command("webhook", "resend", id_, UNKNOWN, "--store", "hats")
    assert unknown.status == 1
    assert "not to be told of this event" in unknown.errors
    answer(command, "disable", *of)
    for words in (("test", *of), ("resend", *of, "--since", "2020-01-01")):
        refused = command("webhook", *words)
        assert refused.status == 1
        assert "is disabled. Nothing was sent" in refused.errors


def test_at_how_many_credits_a_balance_is_low(command: InProcess, store: str) -> None:
    def threshold(*words: object) -> object:
        return command("store", *words, "--json").json()["low_threshold"]

    assert threshold("show", store) is None
    assert threshold("update", "hats", "--low-threshold", 25) == 25
    assert threshold("update", "hats", "--tier", "growth") == 25
    assert threshold("update", "hats", "--low-threshold", 0) == 0
    assert threshold("update", "hats", "--low-threshold", "default") is None
    for wrong in ("-1", "ten", 1_000_000_001):
        assert command("store", "update", "hats", "--low-threshold", wrong).status == 2
