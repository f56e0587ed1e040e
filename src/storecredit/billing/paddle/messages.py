"""What of Paddle's events and transactions is read.

The fields are those of https://developer.paddle.com/webhooks. What Paddle's reference or one of
its SDKs calls optional or nullable may be absent or null here (`tests/billing/test_sdk_types.py`
compares). `reading.py` reads them.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from types import MappingProxyType
from typing import Annotated, Final
from uuid import UUID

import msgspec

from storecredit.billing.paddle.charge_marker import ChargeMark

PADDLE_ID: Final = re.compile(r"[a-z]{2,20}_[A-Za-z0-9]{1,64}", re.ASCII)
PaddleId = Annotated[str, msgspec.Meta(pattern=rf"^{PADDLE_ID.pattern}\Z")]
Word = Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,60}\Z")]
EventType = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,100}\Z")]
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z]{3}\Z")]
Amount = (
    Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,15}\Z")]
    | Annotated[int, msgspec.Meta(gt=-(10**15), lt=10**15)]
)
"""In the currency's smallest unit, as a string. (A number can mean nothing else; one with decimals
could, and is not read.) https://developer.paddle.com/api-reference/about/data-types"""
Digits = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,15}\Z")]
RequestId = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]{1,200}\Z")]
"""Whoever opens the checkout's page can write it, and PostgreSQL reads no NUL out of JSON."""
Rate = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,4}(\.[0-9]{1,20})?\Z")]
Quantity = Annotated[int, msgspec.Meta(ge=-1_000_000_000, le=1_000_000_000)]
"""Below zero: taken off the subscription again."""
Time = Annotated[datetime, msgspec.Meta(tz=True)]

ITEMS_MAX: Final = 100
"""Lines that Paddle allows in a transaction."""


def _in_capitals(content: "Transaction | Adjustment") -> None:
    """A currency is the same in small letters (ISO 4217 writes capitals, and so do our records)."""
    msgspec.structs.force_setattr(content, "currency_code", content.currency_code.upper())


