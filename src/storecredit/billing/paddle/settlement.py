"""What an event of Paddle's comes to: booked, ignored, set aside for the operator, or not yet.

Everything that is booked is booked by one SQL function (`sql/functions/billing/`) from our own
record of the sale. Here what Paddle says is compared with that record, and each difference gets a
sentence for the operator: ids and amounts, never a text that came from outside.

| event | comes to |
|---|---|
| `transaction.completed` of a checkout | its credits, once |
| … `origin: subscription_recurring` | the period's credits, once (`subscription_settlement`) |
| … `origin: subscription_update` | the credits of a change within a period, or less of them |
| … `origin: subscription_charge` | the payment of an overage bill; the credits of a top-up |
| `subscription.*` | the subscription's state and the store's tier |
| `adjustment.*`, approved refund or chargeback | credits taken back |
| … still to be approved, or rejected | ignored |
| … a chargeback that was reversed, and all other actions | shown to the operator |
"""

from datetime import datetime, timedelta
from typing import Final, assert_never

import msgspec

from storecredit.billing.catalogue import Catalogue
from storecredit.billing.paddle import PROVIDER
from storecredit.billing.paddle.charge_marker import marked_charge
from storecredit.billing.paddle.messages import (
    Adjustment,
    Content,
    CustomData,
    Subscription,
    Transaction,
)
from storecredit.billing.paddle.subscription_settlement import settle_payment, settle_state
from storecredit.billing.paddle.verdicts import (
    Ignored,
    NotYet,
    Processed,
    SetAside,
    Verdict,
    booking,
)
from storecredit.billing.subscriptions import SubscriptionStatus
from storecredit.postgres.pool import DedicatedConnection
from storecredit.postgres.servers import Connection, Record

BOOKED_ACTIONS: Final = frozenset({"refund", "chargeback"})
_STATUSES: Final = frozenset(SubscriptionStatus)


async def settle(
    connection: Connection,
    content: Content,
    occurred_at: datetime,
    catalogue: Catalogue,
    grace: timedelta,
) -> Verdict:
    """Book what the content says, in the caller's transaction.

    `grace`: how long credits live on that come back to what has expired meanwhile.
    """
    match content:
        case Transaction(origin="subscription_payment_method_change"):
            return await _means_of_payment(connection, content)
        case Transaction():
            return await _transaction(connection, content, occurred_at, catalogue, grace)
        case Subscription(status=status) if status not in _STATUSES:
            return SetAside(f"Subscription {content.id} has a status not known here: {status}.")
        case Subscription():
            return await settle_state(connection, content, occurred_at, catalogue)
        case Adjustment():
            return await _adjustment(connection, content)
        case _:
            assert_never(content)


async def _transaction(
    connection: Connection,
    paid: Transaction,
    paid_at: datetime,
    catalogue: Catalogue,
    grace: timedelta,
) -> Verdict:
    if await _is_booked(connection, paid):
        return Processed("Booked before.")
    if paid.totals is None:
        return SetAside(f"Transaction {paid.id} does not say what was paid.")
    match paid.origin:
        case "subscription_recurring" | "subscription_update":
            return await settle_payment(connection, paid, paid_at, catalogue, grace)
        case "subscription_charge":
            return await settle_charge(connection, paid, paid_at, grace)
        case _:
            return await _purchase(connection, paid, paid_at, grace)


async def _is_booked(connection: Connection, paid: Transaction) -> bool:
    """By an event before this one, or by hand: then our record says no more what it is."""
    found: bool = await connection.fetchval(
        """SELECT EXISTS (
               SELECT FROM payments WHERE provider = $1 AND provider_transaction_id = $2)""",
        PROVIDER,
        paid.id,
    )
    return found


async def _purchase(
    connection: Connection, paid: Transaction, paid_at: datetime, grace: timedelta
) -> Verdict:
    checkout = await connection.fetchrow(
        """SELECT c.*, CASE a.owner_kind WHEN 'store' THEN a.owner_id END AS store_id,
               CASE a.owner_kind WHEN 'user' THEN a.owner_id END AS user_id
           FROM checkouts c JOIN accounts a USING (account_id)
           WHERE c.provider = $1 AND c.provider_transaction_id = $2""",
        PROVIDER,
        paid.id,
    )
    if checkout is None:
        return await _without_checkout(connection, paid)
    differences = [*_differences(checkout, paid), *_other_claims(checkout, paid.custom_data)]
    if checkout["purchase_type"] == "credits" and paid.subscription_id is not None:
        differences.append(f"it belongs to subscription {paid.subscription_id}")
    if differences:
        return _unlike(paid, f"checkout {checkout['checkout_id']}", differences)
    outcome = await connection.fetchval(
        "SELECT book_checkout($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        PROVIDER,
        paid.id,
        paid.subscription_id,
        paid.billing_period.starts_at if paid.billing_period else None,
        paid.subtotal,
        paid.currency_code,
        paid_at,
        paid.discount,
        paid.billing_period.ends_at if paid.billing_period else None,
        grace,
    )
    return booking(outcome, paid)


