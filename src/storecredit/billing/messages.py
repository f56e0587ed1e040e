"""What of Paddle's events is read and kept, and nothing else.

The fields are those of https://developer.paddle.com/webhooks; each text is bounded to the form that
Paddle gives it, so that no name, address or means of payment can be among what is kept. A field
that is not declared here is neither read nor stored.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

PaddleId = Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2,20}_[A-Za-z0-9]{1,64}\Z")]
Word = Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,60}\Z")]
EventType = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,100}\Z")]
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")]
Amount = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,15}\Z")]
"""In the currency's smallest unit, as a string (https://developer.paddle.com/api-reference)."""
Digits = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,15}\Z")]
RequestId = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Marker = Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,40}(:[0-9a-f-]{1,40}){1,3}\Z")]
Time = Annotated[datetime, msgspec.Meta(tz=True)]


_QUOTING: Final = ("Invalid enum value ", "Invalid value ")


def _check_calendar(*moments: datetime) -> None:
    """An hour before the first year there is a time in a zone, but none that can be stored."""
    try:
        for moment in moments:
            moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("Expected a time between the years 1 and 9999 UTC") from None


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of an event that is kept."""


class CustomData(Kept, frozen=True):
    """What we told Paddle of the checkout when we opened it."""

    checkout_id: UUID | None = None
    store_id: UUID | None = None
    user_id: UUID | None = None
    purchase_type: Word | None = None
    credits: Digits | None = None
    request_id: RequestId | None = None


class Period(Kept, frozen=True):
    """A billing period."""

    starts_at: Time
    ends_at: Time

    def __post_init__(self) -> None:
        _check_calendar(self.starts_at, self.ends_at)


class Totals(Kept, frozen=True):
    """Amounts of a transaction or adjustment: before tax, and what was taken off."""

    subtotal: Amount
    discount: Amount = "0"


class Details(Kept, frozen=True):
    """How a transaction's amount comes about."""

    totals: Totals


class ChargeMark(Kept, frozen=True):
    """The custom data of a price: it marks a charge of ours (`storecredit.billing.paddle`)."""

    storecredit_charge: Marker | None = None


class Price(Kept, frozen=True):
    """What an item costs."""

    custom_data: ChargeMark | None = None


class Item(Kept, frozen=True):
    """One line of a transaction."""

    price: Price | None = None


class Transaction(Kept, frozen=True, tag_field="kind", tag="transaction"):
    """A completed transaction (https://developer.paddle.com/webhooks/transactions)."""

    id: PaddleId
    origin: Word
    currency_code: Currency
    details: Details
    subscription_id: PaddleId | None = None
    billing_period: Period | None = None
    custom_data: CustomData | None = None
    items: Annotated[tuple[Item, ...], msgspec.Meta(max_length=100)] = ()

    @property
    def subtotal(self) -> int:
        """What was paid for, before tax."""
        return int(self.details.totals.subtotal)

    @property
    def discount(self) -> int:
        """What was taken off."""
        return int(self.details.totals.discount)

    @property
    def markers(self) -> tuple[str, ...]:
        """Which charges of ours it holds."""
        prices = [item.price for item in self.items if item.price is not None]
        marks = [price.custom_data for price in prices if price.custom_data is not None]
        return tuple(mark.storecredit_charge for mark in marks if mark.storecredit_charge)


class Subscription(Kept, frozen=True, tag_field="kind", tag="subscription"):
    """A subscription's state (https://developer.paddle.com/webhooks/subscriptions)."""

    id: PaddleId
    status: Literal["active", "trialing", "past_due", "paused", "canceled"]
    transaction_id: PaddleId | None = None
    current_billing_period: Period | None = None
    custom_data: CustomData | None = None


class Adjustment(Kept, frozen=True, tag_field="kind", tag="adjustment"):
    """Money that went back (https://developer.paddle.com/webhooks/adjustments)."""

    id: PaddleId
    action: Word
    status: Word
    transaction_id: PaddleId
    currency_code: Currency
    totals: Totals
    type: Word = "partial"


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


def read_content(event: Event) -> Content | None:
    """What is kept of an event, None for a type that is ignored. Raises UnreadableContent."""
    type_ = CONTENT_TYPES.get(event.event_type)
    if type_ is None:
        return None
    try:
        return msgspec.convert(msgspec.json.decode(event.data), type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableContent(_said(error)) from None


def _said(error: Exception) -> str:
    """What is wrong, and where; of a wrong choice the library would quote what stands there."""
    said, at, where = str(error).rpartition(" - at ")
    return f"Invalid value{at}{where}" if said.startswith(_QUOTING) else str(error)


def pack(content: Content) -> str:
    """The content as it is stored."""
    return msgspec.json.encode(content).decode()


def unpack(stored: str) -> Content:
    """The content that was stored."""
    content: Content = msgspec.json.decode(stored, type=Content)
    return content
