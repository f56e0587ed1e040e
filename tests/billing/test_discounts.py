"""Coupons and retention discounts: all credits of what was bought, a share of what was paid back.

The operator decides on a discount at Paddle; a buyer can only enter a coupon that exists.
"""

import pytest

from storecredit.billing.checkouts import PlanOrder
from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.verify import verify
from tests.billing.desk import Desk, completed
from tests.billing.paddle_changes import keep_with_discount


@pytest.mark.parametrize("kind", list(OwnerKind))
async def test_a_purchase_with_a_coupon_adds_all_and_a_full_refund_takes_all(
    desk: Desk, kind: OwnerKind
) -> None:
    buyer = await (desk.store(5) if kind is OwnerKind.STORE else desk.user(5))
    before = await desk.balance(buyer)
    opened = completed(await desk.paid(buyer, coupon_percent=40)).data

    await desk.told(desk.paddle.account.events)

    bought = await desk.balance(buyer) - before
    payment = await desk.admin.fetchrow("SELECT * FROM payments")
    assert payment is not None
    price = int(opened["details"]["totals"]["subtotal"])
    assert (payment["credits"], payment["amount"]) == (bought, price - price * 40 // 100)
    # Half of what was paid is half of the credits, though it is less than a third of the price.
    half = desk.paddle.account.adjust(
        opened["id"], status="approved", subtotal=payment["amount"] // 2
    )
    await desk.told([half])
    assert (
        await desk.balance(buyer) - before
        == bought - bought * (payment["amount"] // 2) // (payment["amount"])
    )
    await desk.told([desk.paddle.account.adjust(opened["id"], status="approved")])
    assert await desk.balance(buyer) == before
    assert (await verify(desk.database, every_row=True)).discrepancies == ()
    assert (await desk.service.parts.problems.find()).none


async def test_a_purchase_for_nothing_adds_all_of_its_credits(desk: Desk) -> None:
    store = await desk.store()

    await desk.told(await desk.paid(store, coupon_percent=100))

    assert await desk.balance(store) == 100
    assert await desk.admin.fetchval("SELECT amount FROM payments") == 0


@pytest.mark.parametrize("percent", [15, 100])
async def test_a_discounted_renewal_adds_all_of_its_period(desk: Desk, percent: int) -> None:
    store = await desk.store()
    subscription_id = await desk.subscribed(store, "growth")
    account = desk.paddle.account

    await desk.told(keep_with_discount(account, subscription_id, percent))
    renewal = account.renew(subscription_id)
    await desk.told([*renewal, *renewal])

    assert await desk.balance(store) == 1600
    paid = await desk.admin.fetchval("SELECT min(amount) FROM payments")
    assert paid == 9900 * (100 - percent) // 100
    assert (await desk.service.parts.problems.find()).none
    await desk.told([account.adjust(completed(renewal).data["id"], "chargeback")])
    assert await desk.balance(store) == 800
    assert (await verify(desk.database, every_row=True)).discrepancies == ()


async def test_a_subscription_that_begins_with_a_coupon(desk: Desk) -> None:
    store = await desk.store()

    await desk.told(await desk.paid(store, PlanOrder("growth"), coupon_percent=50))

    assert (await desk.balance(store), await desk.tier(store)) == (800, "growth")
    assert await desk.admin.fetchval("SELECT amount FROM payments") == 4950
