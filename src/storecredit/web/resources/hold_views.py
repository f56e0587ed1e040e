"""What is sent to the doors of holds, and what they answer: a store's and the operator's alike."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from storecredit.ledger.hold_records import Hold, HoldStatus
from storecredit.ledger.holds import SECONDS_DEFAULT, SECONDS_MAX
from storecredit.web.http.bodies import Body
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import said
from storecredit.web.resources.metadata import Metadata
from storecredit.web.resources.spend_forms import Amount, Description

Seconds = Annotated[int, msgspec.Meta(ge=1, le=SECONDS_MAX)]


class HoldBody(Body, frozen=True):
    """Credits to set aside."""

    amount: Amount
    expires_in_seconds: Annotated[
        Seconds, said("When they go back by themselves, from now; at most a week.")
    ] = SECONDS_DEFAULT
    description: Description = None
    metadata: Metadata = None


class CaptureBody(Body, frozen=True):
    """How much of a hold to spend."""

    amount: Annotated[
        Amount | None, said("At most what is held; the rest goes back. All of it unless given.")
    ] = None


class ReleaseBody(Body, frozen=True):
    """No field at all: a hold is released whole; to keep a part of it, capture that."""


class ExtendBody(Body, frozen=True):
    """How long a hold is to last."""

    expires_in_seconds: Annotated[
        Seconds, said("From now; a hold that lasts longer already stays as it is.")
    ]


class HoldMade(msgspec.Struct, frozen=True):
    """Credits were set aside, now or by this very request before."""

    hold_id: Annotated[UUID, said("The hold's id, to capture or release it by.")]
    amount: Annotated[int, said("How many credits.")]
    expires_at: Annotated[datetime, said("When it is over unless it is extended.")]
    balance: Annotated[int, said("The credits that are left; held ones are none of them.")]
    request_id: Annotated[str, said("The request id: the same one again is the same hold.")]
    status: HoldStatus


class HoldView(msgspec.Struct, frozen=True):
    """One hold. `captured` and `ended_at` are null until it has ended."""

    hold_id: Annotated[UUID, said("The hold's id.")]
    status: HoldStatus
    request_id: Annotated[str, said("The request that made it.")]
    amount: Annotated[int, said("How many credits were set aside.")]
    captured: Annotated[int | None, said("How many of them were spent; the others went back.")]
    description: str
    metadata: Annotated[dict[str, str] | None, said("As it was sent.")]
    created_at: datetime
    expires_at: Annotated[datetime, said("When it is over by itself.")]
    ended_at: Annotated[datetime | None, said("When it ended.")]


class HoldPage(msgspec.Struct, frozen=True):
    """Holds, newest first."""

    items: list[HoldView]
    next_cursor: Annotated[str | None, said("The `cursor` of the next page; null: there is none.")]


class HoldOver(msgspec.Struct, frozen=True):
    """A hold has ended as was asked for, now or by an earlier request for the same."""

    hold_id: Annotated[UUID, said("The hold.")]
    status: HoldStatus
    amount: Annotated[int, said("How many credits were held.")]
    captured: Annotated[int, said("How many of them were spent.")]
    released: Annotated[int, said("How many of them went back to the balance.")]
    ended_at: Annotated[datetime, said("When it ended.")]
    balance: Annotated[int, said("The credits that can be spent now.")]


class HoldExtended(msgspec.Struct, frozen=True):
    """The hold lasts until then."""

    hold_id: Annotated[UUID, said("The hold.")]
    status: HoldStatus
    expires_at: Annotated[datetime, said("When it is over unless it is extended again.")]
    balance: Annotated[int, said("The credits that can be spent now.")]


def hold_view(found: Hold) -> HoldView:
    """A hold as its owner sees it."""
    return HoldView(
        hold_id=found.hold_id,
        status=found.status,
        request_id=found.request_id,
        amount=found.amount,
        captured=found.captured,
        description=found.description,
        metadata=found.metadata,
        created_at=utc(found.created_at),
        expires_at=utc(found.expires_at),
        ended_at=found.ended_at and utc(found.ended_at),
    )
