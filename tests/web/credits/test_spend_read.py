"""`GET /api/v1/credits/spend/{request_id}`: for a client that lost an answer."""

import asyncio
from datetime import UTC, datetime

from storecredit.ledger.spend_records import REFUNDS_MAX
from tests.web.checklist import (
    assert_bad_queries_are_refused,
    assert_only_a_working_key_is_let_in,
    assert_other_methods_are_refused,
    assert_reads_are_limited,
)
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.spends import SPEND, read, refund, spent

pytestmark = ONE_LOOP


async def test_a_spend_is_told_with_what_was_given_back(store: StoreClient) -> None:
    metadata = {"order": "1001"}
    await spent(store, "order-1", 30, description="Translation", metadata=metadata)
    found = await read(store, "order-1")
    created = datetime.fromisoformat(found.pop("created_at"))
    assert created.tzinfo == UTC
    whole = {
        "request_id": "order-1",
        "amount": 30,
        "charged_as": "balance",
        "description": "Translation",
        "metadata": metadata,
    }
    assert found == whole | {"refunded": 0, "refundable": 30, "refunds": []}
    for refund_id, amount in (("refund-1", 10), ("refund-2", 5)):
        data_of(await refund(store, "order-1", refund_id, amount), 201)
    found = await read(store, "order-1")
    assert (found["refunded"], found["refundable"]) == (15, 15)
    newest, oldest = found["refunds"]
    assert (newest["request_id"], newest["amount"]) == ("refund-2", 5)
    assert (oldest["request_id"], oldest["amount"]) == ("refund-1", 10)
    assert created <= datetime.fromisoformat(oldest["created_at"])


async def test_of_many_refunds_the_newest_are_told_and_all_are_counted(operator: Operator) -> None:
    store = await operator.store(credits=2 * REFUNDS_MAX)
    await spent(store, "order-1", 2 * REFUNDS_MAX)
    plain = await read(store, "order-1")
    assert (plain["description"], plain["metadata"]) == ("", None)
    data_of(await refund(store, "order-1", "oldest", 2), 201)
    await asyncio.gather(
        *(refund(store, "order-1", f"refund-{place}", 1) for place in range(REFUNDS_MAX))
    )
    found = await read(store, "order-1")
    assert found["refunded"] == REFUNDS_MAX + 2
    assert found["refundable"] == REFUNDS_MAX - 2
    told = {each["request_id"] for each in found["refunds"]}
    assert told == {f"refund-{place}" for place in range(REFUNDS_MAX)}


async def test_a_spend_of_another_store_is_not_there(
    operator: Operator, store: StoreClient
) -> None:
    other = await operator.store()
    await spent(other, "order-1", 5)
    for path in (f"{SPEND}/order-1", f"{SPEND}/refund-1", f"{SPEND}/%00"):
        error_of(await store.get(path), 404, "NOT_FOUND")


async def test_it_is_a_read_like_any_other(operator: Operator, store: StoreClient) -> None:
    path = f"{SPEND}/order-1"
    await assert_only_a_working_key_is_let_in(operator, "GET", path)
    await assert_other_methods_are_refused(store, path, "GET")
    await assert_reads_are_limited(operator, path)
    await assert_bad_queries_are_refused(store, path, "at=2026")
