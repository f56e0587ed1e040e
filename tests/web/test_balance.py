"""`GET /api/v1/credits/balance`."""

from tests.web.checklist import (
    assert_only_a_working_key_is_let_in,
    assert_other_methods_are_refused,
    assert_reads_are_limited,
)
from tests.web.conftest import WorkerStarter
from tests.web.doors import Operator, StoreClient, data_of

PATH = "/api/v1/credits/balance"


async def test_the_balance_and_the_totals_are_told(store: StoreClient) -> None:
    await store.created()
    await store.created()
    data = data_of(await store.get(PATH))
    assert data == {"balance": 98, "total_purchased": 100, "total_spent": 2}


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
    answer = await poor.get(PATH, store_id=rich.store_id, store=rich.store_id)
    assert data_of(answer)["balance"] == 7
    answer = await poor.get(PATH, headers={"X-Store-Id": rich.store_id})
    assert data_of(answer)["balance"] == 7


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