def _check_calendar(*moments: datetime) -> None:
    """An hour before the first year there is a time in a zone, but none that can be stored."""
    try:
        for moment in moments:
            moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("Expected a time between the years 1 and 9999 UTC") from None


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of an event, as far as it is read."""


class CustomData(Part, frozen=True):
    """What we told Paddle of the checkout when we opened it.

    Custom data that names no checkout in this form is not ours: another product's, or changed by
    hand at Paddle. Nothing is kept of it, and it claims nothing.
    """

    checkout_id: UUID | None = None
    store_id: UUID | None = None
    user_id: UUID | None = None
    purchase_type: Word | None = None
    credits: Digits | None = None
    request_id: RequestId | None = None


class Period(Part, frozen=True):
    """A billing period."""

    starts_at: Time
    ends_at: Time

    def __post_init__(self) -> None:
        _check_calendar(self.starts_at, self.ends_at)


class Totals(Part, frozen=True):
    """Amounts of a transaction or adjustment: before tax, and what was taken off."""

    subtotal: Amount
    discount: Amount | None = None


class Proration(Part, frozen=True):
    """The part of a period that a line is for."""

    rate: Rate


class Line(Part, frozen=True):
    """A line of a transaction as it was billed; below zero, it gives money back."""

    price_id: PaddleId | None = None
    quantity: Quantity | None = None
    proration: Proration | None = None
    totals: Totals | None = None

    @property
    def units(self) -> Fraction:
        """How many whole periods of its price it is for, in parts; negative if given back.

        Paddle says that quantities and amounts of a line may be negative
        (https://developer.paddle.com/changelog/2024/proration-improvements): either is enough.
        """
        quantity = 1 if self.quantity is None else self.quantity
        subtotal = 0 if self.totals is None else int(self.totals.subtotal)
        sign = -1 if quantity < 0 or subtotal < 0 else 1
        rate = Fraction(1) if self.proration is None else Fraction(self.proration.rate)
        return sign * abs(quantity) * rate


class Details(Part, frozen=True):
    """How a transaction's amount comes about."""

    totals: Totals | None = None
    line_items: Annotated[tuple[Line, ...], msgspec.Meta(max_length=ITEMS_MAX)] | None = None


class BillingCycle(Part, frozen=True):
    """How often a price is billed."""

    interval: Word
    frequency: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Money(Part, frozen=True):
    """So much, in that currency."""

    amount: Amount
    currency_code: Currency | None = None


class Price(Part, frozen=True):
    """What an item costs."""

    id: PaddleId | None = None
    unit_price: Money | None = None
    billing_cycle: BillingCycle | None = None
    custom_data: ChargeMark | None = None


class Item(Part, frozen=True):
    """What a transaction is for, or a subscription is of."""

    price: Price | None = None
    quantity: Quantity | None = None
    recurring: bool | None = None


Items = Annotated[tuple[Item, ...], msgspec.Meta(max_length=ITEMS_MAX)]


class Transaction(Part, frozen=True, tag_field="kind", tag="transaction"):
    """A transaction, in events a completed one.

    https://developer.paddle.com/api-reference/transactions
    """

    id: PaddleId
    origin: Word
    currency_code: Currency
    status: Word | None = None
    billed_at: Time | None = None
    details: Details | None = None
    subscription_id: PaddleId | None = None
    billing_period: Period | None = None
    custom_data: CustomData | None = None
    items: Items | None = None

    def __post_init__(self) -> None:
        _in_capitals(self)
        if self.billed_at is not None:
            _check_calendar(self.billed_at)

    @property
    def totals(self) -> Totals | None:
        """What it came to; None: it does not say."""
        return self.details.totals if self.details is not None else None

    @property
    def subtotal(self) -> int:
        """What it costs before tax and discount; below zero if more is given back than sold.

        Only of one that has totals.
        """
        assert self.totals is not None, "settle looks first"
        return int(self.totals.subtotal)

    @property
    def discount(self) -> int:
        """What was taken off. Only of one that has totals."""
        assert self.totals is not None, "settle looks first"
        return int(self.totals.discount or 0)

    @property
    def paid(self) -> int:
        """What was paid before tax; 0 if money was given back. Only of one that has totals."""
        return max(0, self.subtotal - self.discount)

    @property
    def lines(self) -> tuple[tuple[Price, Line], ...]:
        """What was billed, each line with its price as far as that is told."""
        prices = {item.price.id: item.price for item in self.items or () if item.price is not None}
        lines = self.details.line_items if self.details is not None else None
        return tuple(
            (prices.get(line.price_id, Price(id=line.price_id)), line)
            for line in lines or ()
            if line.quantity != 0
        )

    @property
    def markers(self) -> tuple[str, ...]:
        """Which charges of ours it holds."""
        prices = [item.price for item in self.items or () if item.price is not None]
        marks = [price.custom_data for price in prices if price.custom_data is not None]
        return tuple(mark.marker for mark in marks if mark.marker)


class Subscription(Part, frozen=True, tag_field="kind", tag="subscription"):
    """A subscription's state (https://developer.paddle.com/webhooks/subscriptions)."""

    id: PaddleId
    status: Word
    transaction_id: PaddleId | None = None
    current_billing_period: Period | None = None
    custom_data: CustomData | None = None
    items: Items | None = None


class Adjustment(Part, frozen=True, tag_field="kind", tag="adjustment"):
    """Money that went back (https://developer.paddle.com/webhooks/adjustments)."""

    id: PaddleId
    action: Word
    status: Word
    transaction_id: PaddleId
    currency_code: Currency
    totals: Totals
    type: Word | None = None

    def __post_init__(self) -> None:
        _in_capitals(self)


Content = Transaction | Subscription | Adjustment

_SUBSCRIPTION_EVENTS: Final = (
    *("created", "activated", "trialing", "updated"),
    *("past_due", "paused", "resumed", "canceled"),
)
COMPLETED_EVENT: Final = "transaction.completed"
CONTENT_TYPES: Final[Mapping[str, type[Content]]] = MappingProxyType(
    {
        COMPLETED_EVENT: Transaction,
        "adjustment.created": Adjustment,
        "adjustment.updated": Adjustment,
        **{f"subscription.{name}": Subscription for name in _SUBSCRIPTION_EVENTS},
    }
)
"""The events that are processed; every other type is ignored."""


class Event(msgspec.Struct, frozen=True):
    """The envelope of every event; `data` is read only as far as its type is known."""

    event_id: PaddleId
    event_type: EventType
    occurred_at: Time
    data: msgspec.Raw

    def __post_init__(self) -> None:
        _check_calendar(self.occurred_at)
