"""How often a store may call, and what it is told of that."""

from dataclasses import replace

from storecredit.settings import Settings
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.table_rows import Rows

BALANCE = "/api/v1/credits/balance"


async def test_a_default_store_creates_five_a_minute(operator: Operator, rows: Rows) -> None:
    assert Settings.model_fields["rate_limits"].default["default"] == (5, 50)
    store = await operator.store(tier="default")
    for remaining in (4, 3, 2, 1, 0):
        answer = await store.create()
        data_of(answer, 201)
        assert answer.headers["x-ratelimit-limit"] == "5"
        assert answer.headers["x-ratelimit-remaining"] == str(remaining)
    answer = await store.create()
    error = error_of(answer, 429, "RATE_LIMIT_EXCEEDED")
    assert answer.headers["retry-after"] in error["message"]
    assert len(await rows.ledger(store.store_id, "deduction")) == 5


async def test_the_standard_fields_say_the_same(operator: Operator) -> None:
    """The fields of draft-ietf-httpapi-ratelimit-headers, beside the older trio."""
    store = await operator.store(tier="tight")
    answer = await store.create()
    assert answer.headers["ratelimit-policy"] == '"minute";q=1;w=60, "hour";q=2;w=3600'
    name, remaining, ends_in = answer.headers["ratelimit"].split(";")
    assert (name, remaining) == ('"minute"', "r=0")
    assert 0 < int(ends_in.removeprefix("t=")) <= 60


async def test_a_tier_without_limits_has_no_such_headers(store: StoreClient) -> None:
    answer = await store.get(BALANCE)
    assert not any("ratelimit" in name for name in answer.headers)


async def test_stores_do_not_use_up_each_others_limits(operator: Operator) -> None:
    one, other = await operator.store(tier="tight"), await operator.store(tier="tight")
    data_of(await one.create(), 201)
    error_of(await one.create(), 429, "RATE_LIMIT_EXCEEDED")
    data_of(await other.create(), 201)


async def test_two_keys_of_a_store_share_its_limit(operator: Operator) -> None:
    store = await operator.store(tier="tight")
    second = data_of(await operator.post(f"/stores/{store.store_id}/keys"), 201)
    data_of(await store.create(), 201)
    answer = await replace(store, api_key=second["api_key"]).create()
    error_of(answer, 429, "RATE_LIMIT_EXCEEDED")


async def test_a_replay_counts_as_a_create(operator: Operator) -> None:
    store = await operator.store(tier="tight")
    data_of(await store.create("order-1"), 201)
    error_of(await store.create("order-1"), 429, "RATE_LIMIT_EXCEEDED")
