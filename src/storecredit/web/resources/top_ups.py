"""Auto top-up: a store's own door, and the operator's: read it, switch it on, switch it off."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, delete, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from storecredit.billing.top_ups import (
    DAY_MAX,
    MONTH_MAX,
    THRESHOLD_MAX,
    PauseReason,
    TopUp,
    TopUpSettings,
    TopUpStatus,
)
from storecredit.stores.stores import Store
from storecredit.web.http.access import caller_of
from storecredit.web.http.bodies import Body
from storecredit.web.http.envelope import Envelope, ErrorCode, Failure
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import example, operator_errors, said, store_errors
from storecredit.web.operator_api.keys import wrong
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
    max_per_day: PerDay = 1
    max_per_month: PerMonth = 10


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


@get(
    "/top-up",
    summary="Read the store's auto top-up",
    operation_id="getTopUp",
    responses=store_errors(),
)
async def get_top_up(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Envelope[TopUpView]:
    """Whether credits are bought by themselves, how many, and how often that was so."""
    return await _read(parts, caller_of(request.scope).store_id)


@put(
    "/top-up",
    summary="Switch the store's auto top-up on",
    operation_id="setTopUp",
    responses=store_errors(ErrorCode.NO_SUBSCRIPTION),
    **EXAMPLE,
)
async def set_top_up(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], data: JSONBody[TopUpBody]
) -> Envelope[TopUpView]:
    """Buys `credits` through the store's subscription while the balance is `threshold` or below.

    At the price of single credits. One that is paused goes on. Where the balance is as low already,
    credits are bought at once.
    """
    return await _set(parts, caller_of(request.scope).store_id, data)


@delete(
    "/top-up",
    status_code=200,
    summary="Switch the store's auto top-up off",
    operation_id="deleteTopUp",
    responses=store_errors(),
)
async def delete_top_up(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Envelope[TopUpView]:
    """Buys nothing more by itself; a charge that was begun is seen to its end."""
    return await _delete(parts, caller_of(request.scope).store_id)


@get(
    "/stores/{store_id:str}/top-up",
    summary="Read a store's auto top-up",
    operation_id="getStoreTopUp",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def get_store_top_up(
    parts: NamedDependency[Parts], store: NamedDependency[Store]
) -> Envelope[TopUpView]:
    """As the store reads it."""
    return await _read(parts, store.store_id)


@put(
    "/stores/{store_id:str}/top-up",
    summary="Switch a store's auto top-up on",
    operation_id="setStoreTopUp",
    responses=operator_errors(ErrorCode.NOT_FOUND, ErrorCode.NO_SUBSCRIPTION),
    **EXAMPLE,
)
async def set_store_top_up(
    parts: NamedDependency[Parts], store: NamedDependency[Store], data: JSONBody[TopUpBody]
) -> Envelope[TopUpView]:
    """As the store itself would."""
    return await _set(parts, store.store_id, data)


@delete(
    "/stores/{store_id:str}/top-up",
    status_code=200,
    summary="Switch a store's auto top-up off",
    operation_id="deleteStoreTopUp",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def delete_store_top_up(
    parts: NamedDependency[Parts], store: NamedDependency[Store]
) -> Envelope[TopUpView]:
    """As the store itself would."""
    return await _delete(parts, store.store_id)


async def _read(parts: Parts, store_id: UUID) -> Envelope[TopUpView]:
    return Envelope(_view(await parts.top_ups.read(store_id)))


async def _set(parts: Parts, store_id: UUID, data: TopUpBody) -> Envelope[TopUpView]:
    wanted = TopUpSettings(**msgspec.structs.asdict(data))
    outcome = await parts.top_ups.switch_on(store_id, wanted)
    if isinstance(outcome, TopUp):
        return Envelope(_view(outcome))
    message = f"{outcome.message} Nothing was changed."
    if outcome.field is None:
        raise Failure(ErrorCode.NO_SUBSCRIPTION, message)
    raise wrong(outcome.field, message)


async def _delete(parts: Parts, store_id: UUID) -> Envelope[TopUpView]:
    return Envelope(_view(await parts.top_ups.switch_off(store_id)))


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
