"""What of Paddle's events is read, and how.

The fields are those of https://developer.paddle.com/webhooks. What Paddle's reference or one of
its SDKs calls optional or nullable may be absent or null here (`tests/billing/test_sdk_types.py`
compares). An event is read anew at each attempt, from the copy that `redaction` has made of it: so
a version that knows more can read what an earlier one could not.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from types import MappingProxyType
from typing import Annotated, Final
from uuid import UUID

import msgspec

from storecredit.billing.paddle.redaction import Redaction

_PADDLE_ID: Final = re.compile(r"[a-z]{2,20}_[A-Za-z0-9]{1,64}", re.ASCII)
PaddleId = Annotated[str, msgspec.Meta(pattern=rf"^{_PADDLE_ID.pattern}\Z")]
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
Marker = Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,40}(:[0-9a-f-]{1,40}){1,3}\Z")]
Time = Annotated[datetime, msgspec.Meta(tz=True)]


_QUOTING: Final = ("Invalid enum value ", "Invalid value ")


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


class ChargeMark(Part, frozen=True):
    """The custom data of a price: it marks a charge of ours (`storecredit.billing.paddle.gateway`)."""

    storecredit_charge: Marker | None = None


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
        return tuple(mark.storecredit_charge for mark in marks if mark.storecredit_charge)


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
CONTENT_TYPES: Final[Mapping[str, type[Content]]] = MappingProxyType(
    {
        "transaction.completed": Transaction,
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


class References(msgspec.Struct, frozen=True):
    """Whatever in an event may name a thing of ours; read of any event, readable or not."""

    transaction_id: str | None
    subscription_id: str | None
    checkout_id: UUID | None
    markers: tuple[str, ...]


class MalformedEvent(Exception):
    """The body is no event of Paddle's; the message says where, without what stands there."""


class UnreadableContent(Exception):
    """An event of a known type lacks what it should have; the message says where."""


def read_event(body: bytes) -> Event:
    """The event in a webhook's body. Raises MalformedEvent."""
    try:
        return msgspec.json.decode(body, type=Event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(_said(error)) from None


def keep(event: Event) -> str | None:
    """The copy of an event that is kept, as JSON; None for a type that is ignored.

    Raises UnreadableContent: there is nothing that could be kept.
    """
    if event.event_type not in CONTENT_TYPES:
        return None
    try:
        data = msgspec.json.decode(event.data, type=dict[str, object])
        return msgspec.json.encode(_REDACTION.copy(data)).decode()
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UnreadableContent(_said(error)) from None


def read_content(event_type: str, kept: str) -> Content:
    """What a copy that was kept says. Raises UnreadableContent."""
    copy = msgspec.json.decode(kept)
    try:
        return msgspec.convert(copy, type=CONTENT_TYPES[event_type])
    except msgspec.ValidationError as error:
        raise UnreadableContent(_said(error)) from None


def read_transaction(entity: dict[str, object]) -> Transaction:
    """A transaction as the API has it, read as an event's is. Raises UnreadableContent."""
    try:
        return msgspec.convert(_REDACTION.copy(entity), type=Transaction)
    except msgspec.ValidationError as error:
        raise UnreadableContent(_said(error)) from None


def read_references(event_type: str, kept: str) -> References:
    """What a copy that was kept may have to do with us. Raises UnreadableContent: it has no id."""
    copy = msgspec.json.decode(kept, type=_Named)
    if (own := _id(copy.id)) is None:
        raise UnreadableContent("Expected an id - at `$.id`")
    type_ = CONTENT_TYPES[event_type]
    claims = copy.custom_data
    return References(
        transaction_id=own if type_ is Transaction else _id(copy.transaction_id),
        subscription_id=own if type_ is Subscription else _id(copy.subscription_id),
        checkout_id=None if claims is None else claims.checkout_id,
        markers=tuple(_marks(copy.items)),
    )


class _Named(msgspec.Struct):
    """Of a copy, what may name things, in whatever form it has."""

    id: object = None
    transaction_id: object = None
    subscription_id: object = None
    custom_data: CustomData | None = None
    items: object = None


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and _PADDLE_ID.fullmatch(value) else None


def _marks(items: object) -> Iterator[str]:
    for item in items if isinstance(items, list) else []:
        price = item.get("price") if isinstance(item, dict) else None
        data = price.get("custom_data") if isinstance(price, dict) else None
        if isinstance(data, dict) and isinstance(marker := data.get("storecredit_charge"), str):
            yield marker


def _in_form(type_: type[Part]) -> Callable[[object], object]:
    """Keeps custom data in that form; None of any other."""

    def judge(data: object) -> object:
        try:
            return msgspec.to_builtins(msgspec.convert(data, type=type_))
        except msgspec.ValidationError:
            return None

    return judge


def _claims(data: object) -> object:
    claims = _in_form(CustomData)(data)
    return claims if isinstance(claims, dict) and "checkout_id" in claims else None


_REDACTION: Final = Redaction(claims=_claims, marks=_in_form(ChargeMark))


def _said(error: Exception) -> str:
    """What is wrong, and where; of a wrong choice the library would quote what stands there."""
    said, at, where = str(error).rpartition(" - at ")
    return f"Invalid value{at}{where}" if said.startswith(_QUOTING) else str(error)
