"""`GET /api/v1/credits/balance`."""

import asyncio

from tests.web.checklist import (
    assert_only_a_working_key_is_let_in,
    assert_other_methods_are_refused,
    assert_reads_are_limited,
)
from tests.web.conftest import WorkerStarter
from tests.web.doors import Operator, StoreClient, data_of, error_of

PATH = "/api/v1/credits/balance"


async def test_the_balance_and_the_totals_are_told(store: StoreClient) -> None:
    await store.created()
    await store.created()
    answer = await store.get(PATH)
    assert data_of(answer) == {"balance": 98, "total_purchased": 100, "total_spent": 2}
    assert answer.headers["x-credits-remaining"] == "98"


async def test_a_store_without_credits_has_a_balance_of_zero(operator: Operator) -> None:
    store = await operator.store(credits=0)
    data = data_of(await store.get(PATH))
    assert data == {"balance": 0, "total_purchased": 0, "total_spent": 0}


async def test_a_refund_is_told_at_once(store: StoreClient, worker: WorkerStarter) -> None:
    async with worker():
        await store.ended(await store.created(prompt="something forbidden"))
    data = data_of(await store.get(PATH))
    assert data == {"balance": 100, "total_purchased": 100, "total_spent": 0}


async def test_each_store_sees_its_own_balance_whatever_it_asks_for(operator: Operator) -> None:
    rich, poor = await operator.store(credits=70), await operator.store(credits=7)
    answer = await poor.get(PATH, store_id=rich.store_id)
    error_of(answer, 400, "VALIDATION_ERROR")
    answer = await poor.get(PATH, headers={"X-Store-Id": rich.store_id})
    assert data_of(answer)["balance"] == 7


async def test_of_many_that_read_at_once_each_sees_its_own_balance(operator: Operator) -> None:
    stores = [await operator.store(credits=100 + place) for place in range(5)]
    answers = await asyncio.gather(*(store.get(PATH) for store in stores * 10))
    assert [data_of(answer)["balance"] for answer in answers] == [100, 101, 102, 103, 104] * 10


async def test_whoever_was_told_of_a_deduction_reads_it_while_others_read(
    store: StoreClient,
) -> None:
    async def spend_and_read() -> None:
        for _ in range(5):
            left = data_of(await store.create(), 201)["balance"]
            assert data_of(await store.get(PATH))["balance"] <= left

    await asyncio.gather(*(spend_and_read() for _ in range(8)))
    assert data_of(await store.get(PATH))["balance"] == 60


async def test_the_answer_carries_rate_limit_headers(operator: Operator) -> None:
    store = await operator.store(tier="tight")
    answer = await store.get(PATH)
    assert answer.headers["x-ratelimit-limit"] == "2"
    assert answer.headers["x-ratelimit-remaining"] == "1"
    assert int(answer.headers["x-ratelimit-reset"]) > 0


async def test_only_a_working_key_is_let_in(operator: Operator) -> None:
    await assert_only_a_working_key_is_let_in(operator, "GET", PATH)


async def test_other_methods_are_refused(store: StoreClient) -> None:
    await assert_other_methods_are_refused(store, PATH, "GET")


async def test_reads_are_limited(operator: Operator) -> None:
    await assert_reads_are_limited(operator, PATH)
