"""What Paddle tells of a subscription comes to: its state, and the credits of what was paid.

What was bought is decided by the lines of the transaction (`plan_prices`), what was paid by its
totals: with a coupon or a retention discount a period adds all of its credits, for less. When the
plan was changed within a period, the lines hold the new plan's part of it and, below zero, the old
one's (https://developer.paddle.com/concepts/subscriptions/proration); their sum is what is added,
or taken back. A change that is billed with the next period stands among that period's lines.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from storecredit.billing.catalogue import Catalogue
from storecredit.billing.paddle import PROVIDER
from storecredit.billing.paddle.messages import CustomData, Subscription, Transaction
from storecredit.billing.paddle.plan_prices import PlanPrices, Worth
from storecredit.billing.paddle.verdicts import (
    Ignored,
    NotYet,
    Processed,
    SetAside,
    Verdict,
    booking,
)
from storecredit.postgres.servers import Connection, Record

CHANGE: Final = "subscription_update"
"""Where a transaction comes from that bills a change within a period."""
CREDITS_MAX: Final = 2**31 - 1
"""The most that one row of a ledger holds."""


async def settle_payment(
    connection: Connection,
    paid: Transaction,
    paid_at: datetime,
    catalogue: Catalogue,
    grace: timedelta,
) -> Verdict:
    """Book a period that was paid, or a change within one."""
    checkout = await _checkout(connection, paid.subscription_id, None)
    if checkout is None:
        return NotYet(f"Subscription {paid.subscription_id} is not known (yet).")
    worth = PlanPrices(catalogue, checkout).worth(paid)
    if worth.plan is None or worth.is_open:
        return _no_plan(paid, worth.unknown)
    if differences := _differences(paid, worth):
        return SetAside(
            f"Transaction {paid.id} cannot be booked as a payment of subscription "
            f"{paid.subscription_id}: {'; '.join(differences)}."
        )
    period = None if paid.origin == CHANGE else paid.billing_period
    outcome = await connection.fetchval(
        "SELECT book_subscription_payment($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        PROVIDER,
        paid.id,
        paid.subscription_id,
        None if period is None else period.starts_at,
        worth.plan,
        worth.credits,
        paid.paid,
        paid.currency_code,
        paid_at,
        paid.billing_period.ends_at if paid.billing_period else None,
        worth.rollover_max,
        grace,
    )
    verdict = booking(outcome, paid)
    if verdict == Processed() and worth.unknown:
        return Processed(f"What is no plan added nothing: {', '.join(worth.unknown)}.")
    return verdict


def _no_plan(paid: Transaction, unknown: Sequence[str]) -> SetAside:
    names = ", ".join(unknown) or "no line"
    return SetAside(
        f"Transaction {paid.id} pays subscription {paid.subscription_id} for what is none of your "
        f"plans ({names}): name the price in the catalogue (paddle_price_ids) and retry, or book "
        "the transaction by hand.",
        subject=f"{paid.subscription_id} {names}",
    )


def _differences(paid: Transaction, worth: Worth) -> list[str]:
    """Why it cannot be what it seems, in words."""
    differences = []
    if paid.origin != CHANGE and paid.billing_period is None:
        differences.append("it names no period")
    # Where money is given back a discount may go back with it.
    if paid.subtotal >= 0 and not 0 <= paid.discount <= paid.subtotal:
        differences.append(f"{paid.discount} were taken off {paid.subtotal}")
    if abs(worth.credits) > CREDITS_MAX:
        differences.append(f"it is for {worth.credits} credits")
    return differences


async def settle_state(
    connection: Connection,
    subscription: Subscription,
    occurred_at: datetime,
    catalogue: Catalogue,
) -> Verdict:
    """Keep the state and the plan, and let the store's tier follow."""
    claims = subscription.custom_data or CustomData()
    period = subscription.current_billing_period
    checkout = await _checkout(connection, subscription.id, subscription.transaction_id)
    terms = PlanPrices(catalogue, checkout).terms_of_items(subscription.items or ())
    outcome = await connection.fetchval(
        """SELECT apply_subscription_state(
               $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)""",
        PROVIDER,
        subscription.id,
        subscription.transaction_id,
        claims.checkout_id,
        claims.store_id,
        subscription.status,
        occurred_at,
        period.starts_at if period else None,
        period.ends_at if period else None,
        [plan.name for plan in catalogue.plans],
        terms.plan if terms else None,
        terms.credits if terms else None,
        terms.amount if terms else None,
        terms.currency if terms else None,
    )
    return _applied(outcome, subscription)


def _applied(outcome: str, subscription: Subscription) -> Verdict:
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


async def _checkout(
    connection: Connection, subscription_id: str | None, transaction_id: str | None
) -> Record | None:
    """The checkout that began the subscription, as far as that is known."""
    return await connection.fetchrow(
        """SELECT c.* FROM subscriptions s JOIN checkouts c USING (checkout_id)
           WHERE s.provider = $1 AND s.provider_subscription_id = $2
           UNION ALL
           SELECT c.* FROM checkouts c
           WHERE c.provider = $1 AND c.provider_transaction_id = $3
           LIMIT 1""",
        PROVIDER,
        subscription_id,
        transaction_id,
    )
