"""What each command does, prints and gives as JSON, beside a running service and without one."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import asyncpg
import httpx
import pytest

from storecredit.cli import additions, options
from storecredit.cli import credits as credits_commands
from storecredit.ledger.credits import AMOUNT_MAX
from storecredit.ledger.outcomes import AdditionType, StoreMovementType
from tests.e2e.conftest import Serving, Storecredit, processes_naming, storecredit_in, until
from tests.web.doors import IMAGE, bearer
from tests.web.users import JWT_SECRET, TRPC, token_of

API = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_bytes())
TOKEN = "operator"
CREATE = (
    *("store", "create", "--name", "Häts [b]", "--shop-domain", "hats.example"),
    *("--tier", "growth", "--credits", 5, "--origin", "https://Hats.example:443/", "--json"),
)


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, prepared_data_dir: Path
) -> Iterator[Storecredit]:
    """The command beside a running service; stores of one test are in the way of no other."""
    with storecredit_in(tmp_path_factory.mktemp("running"), prepared_data_dir) as command:
        command.serve(STORECREDIT_ADMIN_TOKEN=TOKEN, STORECREDIT_JWT_SECRET=JWT_SECRET)
        yield command


@pytest.fixture(scope="module")
def serving(running: Storecredit) -> Serving:
    return running.started[0]


@pytest.fixture
def store(serving: Serving) -> dict[str, Any]:
    """A store with 5 credits and a key."""
    return serving.made_store(TOKEN, credits=5)


def fields(view: str) -> set[str]:
    """The field names of an answer of the HTTP API, as it is documented."""
    return set(API["components"]["schemas"][view]["properties"])


def balance_over_http(serving: Serving, key: str) -> httpx.Response:
    return httpx.get(
        f"{serving.url}/api/v1/credits/balance", headers={"Authorization": f"Bearer {key}"}
    )


def test_store_create_makes_a_store_and_a_key_that_works(
    running: Storecredit, serving: Serving
) -> None:
    store = running(*CREATE).json()
    assert set(store) == fields("StoreMade")
    assert (store["name"], store["tier"], store["balance"]) == ("Häts [b]", "growth", 5)
    assert store["created_at"].endswith("Z")
    answer = balance_over_http(serving, store["api_key"])
    assert answer.json()["data"] == {"balance": 5, "total_purchased": 5, "total_spent": 0}


def test_store_create_says_in_text_that_the_key_is_shown_once(running: Storecredit) -> None:
    done = running("store", "create", "--name", "Shoes", "--shop-domain", "shoes.example")
    assert done.status == 0
    assert re.search(r"^api_key +sc_live_\w{36}$", done.output, re.MULTILINE)
    assert re.search(r"^balance +0$", done.output, re.MULTILINE)
    assert "only time" in done.errors


def test_store_list_and_show_print_stores_with_their_credits(
    running: Storecredit, serving: Serving, store: dict[str, Any]
) -> None:
    newest = serving.made_store(TOKEN, name="New")
    shown = running("store", "show", store["store_id"], "--json").json()
    assert set(shown) == fields("StoreView")
    assert shown == {name: store[name] for name in shown}

    page = running("store", "list", "--limit", 1, "--json").json()
    assert set(page) == fields("StoreList")
    assert [each["store_id"] for each in page["items"]] == [newest["store_id"]]
    assert page["next_cursor"] == newest["store_id"]
    rest = running("store", "list", "--cursor", page["next_cursor"])
    assert newest["store_id"] not in rest.output
    (row,) = [line for line in rest.output.splitlines() if store["store_id"] in line]
    assert {"Hats", "active", "5"} <= set(row.split())


def test_store_update_changes_what_is_given_and_nothing_else(
    running: Storecredit, store: dict[str, Any]
) -> None:
    update = ("store", "update", store["store_id"])
    moved = running(*update, "--tier", "growth", "--json").json()
    assert set(moved) == fields("StoreView")
    assert moved == {name: store[name] for name in moved} | {
        "tier": "growth",
        "updated_at": moved["updated_at"],
    }
    address = "https://caps.example/"
    renamed = running(*update, "--name", "Caps", "--shop-domain", address, "--json").json()
    assert (renamed["name"], renamed["shop_domain"]) == ("Caps", "caps.example")
    assert (renamed["tier"], renamed["balance"]) == ("growth", 5)

    assert "--shop-domain" in running(*update).sentence(2)
    assert "such as `hats.example`" in running(*update, "--shop-domain", "Hats & Co").sentence(2)
    refused = running(*update, "--name", "Berets", "--tier", "gold").sentence(2)
    for each in ("'gold'", "default", "growth", "Nothing was changed"):
        assert each in refused
    assert running("store", "show", store["store_id"], "--json").json() == renamed
    unknown = running("store", "update", store["key_id"], "--name", "x")
    assert "There is no store" in unknown.sentence()


def test_store_suspend_and_resume_switch_its_keys(
    running: Storecredit, serving: Serving, store: dict[str, Any]
) -> None:
    suspended = running("store", "suspend", store["store_id"], "--json").json()
    assert suspended["status"] == "suspended"
    assert set(suspended) == fields("StoreView")
    assert running("store", "resume", store["store_id"], "--json").json()["status"] == "active"
    assert balance_over_http(serving, store["api_key"]).status_code == 200


def test_key_create_makes_a_key_with_all_that_was_asked_for(
    running: Storecredit, serving: Serving, store: dict[str, Any]
) -> None:
    done = running(
        *("key", "create", store["store_id"], "--label", "seller", "--expires-at", "2999-01-31"),
        *("--origin", "https://b.example", "--origin", "http://a.example:80", "--json"),
    )
    made = done.json()
    assert set(made) == fields("KeyMade")
    assert made["allowed_origins"] == ["http://a.example", "https://b.example"]
    assert (made["label"], made["expires_at"]) == ("seller", "2999-01-31T00:00:00Z")
    assert balance_over_http(serving, made["api_key"]).status_code == 200
    assert "only time" in done.errors

    listed = running("key", "list", store["store_id"], "--json").json()
    assert set(listed) == fields("KeyList")
    newest, first = listed["items"]
    assert newest == {name: value for name, value in made.items() if name != "api_key"}
    table = running("key", "list", store["store_id"]).output
    assert made["key_id"] in table
    assert first["key_id"] in table
    assert made["api_key"] not in table


def test_key_update_replaces_the_origins_of_a_key_that_goes_on_working(
    running: Storecredit, serving: Serving, store: dict[str, Any]
) -> None:
    key = (store["store_id"], store["key_id"])
    changed = running(
        *("key", "update", *key, "--origin", "https://A.example:443/", "--label", "web", "--json")
    ).json()
    assert set(changed) == fields("KeyView")
    assert (changed["label"], changed["allowed_origins"]) == ("web", ["https://a.example"])
    kept = running("key", "update", *key, "--label", "seller", "--json").json()
    assert kept["allowed_origins"] == ["https://a.example"]
    assert running("key", "update", *key, "--no-origins", "--json").json()["allowed_origins"] == []
    assert balance_over_http(serving, store["api_key"]).status_code == 200

    assert "--no-origins" in running("key", "update", *key).sentence(2)
    both = ("--origin", "https://a.example", "--no-origins")
    assert "not both" in running("key", "update", *key, *both).sentence(2)
    unknown = running("key", "update", key[0], key[0], "--label", "x")
    assert "that still works" in unknown.sentence()


def test_key_rotate_and_revoke_stop_the_old_key(
    running: Storecredit, serving: Serving, store: dict[str, Any]
) -> None:
    store_id, old_id = store["store_id"], store["key_id"]
    new = running("key", "rotate", store_id, old_id, "--grace-seconds", 600, "--json").json()
    assert set(new) == fields("KeyMade")
    for each in (store, new):
        assert balance_over_http(serving, each["api_key"]).status_code == 200

    revoked = running("key", "revoke", store_id, old_id, "--json").json()
    assert revoked == {"key_id": old_id, "revoked": True}
    assert set(revoked) == fields("KeyRevoked")
    assert "that still works" in running("key", "rotate", store_id, old_id).sentence()
    assert balance_over_http(serving, new["api_key"]).status_code == 200


def test_credits_are_added_once_per_request_id(running: Storecredit, store: dict[str, Any]) -> None:
    store_id = store["store_id"]
    order = ("--type", "purchase", "--request-id", "order-7", "--description", "Invoice 7")

    added = running("credits", "add", store_id, 20, *order, "--json").json()
    assert added == {"added": True, "balance": 25, "request_id": "order-7"}
    assert set(added) == fields("CreditsAdded")
    again = running("credits", "add", store_id, 20, *order, "--request-id", " order-7 ")
    assert again.status == 0
    assert "already added" in again.output
    assert "nothing changed" in again.output
    assert "Nothing was added" in running("credits", "add", store_id, 21, *order).sentence()
    granted = running("credits", "add", store_id, 1)
    assert re.search(r"request id req_[0-9a-f-]{36}\.", granted.output)

    balance = running("credits", "balance", store_id, "--json").json()
    never_left_out = ("total_clawed_back", "total_expired", "total_removed", "held")
    operators: dict[str, Any] = dict.fromkeys((*never_left_out, "overage_used", "overage_limit"), 0)
    operators |= {"expiring": []}
    assert balance == {"balance": 26, "total_purchased": 26, "total_spent": 0, **operators}
    assert set(balance) == fields("BalanceView") | set(operators)


def test_credits_history_shows_the_ledger_newest_first(
    running: Storecredit, serving: Serving, store: dict[str, Any]
) -> None:
    store_id = store["store_id"]
    for request_id in ("one", "two"):
        httpx.post(
            f"{serving.url}/api/admin/stores/{store_id}/credits",
            json={"amount": 1, "type": "purchase", "request_id": request_id},
            headers={"Authorization": f"Bearer {TOKEN}"},
        ).raise_for_status()

    page = running("credits", "history", store_id, "--limit", 1)
    assert "two" in page.output
    assert "--cursor 3" in page.errors
    rest = running(
        *("credits", "history", store_id, "--cursor", 3, "--type", "purchase", "--json")
    ).json()
    assert set(rest) == fields("OperatorTransactionPage")
    (one,) = rest["items"]
    assert set(one) == fields("OperatorTransaction")
    assert (one["seq"], one["request_id"], one["balance_after"]) == (2, "one", 6)
    none = running("credits", "history", store_id, "--request-id", "three")
    assert (none.status, none.output) == (0, "")
    assert "no such movements" in none.errors


def test_user_erase_deletes_the_results_beside_it_and_stops_the_user(
    running: Storecredit, serving: Serving
) -> None:
    user_id = uuid4()
    results = running.data_dir / "results" / str(user_id)
    with httpx.Client(base_url=f"{serving.url}{TRPC}", headers=bearer(token_of(user_id))) as app:
        create = {"json": {"modelImageUrl": IMAGE}}
        assert app.post("/generation.create", json=create).status_code == 200
        until(lambda: list(results.glob("*.png")) != [], "the result is there")
        until(lambda: '"completed":1' in app.get("/generation.getStats").text, "it is completed")
        erased = running("user", "erase", user_id, "--json")
        assert (erased.json()["status"], erased.errors) == ("erased", "")
        assert list(results.glob("*")) == []
        until(lambda: app.get("/credits.getBalance").status_code == 403, "the user is stopped")
    assert running("verify").status == 0


async def test_verify_is_clean_until_a_balance_is_tampered_with(
    new_storecredit: Storecredit, database_url: str, admin: asyncpg.Connection
) -> None:
    where = ("--database-url", database_url)
    store_id = new_storecredit(*CREATE, *where).json()["store_id"]
    clean = new_storecredit("verify", *where)
    assert (clean.status, clean.errors) == (0, "")
    assert "Stores: 1, movements: 1," in clean.output
    assert "End users: 0, movements: 0," in clean.output
    assert "All of it agrees" in clean.output

    await admin.execute("UPDATE movements SET balance_after = balance_after + 1")

    found = new_storecredit("verify", *where)
    assert found.status == 1
    assert store_id in found.output
    in_json = new_storecredit("verify", "--json", *where)
    assert in_json.status == 1
    report = json.loads(in_json.output)
    assert set(report) == fields("Verification")
    assert not report["clean"]
    assert {each["store_id"] for each in report["discrepancies"]} == {store_id}
    assert set(report["discrepancies"][0]) == fields("DiscrepancyView")


async def test_verify_names_an_end_user_whose_credits_were_tampered_with(
    new_storecredit: Storecredit, database_url: str, admin: asyncpg.Connection
) -> None:
    user_id = uuid4()
    await admin.execute("SELECT ensure_user($1, 10)", user_id)
    await admin.execute("UPDATE movements SET seq = 2")

    found = new_storecredit("verify", "--database-url", database_url)

    assert found.status == 1
    assert "End users: 1, movements: 1," in found.output
    assert re.search(rf"seq_gap +– +{user_id} ", found.output)


def test_without_a_running_service_commands_start_postgresql_and_stop_it(
    storecredit: Storecredit,
) -> None:
    store_id = storecredit(*CREATE).json()["store_id"]
    assert processes_naming(storecredit.data_dir) == []
    assert re.match(r"balance +5\n", storecredit("credits", "balance", store_id).output)
    assert processes_naming(storecredit.data_dir) == []


def test_migrate_makes_a_database_and_then_has_nothing_to_do(
    new_storecredit: Storecredit,
) -> None:
    made = new_storecredit("migrate")
    assert made.status == 0
    assert made.output.startswith("Applied 0001_ledger, ")
    again = new_storecredit("migrate")
    assert (again.status, again.errors) == (0, "")
    assert "nothing was to do" in again.output


def test_demo_makes_a_store_each_time_and_prints_the_lines_to_try(
    running: Storecredit, serving: Serving
) -> None:
    first = running("demo", "--json", STORECREDIT_PORT="18080").json()
    assert set(first) == fields("StoreMade") | {"lines"}
    assert (first["name"], first["tier"], first["balance"]) == ("Demo", "scale", 100)
    assert "API=http://127.0.0.1:18080/api/v1\n" in first["lines"]
    assert first["api_key"] in first["lines"]
    second = running("demo", STORECREDIT_RATE_LIMITS='{"default": [50, 500]}')
    assert second.status == 0
    # Nothing says otherwise: it is where the service serves.
    assert f"API={serving.url}/api/v1\n" in second.output
    assert first["store_id"] not in second.output


def test_the_choices_are_those_of_the_ledger() -> None:
    assert set(get_args(additions.AdditionName)) == {each.value for each in AdditionType}
    assert set(get_args(credits_commands.MovementName)) == {
        each.value for each in StoreMovementType
    }
    assert options.CREDITS_MAX == AMOUNT_MAX


def test_version_and_help_need_no_settings(new_storecredit: Storecredit) -> None:
    version = new_storecredit("--version", STORECREDIT_PORT="none")
    assert re.fullmatch(r"storecredit \d+\.\d+\.\d+\n", version.output)
    shown = new_storecredit("--help", STORECREDIT_PORT="none")
    for command in ("serve", "worker", "migrate", "store", "key", "credits", "verify", "demo"):
        assert re.search(rf"\b{command}\b", shown.output)
