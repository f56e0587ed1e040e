"""`GET /api/v1/credits/transactions`."""

from datetime import datetime, timedelta
from typing import Any

import asyncpg

from tests.web.checklist import (
    assert_bad_queries_are_refused,
    assert_only_a_working_key_is_let_in,
    assert_other_methods_are_refused,
    assert_reads_are_limited,
)
from tests.web.conftest import WorkerStarter
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.table_rows import Rows, in_bucket_of

PATH = "/api/v1/credits/transactions"
FIELDS = [
    "seq",
    "type",
    "amount",
    "balance_after",
    "request_id",
    "session_id",
    "description",
    "created_at",
]


async def items(store: StoreClient, **query: Any) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = data_of(await store.get(PATH, **query))["items"]
    return listed


async def listed(store: StoreClient, query: str) -> list[dict[str, Any]]:
    """As `items`, of a query as it stands in the address."""
    found: list[dict[str, Any]] = data_of(await store.send("GET", f"{PATH}?{query}"))["items"]
    return found


def operator_of(store: StoreClient) -> Operator:
    return Operator(store.http)


async def seqs(store: StoreClient, **query: Any) -> list[int]:
    return [item["seq"] for item in await items(store, **query)]


async def test_the_ledger_is_told_newest_first_as_it_stands(
    store: StoreClient, worker: WorkerStarter, rows: Rows
) -> None:
    session_id = await store.created("order-1", prompt="forbidden")
    async with worker():
        await store.ended(session_id)
    data = data_of(await store.get(PATH))
    assert data["next_cursor"] is None
    refund, deduction, grant = data["items"]
    assert list(refund) == FIELDS
    assert (refund["type"], refund["amount"], refund["balance_after"]) == ("refund", 1, 100)
    assert (deduction["type"], deduction["amount"]) == ("deduction", 1)
    assert deduction["balance_after"] == 99
    assert refund["request_id"] == deduction["request_id"] == "order-1"
    assert refund["session_id"] == deduction["session_id"] == session_id
    assert (grant["type"], grant["amount"], grant["session_id"]) == ("grant", 100, None)
    assert datetime.fromisoformat(refund["created_at"]).utcoffset() == timedelta(0)
    assert refund["created_at"].endswith("Z")
    told = [{name: item[name] for name in FIELDS[:6]} for item in data["items"]]
    assert told == (await rows.ledger(store.store_id))[::-1]


async def test_the_balance_is_told_where_the_page_begins_with_the_newest_movement(
    store: StoreClient, operator: Operator
) -> None:
    for _ in range(2):
        await store.created()
    first = await store.get(PATH, limit=2)
    assert first.headers["x-credits-remaining"] == "98"
    empty = await operator.store(credits=0)
    assert (await empty.get(PATH)).headers["x-credits-remaining"] == "0"
    for wanted in ({"cursor": data_of(first)["next_cursor"]}, {"type_": "grant"}):
        assert "x-credits-remaining" not in (await store.get(PATH, **wanted)).headers


async def test_pages_follow_each_other_without_gap_or_repetition(store: StoreClient) -> None:
    for _ in range(4):
        await store.created()
    first = data_of(await store.get(PATH, limit=3))
    second = data_of(await store.get(PATH, limit=3, cursor=first["next_cursor"]))
    assert [item["seq"] for item in first["items"]] == [5, 4, 3]
    assert [item["seq"] for item in second["items"]] == [2, 1]
    assert second["next_cursor"] is None


async def test_it_can_be_filtered_by_type_and_request_id(store: StoreClient) -> None:
    for request_id in ("order-1", "order-2"):
        await store.created(request_id)
    assert await seqs(store, type_="grant") == [1]
    assert await seqs(store, type_="deduction") == [3, 2]
    assert await seqs(store, type_="refund") == []
    assert await seqs(store, request_id="order-1") == [2]
    assert await seqs(store, request_id="order") == []
    assert await seqs(store, request_id="order-1", type_="grant") == []


async def test_it_can_be_filtered_by_time_from_inclusive_to_exclusive(store: StoreClient) -> None:
    for request_id in ("order-1", "order-2"):
        await store.created(request_id)
    [moment] = [item["created_at"] for item in await items(store, request_id="order-1")]
    assert await seqs(store, from_=moment) == [3, 2]
    assert await seqs(store, to=moment) == [1]
    assert await seqs(store, from_=moment, to=moment) == []
    assert await seqs(store, from_="2000-01-01T00:00:00Z") == [3, 2, 1]
    assert await seqs(store, to="2000-01-01T00:00:00Z") == []
    in_india = datetime.fromisoformat(moment) + timedelta(hours=5, minutes=30)
    assert await seqs(store, to=f"{in_india:%Y-%m-%dT%H:%M:%S.%f}+05:30") == [1]


