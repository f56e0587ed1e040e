"""Overage from the request to the payment, with the whole service and Paddle's own webhooks."""

import asyncio

import asyncpg
import pytest

from storecredit.ledger.owners import Owner
from tests.billing.everywhere import within
from tests.billing.overages import bills, use_overage
from tests.billing.seller import SETTLING_SECONDS_MAX, Seller, completed

pytestmark = pytest.mark.several_buckets

GROWTH_CREDITS = 800
CREDITS = 10
GROWTH_AMOUNT = 14 * CREDITS


@pytest.fixture
async def store(seller: Seller, admin: asyncpg.Connection) -> Owner:
    """A store on a plan that used up its month, and ten credits of overage after that."""
    owner = await seller.store()
    await seller.subscribed(owner, "growth")
    await seller.spend(owner, GROWTH_CREDITS, "everything")
    bucket = await seller.buckets.of(owner)
    async with within(admin, bucket.schema):
        await use_overage(admin, owner.id, CREDITS, last_month=True)
    return owner


async def charged(admin: asyncpg.Connection, owner: Owner) -> str:
    """The transaction that charged the store's bill, once the service has seen to it."""
    async with asyncio.timeout(SETTLING_SECONDS_MAX):
        # A row sets no event.
        while not any(bill["charged"] for bill in await bills(admin, owner.id)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    [bill] = await bills(admin, owner.id)
    return str(bill["provider_transaction_id"])


async def test_a_bill_is_charged_paid_and_booked_and_moves_no_credits(
    seller: Seller, admin: asyncpg.Connection, store: Owner
) -> None:
    transaction_id = await charged(admin, store)
    told = [event for event in seller.paddle.account.events if event.data["id"] == transaction_id]
    await seller.told([*told, completed(told)])
    assert await seller.status(completed(told)) == "processed"
    payment = await admin.fetchrow(
        "SELECT * FROM payments WHERE provider_transaction_id = $1", transaction_id
    )
    [bill] = await bills(admin, store.id)
    assert payment is not None
    assert (payment["kind"], payment["credits"]) == ("overage", CREDITS)
    assert payment["amount"] == bill["amount"] == GROWTH_AMOUNT
    assert payment["request_id"] == bill["request_id"]
    assert await seller.balance(store) == 0
    assert [movement.type for movement in await seller.ledger(store)] == [
        "subscription",
        "deduction",
        "overage",
        "overage_bill",
    ]


async def test_billed_overage_that_failed_comes_back_as_credits(
    seller: Seller, admin: asyncpg.Connection, store: Owner
) -> None:
    await charged(admin, store)
    used = await admin.fetchrow(
        "SELECT account_id, request_id FROM movements WHERE type = 'overage'"
    )
    assert used is not None
    refund = "SELECT outcomes FROM refund_to_accounts(ARRAY[$1::bigint], ARRAY[$2::int], $3, $3)"
    bucket = await seller.buckets.of(store)
    outcomes = await bucket.fetchval(refund, used["account_id"], CREDITS, [used["request_id"]])
    assert outcomes == ["refunded"]
    assert await seller.balance(store) == CREDITS
    assert (
        len([t for t in seller.paddle.account.transactions.values() if t["status"] != "draft"]) == 2
    )
