"""Reads Paddle's events and answers, and makes the copy of an event that is kept.

An event is read anew at each attempt, from the copy that `redaction` has made of it: so a version
that knows more can read what an earlier one could not.
"""

from collections.abc import Callable, Iterator
from typing import Final
from uuid import UUID

import msgspec

from storecredit.billing.paddle.charge_marker import ChargeMark, marker_in
from storecredit.billing.paddle.messages import (
    CONTENT_TYPES,
    PADDLE_ID,
    Content,
    CustomData,
    Event,
    Subscription,
    Transaction,
)
from storecredit.billing.paddle.redaction import CUSTOM_DATA, Redaction

_QUOTING: Final = ("Invalid enum value ", "Invalid value ")


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


def about(event_type: str, kept: str) -> dict[str, object]:
    """What was read of an event, to be shown; of one that cannot be read, what is kept of it."""
    try:
        read: dict[str, object] = msgspec.to_builtins(read_content(event_type, kept))
    except UnreadableContent:
        return msgspec.json.decode(kept, type=dict[str, object])
    return read


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
    return value if isinstance(value, str) and PADDLE_ID.fullmatch(value) else None


def _marks(items: object) -> Iterator[str]:
    for item in items if isinstance(items, list) else []:
        price = item.get("price") if isinstance(item, dict) else None
        data = price.get(CUSTOM_DATA) if isinstance(price, dict) else None
        if (marker := marker_in(data)) is not None:
            yield marker


def _in_form(type_: type[CustomData | ChargeMark]) -> Callable[[object], object]:
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
