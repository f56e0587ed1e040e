"""`/api/v1/top-up`: a store's auto top-up, read, switched on, switched off."""

from typing import Any

from litestar import Request, delete, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from storecredit.web.http.envelope import Envelope, ErrorCode
from storecredit.web.http.openapi import store_errors
from storecredit.web.http.visits import caller_of
from storecredit.web.parts import Parts
from storecredit.web.resources.top_ups import (
    EXAMPLE,
    TopUpBody,
    TopUpView,
    read_top_up,
    settings_of_top_up,
    shown_top_up,
    switched_on,
)


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
    return await read_top_up(parts, caller_of(request.scope).store_id)


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
    store_id = caller_of(request.scope).store_id
    return switched_on(await parts.top_ups.switch_on(store_id, settings_of_top_up(data)))


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
    return shown_top_up(await parts.top_ups.switch_off(caller_of(request.scope).store_id))
