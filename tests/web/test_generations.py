"""`GET /api/v1/generations`."""

from typing import Any

from tests.web.checklist import (
    assert_bad_queries_are_refused,
    assert_only_a_working_key_is_let_in,
    assert_other_methods_are_refused,
    assert_reads_are_limited,
)
from tests.web.conftest import WorkerStarter
from tests.web.doors import Operator, StoreClient, data_of

PATH = "/api/v1/generations"


async def listed(store: StoreClient, **query: Any) -> list[str]:
    return [item["session_id"] for item in data_of(await store.get(PATH, **query))["items"]]


async def test_a_new_store_has_none(store: StoreClient) -> None:
    assert data_of(await store.get(PATH)) == {"items": [], "next_cursor": None}


async def test_they_are_listed_newest_first_as_each_is_read(store: StoreClient) -> None:
    session_ids = [await store.created(metadata={"place": str(place)}) for place in range(3)]
    data = data_of(await store.get(PATH))
    assert data["next_cursor"] is None
    assert data["items"] == [await store.generation(each) for each in reversed(session_ids)]


async def test_pages_follow_each_other_without_gap_or_repetition(store: StoreClient) -> None:
    session_ids = [await store.created() for _ in range(5)]
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    for length in (2, 2, 1):
        data = data_of(await store.get(PATH, limit=2, **cursor))
        assert len(data["items"]) == length
        seen += [item["session_id"] for item in data["items"]]
        await store.created()  # what comes in the meantime does not shift the pages
        cursor = {"cursor": data["next_cursor"]}
    assert cursor == {"cursor": None}
    assert seen == session_ids[::-1]


async def test_a_page_has_fifty_unless_asked_otherwise(operator: Operator) -> None:
    store = await operator.store(credits=101)
    for _ in range(101):
        await store.created()
    assert len(await listed(store)) == 50
    assert len(await listed(store, limit=100)) == 100
    assert len(await listed(store, limit=1)) == 1


async def test_they_can_be_listed_by_status(store: StoreClient, worker: WorkerStarter) -> None:
    async with worker():
        completed = await store.created()
        failed = await store.created(prompt="forbidden")
        for session_id in (completed, failed):
            await store.ended(session_id)
    queued = await store.created()
    assert await listed(store, status="queued") == [queued]
    assert await listed(store, status="processing") == []
    assert await listed(store, status="completed") == [completed]
    assert await listed(store, status="failed") == [failed]


async def test_the_generation_of_a_request_is_found_by_its_id(
    operator: Operator, store: StoreClient, worker: WorkerStarter
) -> None:
    other = await operator.store()
    one, two = await store.created("order-1"), await store.created("order-2")
    foreign = await other.created("order-1")
    assert await listed(store, request_id="order-1") == [one]
    assert await listed(other, request_id="order-1") == [foreign]
    for absent in ("order", "ORDER-1", "order-3", "%", "null"):
        assert await listed(store, request_id=absent) == []
    await store.created("null")
    assert len(await listed(store, request_id="null")) == 1
    by_operator = data_of(
        await operator.get(f"/stores/{store.store_id}/generations", request_id="order-2")
    )
    assert [item["session_id"] for item in by_operator["items"]] == [two]
    assert by_operator["next_cursor"] is None
    # The other filters go with it.
    assert await listed(store, request_id="order-1", status="queued") == [one]
    assert await listed(store, request_id="order-1", status="failed") == []
    assert await listed(store, request_id="order-1", cursor=one) == []
    assert await listed(store, request_id="order-1", limit=1) == [one]


async def test_what_was_refunded_or_went_to_overage_is_found_by_its_request_too(
    operator: Operator, worker: WorkerStarter
) -> None:
    store = await operator.store(credits=1)
    data_of(await operator.patch(f"/stores/{store.store_id}", overage_limit=5))
    for request_id in ("paid", "overage"):
        session_id = await store.created(request_id, prompt="forbidden")
        async with worker():
            await store.ended(session_id)
        assert await listed(store, request_id=request_id) == [session_id]
        assert await listed(store, request_id=request_id, status="failed") == [session_id]
    # Credits that were added make no session.
    added = {"amount": 1, "type": "grant", "request_id": "gift"}
    data_of(await operator.post(f"/stores/{store.store_id}/credits", **added), 201)
    assert await listed(store, request_id="gift") == []


async def test_another_stores_generations_are_absent_whatever_is_asked_for(
    operator: Operator,
) -> None:
    one, other = await operator.store(), await operator.store()
    foreign, own = await one.created(), await other.created()
    assert await listed(other) == [own]
    after_both = "ffffffff-ffff-ffff-ffff-ffffffffffff"
    assert await listed(other, cursor=after_both) == [own]
    assert foreign in await listed(one)


async def test_bad_queries_are_refused(store: StoreClient) -> None:
    await assert_bad_queries_are_refused(
        store,
        PATH,
        "status=done",
        "status=",
        "status=QUEUED",
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=",
        "limit=ten",
        "limit=1.5",
        "limit=%00",
        "limit=99999999999999999999999",
        "cursor=garbage",
        "cursor=",
        "cursor=7",
        "cursor=%00",
        "request_id=%00",
        "request_id=" + "r" * 201,
        "cursor=" + "c" * 101,
    )


async def test_only_a_working_key_is_let_in(operator: Operator) -> None:
    await assert_only_a_working_key_is_let_in(operator, "GET", PATH)


async def test_other_methods_are_refused(store: StoreClient) -> None:
    await assert_other_methods_are_refused(store, PATH, "GET")


async def test_reads_are_limited(operator: Operator) -> None:
    await assert_reads_are_limited(operator, PATH)
