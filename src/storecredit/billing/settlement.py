"""What an event of Paddle's comes to: booked, ignored, set aside for the operator, or not yet.

Everything that is booked is booked by one SQL function (`sql/functions/billing.sql`) from our own
record of the sale. Here what Paddle says is compared with that record, and each difference gets a
sentence for the operator: ids and amounts, never a text that came from outside.

| event | comes to |
|---|---|
| `transaction.completed` of a checkout | its credits, once |
| … `origin: subscription_recurring` | the period's credits, once |
| … `origin: subscription_charge` | the payment of an overage bill |
| `subscription.*` | the subscription's state and the store's tier |
| `adjustment.*`, approved refund or chargeback | credits taken back |
| … still to be approved, or rejected | ignored |
| … a chargeback that was reversed, and all other actions | shown to the operator |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

import msgspec

from storecredit.billing.messages import (
    Adjustment,
    Content,
    CustomData,
    Subscription,
    Transaction,
)
from storecredit.billing.overage_charge import marked_overage
from storecredit.billing.subscriptions import SubscriptionStatus
from storecredit.postgres.pool import Connection, Record

BOOKED_ACTIONS: Final = frozenset({"refund", "chargeback"})
_STATUSES: Final = frozenset(SubscriptionStatus)


@dataclass(frozen=True, slots=True)
class Processed:
    """It was booked, now or before."""

    note: str | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing follows from it."""

    reason: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """It does not fit our records; a person has to look at it."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """What it is about is not known yet: events arrive in any order."""

    reason: str


Verdict = Processed | Ignored | SetAside | NotYet


async def settle(
    connection: Connection, content: Content, occurred_at: datetime, plans: Sequence[str]
) -> Verdict:
    """Book what the content says, in the caller's transaction; `plans` are on sale."""
    match content:
        case Transaction(origin="subscription_payment_method_change"):
            return Ignored("A means of payment was replaced; nothing was sold.")
        case Transaction(totals=None):
            return SetAside(f"Transaction {content.id} does not say what was paid.")
        case Transaction(origin="subscription_recurring"):
            return await _renewal(connection, content, occurred_at)
        case Transaction(origin="subscription_charge"):
            return await _overage(connection, content, occurred_at)
        case Transaction():
            return await _purchase(connection, content, occurred_at)
        case Subscription(status=status) if status not in _STATUSES:
            return SetAside(f"Subscription {content.id} has a status not known here: {status}.")
        case Subscription():
            return await _state(connection, content, occurred_at, plans)
        case Adjustment():
            return await _adjustment(connection, content)
        case _:
            assert_never(content)


async def _purchase(connection: Connection, paid: Transaction, paid_at: datetime) -> Verdict:
    checkout = await connection.fetchrow(
        "SELECT * FROM checkouts WHERE paddle_transaction_id = $1", paid.id
    )
    if checkout is None:
        return await _without_checkout(connection, paid)
    differences = [*_differences(checkout, paid), *_other_claims(checkout, paid.custom_data)]
    if checkout["purchase_type"] == "credits" and paid.subscription_id is not None:
        differences.append(f"it belongs to subscription {paid.subscription_id}")
    if differences:
        return _unlike(paid, f"checkout {checkout['checkout_id']}", differences)
    outcome = await connection.fetchval(
        "SELECT book_checkout($1, $2, $3, $4, $5, $6)",
        paid.id,
        paid.subscription_id,
        paid.billing_period.starts_at if paid.billing_period else None,
        paid.subtotal,
        paid.currency_code,
        paid_at,
    )
    return _verdict(outcome, paid)


async def _without_checkout(connection: Connection, paid: Transaction) -> Verdict:
    """Its checkout may yet be attached to it, if it is attached to nothing else."""
    waiting = paid.custom_data is not None and await connection.fetchval(
        "SELECT paddle_transaction_id IS NULL FROM checkouts WHERE checkout_id = $1",
        paid.custom_data.checkout_id,
    )
    if waiting:
        return NotYet(f"No checkout of ours is for transaction {paid.id} (yet).")
    return SetAside(f"No checkout of ours is for transaction {paid.id}.")