async def _without_checkout(connection: Connection, paid: Transaction) -> Verdict:
    """Its checkout may yet be attached to it, if it is attached to nothing else."""
    waiting = paid.custom_data is not None and await connection.fetchval(
        """SELECT provider_transaction_id IS NULL FROM checkouts
           WHERE provider = $1 AND checkout_id = $2""",
        PROVIDER,
        paid.custom_data.checkout_id,
    )
    if waiting:
        return NotYet(f"No checkout of ours is for transaction {paid.id} (yet).")
    return SetAside(f"No checkout of ours is for transaction {paid.id}.")


async def _means_of_payment(connection: Connection, replaced: Transaction) -> Verdict:
    """What was declined may be charged now."""
    resumed = await connection.fetchval(
        "SELECT resume_declined_top_up($1, $2)", PROVIDER, replaced.subscription_id
    )
    if resumed:
        return Processed("A means of payment was replaced, and the store's top-up goes on.")
    return Ignored("A means of payment was replaced; nothing was sold.")


async def settle_charge(
    connection: Connection | DedicatedConnection,
    paid: Transaction,
    paid_at: datetime,
    grace: timedelta,
) -> Verdict:
    """Book what a subscription was charged by us, and has paid.

    The marker that we sent with the charge names it: its store and request id.
    """
    if paid.totals is None:
        return SetAside(f"Transaction {paid.id} does not say what was paid.")
    found = [marked_charge(marker) for marker in paid.markers]
    if len(found) != 1 or found[0] is None:
        return SetAside(f"Transaction {paid.id} charges a subscription, but not by us.")
    store_id, request_id = found[0]
    subscription = await connection.fetchrow(
        """SELECT a.owner_id AS store_id FROM subscriptions s JOIN accounts a USING (account_id)
           WHERE s.provider = $1 AND s.provider_subscription_id = $2""",
        PROVIDER,
        paid.subscription_id,
    )
    if subscription is None:
        return NotYet(f"Subscription {paid.subscription_id} is not known (yet).")
    differences = _discount_differences(paid)
    if subscription["store_id"] != store_id:
        differences.append("it is marked for another store")
    if differences:
        return _unlike(paid, f"the charge {request_id}", differences)
    outcome = await connection.fetchval(
        "SELECT book_charge_payment($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        PROVIDER,
        paid.id,
        paid.subscription_id,
        request_id,
        paid.subtotal,
        paid.currency_code,
        paid_at,
        paid.discount,
        grace,
    )
    return booking(outcome, paid)


def _differences(sold: Record, paid: Transaction) -> list[str]:
    """What is otherwise than it was sold, in words. A discount is not: you grant it at Paddle."""
    differences = _discount_differences(paid)
    if paid.subtotal != sold["amount"]:
        differences.append(f"the subtotal is {paid.subtotal}, not {sold['amount']}")
    if paid.currency_code != sold["currency"]:
        differences.append(f"the currency is {paid.currency_code}, not {sold['currency']}")
    return differences


def _discount_differences(paid: Transaction) -> list[str]:
    """No discount is below zero or more than the price."""
    possible = 0 <= paid.discount <= max(0, paid.subtotal)
    return [] if possible else [f"{paid.discount} were taken off"]


def _other_claims(checkout: Record, claims: CustomData | None) -> list[str]:
    """Which fields of the custom data are not what we had put there."""
    told = msgspec.structs.asdict(claims or CustomData())
    return [
        f"its custom data names another {name}"
        for name, value in told.items()
        if value is not None and str(value) != str(checkout[name])
    ]


def _unlike(paid: Transaction, sold: str, differences: list[str]) -> SetAside:
    return SetAside(f"Transaction {paid.id} is not what {sold} sold: {'; '.join(differences)}.")


async def _adjustment(connection: Connection, adjustment: Adjustment) -> Verdict:
    match adjustment.status:
        case "pending_approval":
            return Ignored("Paddle has not decided on it yet, and will tell.")
        case "rejected":
            return Ignored("Paddle rejected it: the payment stands.")
        case "approved" if adjustment.action in BOOKED_ACTIONS:
            return await _clawback(connection, adjustment)
        case status:
            # Above all a chargeback that was reversed: the money is back, the credits are not.
            return SetAside(
                f"Adjustment {adjustment.id} of transaction {adjustment.transaction_id} "
                f"({adjustment.action}, {status}) moves no credits by itself: grant some by "
                "hand if they should."
            )


async def _clawback(connection: Connection, adjustment: Adjustment) -> Verdict:
    row = await connection.fetchrow(
        "SELECT * FROM book_adjustment($1, $2, $3, $4, $5, $6, $7)",
        PROVIDER,
        adjustment.id,
        adjustment.transaction_id,
        adjustment.action,
        adjustment.type == "full",
        int(adjustment.totals.subtotal),
        adjustment.currency_code,
    )
    assert row is not None, "book_adjustment returns one row"
    match row["outcome"]:
        case "booked" | "already_booked" if row["taken"] < row["credits"]:
            return Processed(f"Of {row['credits']} credits only {row['taken']} could be taken.")
        case "booked" | "already_booked":
            return Processed()
        case "unknown_payment":
            return NotYet(f"No payment of transaction {adjustment.transaction_id} is booked (yet).")
        case "mismatch":
            return SetAside(
                f"Adjustment {adjustment.id} is not in the currency of transaction "
                f"{adjustment.transaction_id}, or of no amount."
            )
        case outcome:
            raise AssertionError(f"an adjustment has no outcome {outcome}")
