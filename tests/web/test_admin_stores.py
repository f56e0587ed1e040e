"""`/api/admin/stores` and `/api/admin/stores/{store_id}`."""

import asyncio
from datetime import datetime
from typing import Any

import asyncpg

from storecredit.stores.api_keys import is_well_formed
from tests.web.checklist import (
    UNKNOWN,
    assert_bad_queries_are_refused,
    assert_only_the_operator_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.doors import REVOCATION_SECONDS, Operator, StoreClient, data_of, error_of
from tests.web.table_rows import Rows

VIEW = {
    "store_id",
    "name",
    "shop_domain",
    "tier",
    "status",
    "balance",
    "total_purchased",
    "total_spent",
    "total_clawed_back",
    "total_expired",
    "total_removed",
    "held",
    "expiring",
    "overage_used",
    "overage_limit",
    "low_threshold",
    "created_at",
    "updated_at",
}


async def test_a_store_is_made_with_its_credits_and_first_key(
    operator: Operator, rows: Rows, admin: asyncpg.Connection
) -> None:
    answer = await operator.send(
        "POST",
        "/stores",
        headers={"X-Request-Id": "signup-1"},
        json={
            "name": "Hats & Co",
            "shop_domain": "hats.example",
            "tier": "unlimited",
            "credits": 25,
            "allowed_origins": ["https://hats.example"],
        },
    )
    data = data_of(answer, 201)
    assert set(data) == VIEW | {"api_key", "key_id"}
    address = answer.headers["location"]
    assert address == f"/api/admin/stores/{data['store_id']}"
    assert data_of(await operator.get(address.removeprefix("/api/admin")))["name"] == "Hats & Co"
    assert data["name"] == "Hats & Co"
    assert data["shop_domain"] == "hats.example"
    assert (data["tier"], data["status"]) == ("unlimited", "active")
    assert (data["balance"], data["total_purchased"], data["total_spent"]) == (25, 25, 0)
    assert data["created_at"] == data["updated_at"]
    assert data["created_at"].endswith("Z")
    assert is_well_formed(data["api_key"])

    [opening] = await rows.ledger(data["store_id"])
    assert (opening["type"], opening["amount"], opening["balance_after"]) == ("grant", 25, 25)
    assert opening["request_id"] == "signup-1"
    store = StoreClient(operator.http, data["store_id"], data["key_id"], data["api_key"])
    assert await store.balance() == 25
    kept = await admin.fetchrow("SELECT * FROM store_api_keys WHERE key_id = $1", data["key_id"])
    assert kept is not None
    assert data["api_key"] not in str(dict(kept)), "of the key only its hash is kept"


async def test_a_store_needs_no_more_than_a_name_and_a_domain(
    operator: Operator, rows: Rows
) -> None:
    data = data_of(await operator.post("/stores", name="A", shop_domain="a.example"), 201)
    assert (data["tier"], data["balance"]) == ("default", 0)
    assert await rows.ledger(data["store_id"]) == []
    assert (await rows.credits(data["store_id"]))["balance"] == 0


async def test_of_an_address_the_domain_is_kept(operator: Operator) -> None:
    made = data_of(
        await operator.post("/stores", name="A", shop_domain="https://Hats.Example/"), 201
    )
    assert made["shop_domain"] == "Hats.Example"
    path = f"/stores/{made['store_id']}"
    changed = data_of(await operator.patch(path, shop_domain="shoes.example:8443/cart"))
    assert changed["shop_domain"] == "shoes.example"


async def test_what_is_no_domain_is_refused_with_what_to_write(operator: Operator) -> None:
    answer = await operator.post("/stores", name="A", shop_domain="Hats & Co")
    [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
    assert detail["key"] == "shop_domain"
    assert "such as `hats.example`" in detail["message"]


async def test_a_store_that_cannot_be_is_refused_and_nothing_is_made(
    operator: Operator, rows: Rows
) -> None:
    before = await rows.counts()
    valid = {"name": "A", "shop_domain": "a.example"}
    for change in (
        {"name": None},
        {"name": ""},
        {"name": "n" * 201},
        {"name": "a\0b"},
        {"shop_domain": ""},
        {"shop_domain": "d" * 254},
        {"shop_domain": "Hats & Co"},
        {"shop_domain": "ann@hats.example"},
        {"tier": ""},
        {"tier": "t" * 51},
        {"tier": "tihgt"},
        {"credits": -1},
        {"credits": 1.5},
        {"credits": "seven"},
        {"credits": True},
        {"credits": 10**9 + 1},
        {"credits": 10**30},
        {"allowed_origins": "https://a.example"},
        {"allowed_origins": ["a.example"]},
        {"allowed_origins": ["https://a.example/path"]},
        {"allowed_origins": ["*"]},
        {"allowed_origins": ["null"]},
        {"allowed_origins": [f"https://a{n}.example" for n in range(101)]},
    ):
        answer = await operator.post("/stores", **(valid | change))
        assert answer.status_code == 400, f"{change}: {answer.text}"
        error_of(answer, 400, "VALIDATION_ERROR")
    for missing in ({"name": "A"}, {"shop_domain": "a.example"}, {}):
        error_of(await operator.post("/stores", **missing), 400, "VALIDATION_ERROR")
    error_of(await operator.send("POST", "/stores"), 400, "VALIDATION_ERROR")
    assert await rows.counts() == before


async def test_stores_are_listed_newest_first_in_pages(operator: Operator) -> None:
    assert data_of(await operator.get("/stores")) == {"items": [], "next_cursor": None}
    made = [(await operator.store(credits=credits)).store_id for credits in (1, 2, 3)]
    first = data_of(await operator.get("/stores", limit=2))
    second = data_of(await operator.get("/stores", limit=2, cursor=first["next_cursor"]))
    assert second["next_cursor"] is None
    items = first["items"] + second["items"]
    assert [item["store_id"] for item in items] == made[::-1]
    assert [item["balance"] for item in items] == [3, 2, 1]
    assert all(set(item) == VIEW | {"days_left"} for item in items), "no key is shown again"
    await assert_bad_queries_are_refused(
        operator, "/stores", "limit=0", "limit=101", "cursor=garbage", "cursor="
    )


async def test_a_store_is_read_with_what_it_has_now(operator: Operator) -> None:
    store = await operator.store(credits=5)
    await store.created()
    data = data_of(await operator.get(f"/stores/{store.store_id}"))
    assert set(data) == VIEW
    assert (data["balance"], data["total_purchased"], data["total_spent"]) == (4, 5, 1)


async def test_what_is_given_is_changed_and_the_rest_stays(operator: Operator) -> None:
    store = await operator.store(name="Before")
    path = f"/stores/{store.store_id}"
    before = data_of(await operator.get(path))
    data = data_of(await operator.patch(path, name="After", tier="tight"))
    changed = {"name": "After", "tier": "tight", "updated_at": data["updated_at"]}
    assert data == before | changed
    assert datetime.fromisoformat(data["updated_at"]) > datetime.fromisoformat(before["updated_at"])
    assert data == data_of(await operator.get(path))
    assert data_of(await operator.patch(path, shop_domain="new.example"))["tier"] == "tight"


async def test_a_suspended_store_is_locked_out_and_resumed_unharmed(operator: Operator) -> None:
    store = await operator.store()
    path = f"/stores/{store.store_id}"
    assert data_of(await operator.patch(path, status="suspended"))["status"] == "suspended"
    error_of(await store.create(), 403, "STORE_SUSPENDED")
    assert data_of(await operator.get(path))["balance"] == 100
    assert data_of(await operator.patch(path, status="active"))["status"] == "active"
    # A store that has just been asked for is heard to be active after a moment.
    await asyncio.sleep(REVOCATION_SECONDS)
    assert await store.balance() == 100


async def test_a_change_that_cannot_be_is_refused(operator: Operator) -> None:
    store = await operator.store()
    path = f"/stores/{store.store_id}"
    before = data_of(await operator.get(path))
    for change in (
        {"status": "deleted"},
        {"status": ""},
        {"name": ""},
        {"name": 7},
        {"tier": "t" * 51},
        {"tier": "tihgt"},
        {"shop_domain": "a\0b"},
        {"shop_domain": "https://"},
    ):
        answer = await operator.patch(path, **change)
        assert answer.status_code == 400, f"{change}: {answer.text}"
        error_of(answer, 400, "VALIDATION_ERROR")
    assert data_of(await operator.get(path)) == before


async def test_credits_cannot_be_changed_through_the_store(operator: Operator) -> None:
    store = await operator.store()
    answer = await operator.patch(f"/stores/{store.store_id}", balance=10**6, total_purchased=10**6)
    error_of(answer, 400, "VALIDATION_ERROR")
    assert await store.balance() == 100


async def test_a_store_that_does_not_exist_is_not_found(operator: Operator) -> None:
    for unknown in (UNKNOWN, "7", "%00"):
        path = f"/stores/{unknown}"
        error_of(await operator.get(path), 404, "NOT_FOUND")
        error_of(await operator.patch(path, name="A"), 404, "NOT_FOUND")
        error_of(await operator.get(f"{path}/transactions"), 404, "NOT_FOUND")
        error_of(await operator.get(f"{path}/generations"), 404, "NOT_FOUND")


def as_the_store(page: dict[str, Any]) -> dict[str, Any]:
    """The page without what is for the operator alone."""
    own = {"generator_message", "actor"}
    items = [{k: v for k, v in item.items() if k not in own} for item in page["items"]]
    return page | {"items": items}


async def test_the_operator_reads_a_stores_lists_as_the_store_does(operator: Operator) -> None:
    store, other = await operator.store(), await operator.store()
    for _ in range(3):
        await store.created(metadata={"cart": "c"})
    await other.created()
    for path, own in (
        ("transactions", "/api/v1/credits/transactions"),
        ("generations", "/api/v1/generations"),
    ):
        page = data_of(await operator.get(f"/stores/{store.store_id}/{path}", limit=2))
        assert as_the_store(page) == data_of(await store.get(own, limit=2))
        rest = data_of(
            await operator.get(f"/stores/{store.store_id}/{path}", cursor=page["next_cursor"])
        )
        assert as_the_store(rest) == data_of(await store.get(own, cursor=page["next_cursor"]))
    deductions = await operator.get(f"/stores/{store.store_id}/transactions", type_="deduction")
    assert len(data_of(deductions)["items"]) == 3
    queued = await operator.get(f"/stores/{store.store_id}/generations", status="queued")
    assert len(data_of(queued)["items"]) == 3
    await assert_bad_queries_are_refused(
        operator, f"/stores/{store.store_id}/transactions", "type=theft", "request_id=%00"
    )
    await assert_bad_queries_are_refused(
        operator, f"/stores/{store.store_id}/generations", "status=done", "limit=0"
    )


async def test_only_the_operator_is_let_in(operator: Operator) -> None:
    store = f"/stores/{UNKNOWN}"
    await assert_only_the_operator_is_let_in(operator, "POST", "/stores")
    for path in ("/stores", store, f"{store}/transactions", f"{store}/generations"):
        await assert_only_the_operator_is_let_in(operator, "GET", path)
    await assert_only_the_operator_is_let_in(operator, "PATCH", store)


async def test_other_methods_are_refused(operator: Operator) -> None:
    await assert_other_methods_are_refused(operator, "/stores", "GET", "POST")
    await assert_other_methods_are_refused(operator, f"/stores/{UNKNOWN}", "GET", "PATCH")
    await assert_other_methods_are_refused(operator, f"/stores/{UNKNOWN}/transactions", "GET")
