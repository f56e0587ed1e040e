"""What is told of a request that was a sale: by its own id, and by all that Paddle calls it."""

import asyncpg

from storecredit.ledger.owners import Owner
from storecredit.operator.audit import ActionContext
from storecredit.operator.identifiers import IdentifierKind
from storecredit.operator.records import RequestRecord
from tests.billing.seller import Seller, completed
from tests.sql.listening import OPERATOR, listen


async def the_one(seller: Seller, identifier: str, owner: Owner | None = None) -> RequestRecord:
    found = await seller.service.parts.requests.find(identifier, owner)
    assert not found.truncated
    assert found.events == []
    (record,) = found.requests
    return record


async def test_a_purchase_is_found_by_every_id_of_it(seller: Seller) -> None:
    store, other = await seller.store(), await seller.store()
    events = await seller.paid(store)
    await seller.told(events)
    transaction_id = str(completed(events).data["id"])
    adjusted = seller.paddle.account.adjust(transaction_id, subtotal=180, status="approved")
    await seller.told([adjusted])
    await seller.told(await seller.paid(other, request_id="another"))

    record = await the_one(seller, "order")

    assert (record.store_id, record.found_as) == (store.id, (IdentifierKind.REQUEST,))
    moved = [(each.type, each.amount, each.request_id) for each in record.movements]
    assert moved == [("purchase", 100, "order"), ("clawback", 10, adjusted.data["id"])]
    (checkout,) = record.checkouts
    (payment,) = record.payments
    (clawback,) = record.clawbacks
    assert checkout.transaction_id == payment.transaction_id == transaction_id
    assert (payment.credits, payment.amount, payment.currency) == (100, 1800, "USD")
    assert (clawback.adjustment_id, clawback.credits, clawback.taken) == (
        adjusted.data["id"],
        10,
        10,
    )
    told = {event.event_id for event in record.events}
    assert {completed(events).event_id, adjusted.event_id} <= told
    assert {each.event_id for each in (*events, adjusted)} >= told
    for identifier, kind in (
        (str(checkout.checkout_id), IdentifierKind.CHECKOUT),
        (transaction_id, IdentifierKind.TRANSACTION),
        (adjusted.event_id, IdentifierKind.EVENT),
        (completed(events).event_id, IdentifierKind.EVENT),
    ):
        again = await the_one(seller, identifier)
        assert again.found_as == (kind,)
        assert (again.request_id, again.movements) == ("order", record.movements)
        assert (await the_one(seller, identifier, store)).request_id == "order"
        assert (await seller.service.parts.requests.find(identifier, other)).requests == []
    # An adjustment's id is the request id of what was taken back for it.
    found = await seller.service.parts.requests.find(adjusted.data["id"])
    by_kind = {each.found_as: each for each in found.requests}
    assert by_kind[IdentifierKind.ADJUSTMENT,].payments == [payment]
    _, taken = by_kind[IdentifierKind.REQUEST,].movements
    assert (taken.type, taken.amount, taken.total_clawed_back_after) == ("clawback", 10, 10)


async def test_a_purchase_and_its_refund_are_one_time_line(seller: Seller) -> None:
    store = await seller.store()
    paid = completed(await seller.paid(store))
    await seller.told([paid])
    adjusted = seller.paddle.account.adjust(str(paid.data["id"]), subtotal=180, status="approved")
    await seller.told([adjusted])

    line = (await the_one(seller, str(paid.data["id"]))).time_line

    assert [moment.at for moment in line] == sorted(moment.at for moment in line)
    assert [(moment.kind.value, moment.title) for moment in line] == [
        ("answer", "Accepted"),
        ("checkout", "Checkout opened for pay_as_you_go"),
        ("provider_event", "Paddle told transaction.completed"),
        ("payment", "Payment booked (purchase)"),
        ("provider_event", "transaction.completed processed"),
        ("movement", "100 credits bought"),
        ("provider_event", "Paddle told adjustment.created"),
        ("payment", "Money refunded"),
        ("provider_event", "adjustment.created processed"),
        ("movement", "10 credits taken back, as their payment was given back"),
    ]
    details = {each.label: each for moment in line for each in moment.details}
    assert (details["Paid"].number, details["Paid"].currency) == (1800, "USD")
    assert details["Transaction"].text == paid.data["id"]
    assert details["Adjustment"].text == adjusted.data["id"]
    assert all(details[label].leads_on for label in ("Transaction", "Adjustment", "Event"))


async def test_what_the_operator_did_about_a_payment_is_on_its_time_line(
    seller: Seller, admin: asyncpg.Connection
) -> None:
    store = await seller.store()
    await listen(admin, OPERATOR, "billing.problem")
    paid = completed(await seller.paid(store))
    await seller.told([paid])
    await seller.spend(store, 70, "spent")
    adjusted = seller.paddle.account.adjust(paid.data["id"], "chargeback")
    await seller.told([adjusted])
    context = ActionContext("ann", "api", "look-1", "They paid by bank")
    assert await seller.service.parts.billing_actions.dismiss(context, adjusted.data["id"])

    record = await the_one(seller, "order")

    titles = [moment.title for moment in record.time_line]
    for expected in (
        "Money charged back",
        "Webhook billing.problem written",
        "Operator: problem.dismiss",
        "What could not be taken back was dismissed",
    ):
        assert titles.count(expected) == 1
    (action,) = record.actions
    assert (action.actor, action.reason) == ("ann", "They paid by bank")


async def test_a_subscription_is_found_by_its_id(seller: Seller) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store)

    record = await the_one(seller, subscription_id)

    assert record.found_as == (IdentifierKind.SUBSCRIPTION,)
    assert record.request_id == "subscribe-growth"
    assert "subscription.created" in {event.event_type for event in record.events}


async def test_a_webhook_about_no_request_of_ours_is_told_by_itself(seller: Seller) -> None:
    events = await seller.paid(await seller.store())
    stranger = completed(events).altered({"id": "txn_01h00000000000000000000000"})
    await seller.told([stranger])

    found = await seller.service.parts.requests.find("txn_01h00000000000000000000000")

    assert found.requests == []
    assert [event.event_id for event in found.events] == [stranger.event_id]
    store = await seller.store()
    of_one = await seller.service.parts.requests.find("txn_01h00000000000000000000000", store)
    assert of_one.events == []
