"""Of a time line what was sold: checkouts, payments, charges, and the provider's events."""

from collections.abc import Iterator
from typing import Final

from storecredit.operator.moments import Detail, Moment, MomentKind
from storecredit.operator.records import (
    BillRow,
    CheckoutRow,
    ClawbackRow,
    EventRow,
    PaymentRow,
    RequestRecord,
    TopUpRow,
)

BECAME: Final = {
    "received": "waits to be looked at",
    "failing": "could not be processed yet; it is tried again",
    "processed": "processed",
    "ignored": "ignored",
    "set_aside": "set aside: it needs the operator",
}
"""What became of a provider's event, by its status."""
WENT_BACK: Final = {
    "refund": "Money refunded",
    "chargeback": "Money charged back",
    "downgrade": "Credits taken back for a smaller plan",
}


def moments_of_sales(record: RequestRecord) -> Iterator[Moment]:
    """What was opened, charged, paid, given back, and the provider's events about it."""
    yield from (_checkout(row) for row in record.checkouts)
    for bill in record.overage_bills:
        yield from _charge(bill)
    for top_up in record.top_ups:
        yield from _charge(top_up)
    yield from (_payment(row) for row in record.payments)
    for clawback in record.clawbacks:
        yield from _clawback(clawback)
    for event in record.events:
        yield from moments_of_event(event)


def _checkout(row: CheckoutRow) -> Moment:
    return Moment(
        at=row.created_at,
        kind=MomentKind.CHECKOUT,
        title=f"Checkout opened for {row.plan}",
        details=[
            Detail("Checkout", str(row.checkout_id), leads_on=True),
            Detail("Credits", number=row.credits),
            Detail("Price", number=row.amount, currency=row.currency),
            _transaction(row.transaction_id),
        ],
    )


def _charge(row: BillRow | TopUpRow) -> Iterator[Moment]:
    """A bill or a top-up, charged through the subscription, and how that ended."""
    is_bill = isinstance(row, BillRow)
    name = f"Overage bill of {row.period:%Y-%m}" if isinstance(row, BillRow) else "Auto top-up"
    details = [
        Detail("Credits", number=row.credits),
        Detail("Amount", number=row.amount, currency=row.currency),
        Detail("Attempts", number=row.attempts),
    ]
    if row.last_error:
        details.append(Detail("Last error", row.last_error))
    title = f"{name} {'made' if is_bill else 'asked for'}"
    yield Moment(
        at=row.created_at,
        kind=MomentKind.CHARGE,
        title=title,
        details=details,
        is_trouble=row.charged_at is None and row.last_error is not None,
    )
    if row.charged_at is not None:
        yield Moment(
            at=row.charged_at,
            kind=MomentKind.CHARGE,
            title=f"{name} charged",
            details=[_transaction(row.transaction_id)],
        )
    if isinstance(row, TopUpRow) and row.dropped_at is not None:
        title = f"{name} given up; nothing was charged"
        yield Moment(at=row.dropped_at, kind=MomentKind.CHARGE, title=title, is_trouble=True)


def _payment(row: PaymentRow) -> Moment:
    details = [
        Detail("Paid", number=row.amount, currency=row.currency),
        Detail("Credits", number=row.credits),
        Detail("Paid at", at=row.paid_at),
        _transaction(row.transaction_id),
    ]
    if row.subscription_id is not None:
        details.append(Detail("Subscription", row.subscription_id, leads_on=True))
    return Moment(
        at=row.created_at,
        kind=MomentKind.PAYMENT,
        title=f"Payment booked ({row.kind})",
        details=details,
    )


def _clawback(row: ClawbackRow) -> Iterator[Moment]:
    details = [
        Detail("Adjustment", row.adjustment_id, leads_on=True),
        Detail("Credits to take back", number=row.credits),
        Detail("Taken", number=row.taken),
    ]
    is_short = row.taken < row.credits and row.dismissed_at is None
    if is_short:
        details.append(
            Detail("Short by", f"{row.credits - row.taken:,}: a billing problem until dismissed")
        )
    yield Moment(
        at=row.created_at,
        kind=MomentKind.PAYMENT,
        title=WENT_BACK.get(row.action, row.action),
        details=details,
        is_trouble=is_short,
    )
    if row.dismissed_at is not None:
        title = "What could not be taken back was dismissed"
        yield Moment(at=row.dismissed_at, kind=MomentKind.PAYMENT, title=title)


def moments_of_event(row: EventRow) -> Iterator[Moment]:
    """That it came, and what was done with it."""
    yield Moment(
        at=row.received_at,
        kind=MomentKind.PROVIDER_EVENT,
        title=f"Paddle told {row.event_type}",
        details=[
            Detail("Event", row.event_id, leads_on=True),
            Detail("Happened there", at=row.occurred_at),
            *([] if row.settled_at else _became(row)),
        ],
        is_trouble=row.status == "failing",
    )
    if row.settled_at is not None:
        yield Moment(
            at=row.settled_at,
            kind=MomentKind.PROVIDER_EVENT,
            title=f"{row.event_type} {BECAME.get(row.status, row.status)}",
            details=_became(row)[1:],
            is_trouble=row.status == "set_aside",
        )


def _became(row: EventRow) -> list[Detail]:
    details = [
        Detail("What became of it", BECAME.get(row.status, row.status)),
        Detail("Attempts", number=row.attempts),
    ]
    return [*details, Detail("Why", row.reason)] if row.reason else details


def _transaction(transaction_id: str | None) -> Detail:
    if transaction_id is None:
        return Detail("Transaction", "none yet")
    return Detail("Transaction", transaction_id, leads_on=True)
