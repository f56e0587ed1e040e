"""At how many credits a balance is low: the store's own threshold, and what is told of it."""

import asyncpg

from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.spends import spend
from tests.web.table_rows import Rows
from tests.web.webhooks.hooks import Hooks

pytestmark = ONE_LOOP


async def threshold(operator: Operator, store: StoreClient) -> int | None:
    shown: int | None = data_of(await operator.get(f"/stores/{store.store_id}"))["low_threshold"]
    return shown


async def test_a_threshold_is_set_kept_and_given_back(
    operator: Operator, store: StoreClient, rows: Rows
) -> None:
    path = f"/stores/{store.store_id}"
    assert await threshold(operator, store) is None
    for value in (25, 0, 1_000_000_000):
        assert data_of(await operator.patch(path, low_threshold=value))["low_threshold"] == value
        data_of(await operator.patch(path, name="Renamed"))
        assert await threshold(operator, store) == value, "what is left out stays"
    listed = data_of(await operator.get("/stores", search=store.store_id))["items"]
    assert [each["low_threshold"] for each in listed] == [1_000_000_000]
    assert data_of(await operator.patch(path, low_threshold=None))["low_threshold"] is None
    before = await rows.counts()
    for wrong in (-1, 1_000_000_001, "ten", 1.5):
        answer = await operator.patch(path, low_threshold=wrong)
        [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert detail["key"] == "low_threshold"
    assert await rows.counts() == before


async def test_falling_to_the_threshold_is_told_once_each_time(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    hooks = Hooks(store, "/api/v1/webhooks", store.store_id)
    path = f"/{(await hooks.made(event_types=['credits.low']))['endpoint_id']}/deliveries"

    async def told() -> int:
        return len(data_of(await hooks.get(path))["items"])

    data_of(await operator.patch(f"/stores/{store.store_id}", low_threshold=90))
    assert await told() == 0, "a line that is drawn is crossed by nobody"
    for amount, count in ((9, 0), (1, 1), (5, 1)):
        data_of(await spend(store, f"spend-{amount}", amount), 201)
        assert await told() == count
    gift = {"amount": 10, "type": "grant", "request_id": "gift-1"}
    data_of(await operator.post(f"/stores/{store.store_id}/credits", **gift), 201)
    data_of(await spend(store, "again", 5), 201)
    assert await told() == 2
    data_of(await operator.patch(f"/stores/{store.store_id}", low_threshold=0))
    data_of(await spend(store, "all", 90), 201)
    assert await told() == 2, "never"
