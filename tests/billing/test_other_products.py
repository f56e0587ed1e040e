"""What else the Paddle account sells is ignored, and never a problem.

What is ours is never ignored, in whatever order it comes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from stand_ins.paddle.account import Event
from storecredit.billing.checkouts import CreditsOrder, PlanOrder
from storecredit.billing.paddle.charge_marker import charge_marker
from tests.billing.everywhere import tamper
from tests.billing.seller import Seller, completed, only

SHAPES: tuple[Any, ...] = (
    None,
    {},
    [],
    ["a", {"b": 1}],
    "plain text",
    7,
    {"order": {"lines": [{"sku": "x"}]}},
    # Our names by chance, and what another installation of this very service writes.
    {"store_id": "berlin-1", "credits": 12, "request_id": "jo@buyer.example"},
    {"checkout_id": "chk-77", "purchase_type": "Two"},
    {
        "checkout_id": str(uuid4()),
        "store_id": str(uuid4()),
        "purchase_type": "credits",
        "credits": "100",
        "request_id": "order",
    },
)


def price(amount: int, *, monthly: bool, custom_data: object = None) -> dict[str, Any]:
    return {
        "quantity": 1,
        "price": {
            "description": "A hat",
            "unit_price": {"amount": str(amount), "currency_code": "EUR"},
            "billing_cycle": {"interval": "month", "frequency": 1} if monthly else None,
            "custom_data": custom_data,
            "product": {"name": "Hat", "tax_category": "standard"},
        },
    }


def sold(seller: Seller, custom_data: Any, *, monthly: bool, mark: object = None) -> list[Event]:
    """Everything Paddle tells of a sale elsewhere, and of all that may follow from it."""
    account = seller.paddle.account
    first = len(account.events)
    opened = account.open([price(500, monthly=monthly, custom_data=mark)], "EUR", custom_data)
    account.pay(opened["id"])
    account.adjust(opened["id"], status="approved")
    account.adjust(opened["id"], "chargeback_reverse")
    if monthly:
        subscription_id = list(account.subscriptions)[-1]
        account.renew(subscription_id)
        renewal = list(account.transactions)[-1]
        account.adjust(renewal, subtotal=100, status="approved")
        account.charge(subscription_id, [price(300, monthly=False, custom_data=mark)], "EUR")
        for status in ("paused", "active", "past_due", "canceled"):
            account.change_subscription(subscription_id, status)
    return account.events[first:]


async def ignored(seller: Seller, events: Sequence[Event]) -> None:
    """All of it is kept and ignored, at the first look."""
    await seller.told(events)
    rows = await seller.admin.fetch(
        "SELECT event_type, status, attempts, reason FROM provider_events"
    )
    assert len(rows) == len(events)
    for row in rows:
        assert (row["status"], row["attempts"] <= 1) == ("ignored", True), dict(row)
    assert (await seller.service.parts.problems.find()).none


@pytest.mark.parametrize("monthly", [False, True])
async def test_what_was_sold_elsewhere_is_ignored(seller: Seller, *, monthly: bool) -> None:
    store = await seller.store(5)
    events = [
        event for shape in SHAPES for event in sold(seller, shape, monthly=monthly, mark=shape)
    ]

    await ignored(seller, events)

    assert [row.type for row in await seller.ledger(store)] == ["grant"]
    written = str(await seller.admin.fetch("SELECT content, reason FROM provider_events"))
    assert "buyer.example" not in written
    assert "berlin" not in written


async def test_what_was_sold_elsewhere_is_ignored_in_whatever_form_it_is(seller: Seller) -> None:
    """Also where it could not be read, if it were ours."""
    events = sold(seller, None, monthly=True)
    spoiled: list[Event] = []
    for number, event in enumerate(events):
        changes = {name: "?" for name in event.data if name != "id"}
        spoiled.append(replace(event, data=event.data | changes, event_id=f"evt_{number}"))
        spoiled.append(replace(event, data={"id": event.data["id"]}, event_id=f"evt_{number}bare"))

    await ignored(seller, spoiled)


async def test_the_overage_of_another_installation_is_ignored(seller: Seller) -> None:
    await seller.store()
    marks: tuple[dict[str, object], ...] = (
        {
            "storecredit_charge": charge_marker(
                uuid4(), f"overage-{seller.paddle.account.now():%Y-%m}"
            )
        },
        {"storecredit_charge": 5},
        {"storecredit_charge": "overage_bill:x:0000-01"},
    )

    await ignored(
        seller, [event for mark in marks for event in sold(seller, {}, monthly=True, mark=mark)]
    )


async def test_what_is_ours_waits_although_nothing_but_its_custom_data_tells(
    seller: Seller,
) -> None:
    """Everything but the first events, in the wrong order, before any of those."""
    store = await seller.store()
    account = seller.paddle.account
    first = list(await seller.paid(store, PlanOrder("growth"), "plan"))
    (subscription_id,) = account.subscriptions
    renewal = completed(account.renew(subscription_id))
    paused = only(account.change_subscription(subscription_id, "paused"), "subscription.paused")

    await seller.webhooks.send_all([paused, renewal])
    await seller.told(first)
    for event in (paused, renewal):
        # The wait for what it is about may have been over.
        await seller.service.parts.paddle_events.retry(event.event_id)
    await seller.settled()

    assert await seller.status(renewal) == await seller.status(paused) == "processed"
    assert await seller.balance(store) == 1600
    assert await seller.admin.fetchval("SELECT status FROM subscriptions") == "paused"


async def test_a_page_that_overwrites_our_custom_data_hides_no_payment(seller: Seller) -> None:
    """Paddle.js replaces the custom data of a checkout that is open, if a page tells it to."""
    store = await seller.store()
    account = seller.paddle.account
    for order in (CreditsOrder(100), PlanOrder("growth")):
        opened = await seller.opened(store, order, str(order))
        account.transactions[opened.transaction_id]["custom_data"] = {"utm_source": "mail"}
        await seller.told(account.pay(opened.transaction_id))
    (subscription_id,) = account.subscriptions
    await seller.told(account.renew(subscription_id))
    renewed = list(account.transactions)[-1]
    await seller.told([account.adjust(renewed, status="approved")])
    await seller.told(account.change_subscription(subscription_id, "canceled"))

    assert [row.type for row in await seller.ledger(store)] == [
        *("purchase", "subscription", "subscription", "clawback")
    ]
    assert await seller.balance(store) == 900
    assert await seller.tier(store) == "default"
    assert (await seller.service.parts.problems.find()).none


async def test_what_came_before_anything_told_that_it_is_ours_is_looked_at_again(
    seller: Seller,
) -> None:
    """Its custom data overwritten, and the first events of its subscription delivered last."""
    store = await seller.store()
    account = seller.paddle.account
    opened = await seller.opened(store, PlanOrder("growth"), "plan")
    account.transactions[opened.transaction_id]["custom_data"] = {"utm_source": "mail"}
    first = account.pay(opened.transaction_id)
    (subscription_id,) = account.subscriptions
    renewal = completed(account.renew(subscription_id))
    refund = account.adjust(renewal.data["id"], status="approved")
    canceled = only(
        account.change_subscription(subscription_id, "canceled"), "subscription.canceled"
    )
    early = [canceled, refund, renewal]
    await seller.told(early)
    assert {await seller.status(event) for event in early} == {"ignored"}

    await seller.told(first)
    await seller.service.parts.paddle_events.requeue_orphans()
    await seller.settled()
    for event in early:
        # The wait of the refund for its payment may have been over.
        await seller.service.parts.paddle_events.retry(event.event_id)
    await seller.settled()

    assert {await seller.status(event) for event in early} == {"processed"}
    assert await seller.balance(store) == 800
    assert await seller.tier(store) == "default"
    assert (await seller.service.parts.problems.find()).none


async def test_a_payment_that_comes_before_its_checkout_is_attached_waits_for_it(
    seller: Seller,
) -> None:
    store = await seller.store()
    event = completed(await seller.paid(store))
    (row,) = await tamper(
        seller.admin,
        """UPDATE checkouts c SET provider_transaction_id = NULL, checkout_url = NULL
           FROM checkouts o WHERE o.checkout_id = c.checkout_id
           RETURNING c.checkout_id, o.provider_transaction_id, o.checkout_url""",
    )
    await seller.webhooks.send(event)
    await (await seller.buckets.of(store)).fetchrow(
        "SELECT * FROM attach_checkout($1, $2, $3)", *row
    )
    await seller.settled()
    # The wait may have been over before it was attached.
    await seller.service.parts.paddle_events.retry(event.event_id)
    await seller.settled()

    assert await seller.status(event) == "processed"
    assert await seller.balance(store) == 100


async def test_a_second_transaction_of_one_checkout_is_shown_when_it_is_paid(
    seller: Seller,
) -> None:
    """Its answer was lost, and it was made again: only one is attached, but money is money."""
    store = await seller.store()
    opened = await seller.opened(store, CreditsOrder(100))
    account = seller.paddle.account
    ours = account.transactions[opened.transaction_id]
    twin = account.open([price(1800, monthly=False)], "USD", ours["custom_data"])

    await seller.told(account.pay(twin["id"]))

    (problem,) = (await seller.service.parts.problems.events()).items
    assert problem.reason == f"No checkout of ours is for transaction {twin['id']}."
    assert await seller.balance(store) == 0
