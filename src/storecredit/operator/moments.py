"""The moments of a time line: what they look like. `time_lines.py` makes them."""

from datetime import datetime
from enum import StrEnum

import msgspec


class MomentKind(StrEnum):
    """What a moment is about."""

    ANSWER = "answer"
    ACTION = "action"
    MOVEMENT = "movement"
    GENERATION = "generation"
    ATTEMPT = "attempt"
    HOLD = "hold"
    GRANT = "grant"
    CHECKOUT = "checkout"
    CHARGE = "charge"
    PAYMENT = "payment"
    PROVIDER_EVENT = "provider_event"
    WEBHOOK = "webhook"
    DELIVERY = "delivery"


class Detail(msgspec.Struct, frozen=True):
    """One thing that is said of a moment: in words, a time, a number, or money.

    `number` with a `currency` is money in its smallest unit. `leads_on`: the words are another id,
    which can be looked up.
    """

    label: str
    text: str | None = None
    at: datetime | None = None
    number: int | None = None
    currency: str | None = None
    leads_on: bool = False


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. `title` is a sentence without its full stop.

    `is_ahead`: it has not happened yet, and is due then. `is_trouble`: something failed, or waits
    for the operator.
    """

    at: datetime
    kind: MomentKind
    title: str
    details: list[Detail] = msgspec.field(default_factory=list)
    is_ahead: bool = False
    is_trouble: bool = False
