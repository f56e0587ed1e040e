"""`/api/v1/credits/holds`: a store's credits set aside, then captured or released."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody

from storecredit.ledger.hold_records import HoldStatus
from storecredit.web.http.envelope import Envelope, ErrorCode
from storecredit.web.http.openapi import store_errors
from storecredit.web.http.paging import PAGE_DEFAULT, Limit, UuidCursor
from storecredit.web.parts import Parts
from storecredit.web.resources.hold_views import (
    CaptureBody,
    ExtendBody,
    HoldBody,
    HoldExtended,
    HoldMade,
    HoldOver,
    HoldPage,
    HoldView,
    ReleaseBody,
)
from storecredit.web.resources.holds import (
    CAPTURE_CODES,
    CAPTURE_EXAMPLE,
    END_CODES,
    EXTEND_CODES,
    EXTEND_EXAMPLE,
    HOLD_ANSWERS,
    HOLD_CODES,
    HOLD_EXAMPLE,
    HoldId,
    capture,
    extend,
    hold,
    read_hold,
    read_holds,
    release,
)
from storecredit.web.store_api.accounts import account_of


@post(
    "/credits/holds",
    summary="Hold credits",
    operation_id="createHold",
    response_description="The credits are set aside",
    responses={**HOLD_ANSWERS, **store_errors(*HOLD_CODES)},
    **HOLD_EXAMPLE,
)
async def create_hold(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], data: JSONBody[HoldBody]
) -> Response[Envelope[HoldMade]]:
    """Sets credits aside until they are captured or released, or their time is over.

    They are out of the balance meanwhile. The request id makes a retry safe.
    """
    account = account_of(request.scope)
    made = await hold(request.scope, parts, account, data, "/api/v1/credits/holds")
    return made.response()


@post(
    "/credits/holds/{hold_id:str}/capture",
    summary="Capture a hold",
    operation_id="captureHold",
    status_code=200,
    responses=store_errors(*CAPTURE_CODES),
    **CAPTURE_EXAMPLE,
)
async def capture_hold(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    hold_id: HoldId,
    data: JSONBody[CaptureBody | None] = None,
) -> Response[Envelope[HoldOver]]:
    """Spends what is held, or `amount` of it; the rest goes back to the balance at once."""
    return (await capture(parts, account_of(request.scope), hold_id, data)).response()


@post(
    "/credits/holds/{hold_id:str}/release",
    summary="Release a hold",
    operation_id="releaseHold",
    status_code=200,
    responses=store_errors(*END_CODES),
)
async def release_hold(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    hold_id: HoldId,
    data: JSONBody[ReleaseBody | None] = None,  # noqa: ARG001 - a field in it is a mistake
) -> Response[Envelope[HoldOver]]:
    """Gives all that is held back to the balance."""
    return (await release(parts, account_of(request.scope), hold_id)).response()


@post(
    "/credits/holds/{hold_id:str}/extend",
    summary="Extend a hold",
    operation_id="extendHold",
    status_code=200,
    responses=store_errors(*EXTEND_CODES),
    **EXTEND_EXAMPLE,
)
async def extend_hold(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    hold_id: HoldId,
    data: JSONBody[ExtendBody],
) -> Response[Envelope[HoldExtended]]:
    """Lets the hold last so long from now on; it never ends sooner than it would have.

    The request id makes a retry safe: the same one again, with nothing between, changes nothing.
    """
    account = account_of(request.scope)
    return (await extend(request.scope, parts, account, hold_id, data)).response()


@get(
    "/credits/holds/{hold_id:str}",
    summary="Read a hold",
    operation_id="getHold",
    responses=store_errors(ErrorCode.NOT_FOUND),
)
async def get_hold(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], hold_id: HoldId
) -> Envelope[HoldView]:
    """What is held, or what became of it. From `expires_at` on it is `expired`."""
    return Envelope(await read_hold(parts, account_of(request.scope), hold_id))


@get(
    "/credits/holds",
    summary="List holds",
    operation_id="listHolds",
    responses=store_errors(),
)
async def list_holds(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    status: FromQuery[HoldStatus | None] = None,
    limit: Limit = PAGE_DEFAULT,
    cursor: UuidCursor = None,
) -> Envelope[HoldPage]:
    """The store's holds, newest first."""
    return Envelope(await read_holds(parts, account_of(request.scope), status, limit, cursor))
