"""`GET /api/v1/credits/holds/{hold_id}` and `GET /api/v1/credits/holds`."""

from datetime import timedelta
from typing import Any

from tests.passing_time import pass_time
from tests.web.checklist import (
    UNKNOWN,
    assert_bad_queries_are_refused,
    assert_only_a_working_key_is_let_in,
    assert_other_methods_are_refused,
    assert_reads_are_limited,
)
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.holding import HOLDS, end, held, hold, read
from tests.web.table_rows import Rows

pytestmark = ONE_LOOP


async def listed(store: StoreClient, **query: Any) -> list[str]:
    """The ids of the holds of a page that is the last one."""
    page = data_of(await store.get(HOLDS, **query))
    assert page["next_cursor"] is None
    return [each["hold_id"] for each in page["items"]]


async def test_holds_are_listed_newest_first_and_by_what_became_of_them(
    store: StoreClient, rows: Rows
) -> None:
    assert await listed(store) == []
    captured, released, over, alive = [
        await held(store, 10, expires_in_seconds=seconds) for seconds in (60, 60, 60, 600)
    ]
    data_of(await end(store, captured, "capture", amount=4))
    data_of(await end(store, released, "release"))
    account_id = await rows.account_id(store.store_id)
    await pass_time(rows.connection, timedelta(seconds=60), account_id)
    one_of_each = {
        "held": [alive],
        "captured": [captured],
        "released": [released],
        "expired": [over],
    }
    assert {status: await listed(store, status=status) for status in one_of_each} == one_of_each
    assert await listed(store) == [alive, over, released, captured]
    everything = data_of(await store.get(HOLDS))["items"]
    assert everything == [await read(store, each["hold_id"]) for each in everything]
    # Now it is written.
    error_of(await end(store, over, "capture"), 409, "HOLD_ENDED")
    assert {status: await listed(store, status=status) for status in one_of_each} == one_of_each
    assert data_of(await store.get(HOLDS))["items"] == everything


async def test_a_long_list_comes_in_pages(store: StoreClient) -> None:
    made = [await held(store, 1) for _ in range(5)][::-1]
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = data_of(await store.get(HOLDS, **query))
        found += [each["hold_id"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        assert len(page["items"]) == 2
        query["cursor"] = page["next_cursor"]
    assert found == made


async def test_another_stores_hold_is_not_there(store: StoreClient, operator: Operator) -> None:
    other = await operator.store()
    hold_id = await held(other, 30)
    for nothing in (hold_id, UNKNOWN, "film-1"):
        error_of(await store.get(f"{HOLDS}/{nothing}"), 404, "NOT_FOUND")
    assert await listed(store) == []
    assert await listed(store, cursor=hold_id) == []


async def test_a_repeated_request_is_told_what_became_of_its_hold(
    store: StoreClient, rows: Rows
) -> None:
    first = data_of(await hold(store, "film-1", 10), 201)
    data_of(await end(store, first["hold_id"], "capture", amount=4))
    again = await hold(store, "film-1", 10)
    assert again.headers["idempotent-replayed"] == "true"
    assert data_of(again) == first | {"status": "captured", "balance": 96}
    late = data_of(await hold(store, "film-2", 10), 201)
    account_id = await rows.account_id(store.store_id)
    await pass_time(rows.connection, timedelta(seconds=600), account_id)
    again = await hold(store, "film-2", 10)
    assert again.headers["idempotent-replayed"] == "true"
    told = data_of(again)
    assert (told["hold_id"], told["status"], told["balance"]) == (late["hold_id"], "expired", 96)


async def test_queries_that_cannot_be_are_refused(store: StoreClient) -> None:
    await assert_bad_queries_are_refused(
        store, HOLDS, "status=open", "limit=0", "limit=101", "cursor=yesterday", "state=held"
    )


async def test_doors_are_shut_to_others(operator: Operator, store: StoreClient) -> None:
    for path in (HOLDS, f"{HOLDS}/{UNKNOWN}"):
        await assert_only_a_working_key_is_let_in(operator, "GET", path)
    await assert_other_methods_are_refused(store, f"{HOLDS}/{UNKNOWN}", "GET")
    await assert_reads_are_limited(operator, HOLDS)