async def test_a_time_without_an_offset_is_utc(store: StoreClient) -> None:
    await store.created("order-1")
    [moment] = [item["created_at"] for item in await items(store, request_id="order-1")]
    assert await seqs(store, from_=moment.removesuffix("Z")) == [2]
    assert await seqs(store, to=moment.removesuffix("Z")) == [1]


async def test_a_day_is_a_whole_day_of_utc(store: StoreClient, admin: asyncpg.Connection) -> None:
    for request_id in ("order-1", "order-2", "order-3"):
        await store.created(request_id)
    days = (
        "2026-11-27 12:00",
        "2026-11-28 00:00",
        "2026-11-28 23:59:59.999999",
        "2026-11-29 00:00",
    )
    await in_bucket_of(admin, store.store_id)
    for seq, moment in enumerate(days, start=1):
        await admin.execute(
            "UPDATE movements SET created_at = $2::text::timestamptz"
            " WHERE account_id = account_of('store', $1) AND seq = $3",
            store.store_id,
            f"{moment}+00",
            seq,
        )
    day = "2026-11-28"
    assert await seqs(store, from_=day, to=day) == [3, 2]
    assert await seqs(store, from_=day) == [4, 3, 2]
    assert await seqs(store, to=day) == [3, 2, 1]
    assert await seqs(store, from_="2026-11-28T00:00:00.000001", to=day) == [3]
    assert await seqs(store, to="2026-11-28T24:00") == [3, 2, 1]
    assert await seqs(store, from_=f"{day}+05:30", to=f"{day}+05:30") == [2]
    assert await seqs(store, from_="2026-11-30", to="9999-12-31") == []
    by_operator = await operator_of(store).get(
        f"/stores/{store.store_id}/transactions", from_=day, to=day
    )
    assert [item["seq"] for item in data_of(by_operator)["items"]] == [3, 2]


async def test_a_plus_sign_that_was_not_encoded_is_a_plus_sign(store: StoreClient) -> None:
    await store.created("order-1")
    [moment] = [item["created_at"] for item in await items(store, request_id="order-1")]
    in_india = datetime.fromisoformat(moment) + timedelta(hours=5, minutes=30)
    for offset in ("+05:30", "+0530", "%2B05:30", "%2b0530"):
        query = f"from={in_india:%Y-%m-%dT%H:%M:%S.%f}{offset}"
        assert [item["seq"] for item in await listed(store, query)] == [2], query


async def test_a_time_that_ends_before_it_begins_is_refused(store: StoreClient) -> None:
    for from_, to in (
        ("2026-11-29", "2026-11-28"),
        ("2026-11-29T12:00Z", "2026-11-29T11:59Z"),
        ("2026-11-29T12:00-05:00", "2026-11-29T12:00Z"),
    ):
        answer = await store.get(PATH, from_=from_, to=to)
        [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert (detail["key"], detail["source"]) == ("to", "query")
    assert await seqs(store, from_="2026-11-29T12:00", to="2026-11-29T12:00") == []


async def test_another_stores_movements_are_absent_whatever_is_asked_for(
    operator: Operator,
) -> None:
    one, other = await operator.store(credits=10), await operator.store(credits=20)
    await one.created("order-1")
    assert [item["amount"] for item in await items(other)] == [20]
    assert await items(other, request_id="order-1") == []


async def test_bad_queries_are_refused(store: StoreClient) -> None:
    await assert_bad_queries_are_refused(
        store,
        PATH,
        "type=theft",
        "type=",
        "request_id=%00",
        "request_id=" + "r" * 201,
        "from=yesterday",
        "from=2026-01",
        "from=",
        "from=2026-13-01T00:00:00Z",
        "from=2026-01-01T00:00:00%2B99:00",
        "from=0001-01-01T00:00:00%2B14:00",
        "to=9999-12-31T23:59:59-14:00",
        "to=99999999999999999999",
        "to=1795948200000",
        "to=0000-01-01",
        "to=" + "9" * 65,
        "limit=0",
        "limit=101",
        "cursor=garbage",
        "cursor=-1",
        "cursor=%C2%B2",
        "cursor=9999999999999999999",
    )


async def test_the_ends_of_time_are_no_error(store: StoreClient) -> None:
    assert await seqs(store, from_="0001-01-01T00:00:00Z", to="9999-12-31T23:59:59Z") == [1]


async def test_only_a_working_key_is_let_in(operator: Operator) -> None:
    await assert_only_a_working_key_is_let_in(operator, "GET", PATH)


async def test_other_methods_are_refused(store: StoreClient) -> None:
    await assert_other_methods_are_refused(store, PATH, "GET")


async def test_reads_are_limited(operator: Operator) -> None:
    await assert_reads_are_limited(operator, PATH)
