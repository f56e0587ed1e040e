"""Coupons and retention discounts: all credits of what was bought, a share of what was paid back.

The operator decides on a discount at Paddle; a buyer can only enter a coupon that exists.
"""

import pytest

from storecredit.billing.checkouts import PlanOrder
from storecredit.ledger.owners import OwnerKind
from tests.billing.paddle_changes import keep_with_discount
from tests.billing.seller import Seller, completed


@pytest.mark.parametrize("kind", list(OwnerKind))
async def test_a_purchase_with_a_coupon_adds_all_and_a_full_refund_takes_all(
    seller: Seller, kind: OwnerKind
) -> None:
    buyer = await (seller.store(5) if kind is OwnerKind.STORE else seller.user(5))
    before = await seller.balance(buyer)
    opened = completed(await seller.paid(buyer, coupon_percent=40)).data

    await seller.told(seller.paddle.account.events)

    bought = await seller.balance(buyer) - before
    payment = await seller.admin.fetchrow("SELECT * FROM payments")
    assert payment is not None
    price = int(opened["details"]["totals"]["subtotal"])
    assert (payment["credits"], payment["amount"]) == (bought, price - price * 40 // 100)
    # Half of what was paid is half of the credits, though it is less than a third of the price.
    half = seller.paddle.account.adjust(
        opened["id"], status="approved", subtotal=payment["amount"] // 2
    )
    await seller.told([half])
    assert (
        await seller.balance(buyer) - before
        == bought - bought * (payment["amount"] // 2) // (payment["amount"])
    )
    await seller.told([seller.paddle.account.adjust(opened["id"], status="approved")])
    assert await seller.balance(buyer) == before
    assert await seller.discrepancies() == ()
    assert (await seller.service.parts.problems.find()).none


async def test_a_purchase_for_nothing_adds_all_of_its_credits(seller: Seller) -> None:
    store = await seller.store()

    await seller.told(await seller.paid(store, coupon_percent=100))

    assert await seller.balance(store) == 100
    assert await seller.admin.fetchval("SELECT amount FROM payments") == 0


@pytest.mark.parametrize("percent", [15, 100])
async def test_a_discounted_renewal_adds_all_of_its_period(seller: Seller, percent: int) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store, "growth")
    account = seller.paddle.account

    await seller.told(keep_with_discount(account, subscription_id, percent))
    renewal = account.renew(subscription_id)
    await seller.told([*renewal, *renewal])

    assert await seller.balance(store) == 1600
    paid = await seller.admin.fetchval("SELECT min(amount) FROM payments")
    assert paid == 9900 * (100 - percent) // 100
    assert (await seller.service.parts.problems.find()).none
    await seller.told([account.adjust(completed(renewal).data["id"], "chargeback")])
    assert await seller.balance(store) == 800
    assert await seller.discrepancies() == ()


async def test_a_subscription_that_begins_with_a_coupon(seller: Seller) -> None:
    store = await seller.store()

    await seller.told(await seller.paid(store, PlanOrder("growth"), coupon_percent=50))

    assert (await seller.balance(store), await seller.tier(store)) == (800, "growth")
    assert await seller.admin.fetchval("SELECT amount FROM payments") == 4950
