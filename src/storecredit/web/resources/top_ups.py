"""A store's auto top-up: read, switched on and off, by the store or the operator."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from storecredit.billing.top_ups import (
    DAY_DEFAULT,
    DAY_MAX,
    MONTH_DEFAULT,
    MONTH_MAX,
    THRESHOLD_MAX,
    NotSwitchedOn,
    PauseReason,
    TopUp,
    TopUpSettings,
    TopUpStatus,
)
from storecredit.web.http.bodies import Body, wrong
from storecredit.web.http.envelope import Envelope, ErrorCode, Failure
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import example, said
from storecredit.web.parts import Parts

Threshold = Annotated[int, msgspec.Meta(ge=0, le=THRESHOLD_MAX)]
Credits = Annotated[int, msgspec.Meta(ge=1)]
PerDay = Annotated[int, msgspec.Meta(ge=1, le=DAY_MAX)]
PerMonth = Annotated[int, msgspec.Meta(ge=1, le=MONTH_MAX)]

EXAMPLE = example({"threshold": 50, "credits": 500, "max_per_day": 1, "max_per_month": 10})


class TopUpBody(Body, frozen=True):
    """At a balance of `threshold` or below, `credits` are bought, so often at most."""

    threshold: Threshold
    credits: Credits
    max_per_day: PerDay = DAY_DEFAULT
    max_per_month: PerMonth = MONTH_DEFAULT


class TopUpView(msgspec.Struct, frozen=True):
    """A store's auto top-up. Days and months are those of UTC."""

    status: TopUpStatus
    pause_reason: Annotated[
        PauseReason | None,
        said(
            "`declined`: the means of payment was; `no_subscription`: the store has none any more."
        ),
    ]
    threshold: int | None
    credits: int | None
    max_per_day: int | None
    max_per_month: int | None
    amount: Annotated[
        int | None,
        said("What one costs today, in the currency's smallest unit, before tax."),
    ]
    currency: str
    bought_today: int
    bought_this_month: int
    under_way: bool
    updated_at: datetime | None


async def read_top_up(parts: Parts, store_id: UUID) -> Envelope[TopUpView]:
    """Whether a store's is on, and how often it bought."""
    return shown_top_up(await parts.top_ups.read(store_id))


def shown_top_up(top_up: TopUp) -> Envelope[TopUpView]:
    """A top-up as it is answered."""
    return Envelope(_view(top_up))


def settings_of_top_up(data: TopUpBody) -> TopUpSettings:
    """What was sent, as the billing room takes it."""
    return TopUpSettings(**msgspec.structs.asdict(data))


def switched_on(outcome: TopUp | NotSwitchedOn) -> Envelope[TopUpView]:
    """What came of switching it on. Raises Failure where the store cannot be charged so."""
    if isinstance(outcome, TopUp):
        return Envelope(_view(outcome))
    message = f"{outcome.message} Nothing was changed."
    if outcome.field is None:
        raise Failure(ErrorCode.NO_SUBSCRIPTION, message)
    raise wrong(outcome.field, message)


def _view(top_up: TopUp) -> TopUpView:
    names = ("threshold", "credits", "max_per_day", "max_per_month")
    settings: dict[str, int | None] = dict.fromkeys(names)
    if top_up.settings is not None:
        settings = asdict(top_up.settings)
    return TopUpView(
        status=top_up.status,
        pause_reason=top_up.pause_reason,
        **settings,
        amount=top_up.amount,
        currency=top_up.currency,
        bought_today=top_up.bought_today,
        bought_this_month=top_up.bought_this_month,
        under_way=top_up.is_under_way,
        updated_at=top_up.updated_at and utc(top_up.updated_at),
    )