async def _renewal(connection: Connection, paid: Transaction, paid_at: datetime) -> Verdict:
    subscription = await connection.fetchrow(
        "SELECT * FROM store_subscriptions WHERE paddle_subscription_id = $1", paid.subscription_id
    )
    if subscription is None:
        return NotYet(f"Subscription {paid.subscription_id} is not known (yet).")
    differences = _differences(subscription, paid)
    if paid.billing_period is None:
        differences.append("it names no period")
    if differences or paid.billing_period is None:
        return _unlike(paid, f"subscription {paid.subscription_id}", differences)
    outcome = await connection.fetchval(
        "SELECT book_subscription_period($1, $2, $3, $4, $5, $6)",
        paid.id,
        paid.subscription_id,
        paid.billing_period.starts_at,
        paid.subtotal,
        paid.currency_code,
        paid_at,
    )
    return _verdict(outcome, paid)


async def _overage(connection: Connection, paid: Transaction, paid_at: datetime) -> Verdict:
    """The marker that we sent with the charge names the bill: its store and month."""
    found = [marked_overage(marker) for marker in paid.markers]
    if len(found) != 1 or found[0] is None:
        return SetAside(f"Transaction {paid.id} charges a subscription, but not for overage.")
    store_id, period = found[0]
    subscription = await connection.fetchrow(
        "SELECT store_id FROM store_subscriptions WHERE paddle_subscription_id = $1",
        paid.subscription_id,
    )
    if subscription is None:
        return NotYet(f"Subscription {paid.subscription_id} is not known (yet).")
    differences = [f"{paid.discount} were taken off"] if paid.discount != 0 else []
    if subscription["store_id"] != store_id:
        differences.append("it is marked for another store")
    if differences:
        return _unlike(paid, "the overage bill", differences)
    outcome = await connection.fetchval(
        "SELECT book_overage_payment($1, $2, $3, $4, $5, $6)",
        paid.id,
        paid.subscription_id,
        period,
        paid.subtotal,
        paid.currency_code,
        paid_at,
    )
    return _verdict(outcome, paid)


def _differences(sold: Record, paid: Transaction) -> list[str]:
    """What was paid otherwise than it was sold, in words."""
    differences = []
    if paid.subtotal != sold["amount"]:
        differences.append(f"the subtotal is {paid.subtotal}, not {sold['amount']}")
    if paid.currency_code != sold["currency"]:
        differences.append(f"the currency is {paid.currency_code}, not {sold['currency']}")
    if paid.discount != 0:
        differences.append(f"{paid.discount} were taken off")
    return differences


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


def _verdict(outcome: str, paid: Transaction) -> Verdict:
    match outcome:
        case "booked":
            return Processed()
        case "already_booked":
            return Processed("Booked before.")
        case "unknown_subscription":
            return NotYet(f"Subscription {paid.subscription_id} is not known (yet).")
        case "unknown_transaction" | "unknown_bill" | "mismatch":
            return SetAside(f"Transaction {paid.id} is not what was sold.")
        case "period_paid":
            return SetAside(
                f"Transaction {paid.id} pays what another transaction has paid: refund one of them."
            )
        case "conflict":
            return SetAside(
                f"Transaction {paid.id} was paid, but its request id has added other credits: "
                "add these under another one."
            )
        case _:
            raise AssertionError(f"a booking has no outcome {outcome}")


async def _state(
    connection: Connection,
    subscription: Subscription,
    occurred_at: datetime,
    plans: Sequence[str],
) -> Verdict:
    claims = subscription.custom_data or CustomData()
    period = subscription.current_billing_period
    outcome = await connection.fetchval(
        "SELECT apply_subscription_state($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        subscription.id,
        subscription.transaction_id,
        claims.checkout_id,
        claims.store_id,
        subscription.status,
        occurred_at,
        period.starts_at if period else None,
        period.ends_at if period else None,
        plans,
    )
    match outcome:
        case "applied":
            return Processed()
        case "stale":
            return Ignored("A state that is as new or newer was applied before.")
        case "unknown_subscription":
            return NotYet(f"Subscription {subscription.id} is not known (yet).")
        case "unknown_checkout":
            return SetAside(f"No checkout of ours began subscription {subscription.id}.")
        case "mismatch":
            return SetAside(
                f"Subscription {subscription.id} names another store, checkout or transaction than "
                "our record."
            )
        case _:
            raise AssertionError(f"a subscription's state has no outcome {outcome}")


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
        "SELECT * FROM book_adjustment($1, $2, $3, $4, $5, $6)",
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
