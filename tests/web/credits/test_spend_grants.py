"""Spends of credits that expire and have an order, and what comes back to them."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

from tests.web.credits.conftest import ONE_LOOP
from tests.web.credits.test_grants import added, balance, days_ahead, later, listed
from tests.web.doors import Operator, StoreClient, data_of
from tests.web.spends import item, refund, spend, spend_batch, spent
from tests.web.table_rows import Rows

pytestmark = ONE_LOOP


async def with_three_grants(operator: Operator) -> StoreClient:
    """Ten credits that end within a week, ten within a month, ten that do not."""
    store = await operator.store(credits=0)
    await added(operator, store, "for ever")
    await added(operator, store, "month", expires_at=days_ahead(30))
    await added(operator, store, "week", expires_at=days_ahead(7), kind="promo")
    return store


async def test_fifty_at_once_share_the_last_credits_of_three_grants(
    operator: Operator, rows: Rows
) -> None:
    store = await with_three_grants(operator)
    # Thirty ask for one credit each: whatever comes first, none of the thirty credits is left.
    singles, batches = await asyncio.gather(
        asyncio.gather(*(spend(store, f"call-{place}", 2) for place in range(20))),
        asyncio.gather(*(spend_batch(store, item(f"item-{place}", 1)) for place in range(30))),
    )
    statuses = Counter(answer.status_code for answer in singles)
    outcomes = Counter(answer["outcome"] for [answer] in batches)
    assert set(statuses) <= {201, 402}
    assert set(outcomes) <= {"spent", "insufficient"}
    assert 2 * statuses[201] + outcomes["spent"] == 30
    assert await listed(store) == []
    taken = await rows.ledger(store.store_id, "deduction")
    assert sum(row["amount"] for row in taken) == 30
    assert [row["balance_after"] for row in taken][-1] == 0


async def test_what_comes_back_in_parts_comes_back_to_the_grants_it_was_taken_from(
    operator: Operator,
) -> None:
    store = await with_three_grants(operator)
    before = data_of(await store.get("/api/v1/credits/grants"))["items"]
    await spent(store, "order-1", 17)
    await spent(store, "order-2", 8)
    assert await listed(store) == [("for ever", 5)]
    parts = [("order-1", 9), ("order-2", 3), ("order-1", 1), ("order-2", 5), ("order-1", 7)]
    answers = await asyncio.gather(
        *(refund(store, spend_id, f"refund-{n}", part) for n, (spend_id, part) in enumerate(parts))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert data_of(await store.get("/api/v1/credits/grants"))["items"] == before


async def test_expired_credits_pay_for_nothing_and_what_they_paid_for_comes_back_whole(
    operator: Operator, rows: Rows
) -> None:
    store = await with_three_grants(operator)
    await spent(store, "order-1", 6)
    await later(rows, store, days=8)
    error = (await spend(store, "order-2", 21)).json()["error"]
    assert (error["code"], error["balance"], error["required"]) == ("INSUFFICIENT_CREDITS", 20, 21)
    answers = await spend_batch(store, item("order-2", 21), item("order-3", 4))
    assert [(each["outcome"], each["balance"]) for each in answers] == [
        ("insufficient", 20),
        ("spent", 16),
    ]
    part = data_of(await refund(store, "order-1", "refund-1", 2), 201)
    assert (part["refundable"], part["balance"]) == (4, 18)
    rest = data_of(await refund(store, "order-1", "refund-2"), 201)
    assert (rest["amount"], rest["balance"]) == (4, 22)
    soonest = (await balance(store))["expiring"]
    graces = [each for each in soonest if is_about(each["expires_at"], timedelta(days=30))]
    assert sum(each["amount"] for each in graces) == 6, "they live on for the grace time"
    await later(rows, store, days=31)
    assert (await balance(store))["balance"] == 10


def is_about(moment: str, ahead: timedelta) -> bool:
    return abs(datetime.fromisoformat(moment) - datetime.now(UTC) - ahead) < timedelta(hours=1)
