"""`/api/admin/users/{user_id}/holds`: an end user's holds, which the operator's own app makes.

Bodies and answers are those of a store's doors.
"""

from typing import Any
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from storecredit.ledger.hold_records import HoldStatus
from storecredit.operator.tokens import Scope
from storecredit.web.http.envelope import Envelope, ErrorCode
from storecredit.web.http.openapi import operator_errors
from storecredit.web.http.paging import PAGE_DEFAULT, Limit, UuidCursor
from storecredit.web.http.scopes import needs
from storecredit.web.http.visits import principal_of
from storecredit.web.operator_api.user_accounts import account_of_user, charged_user
from storecredit.web.parts import Parts
from storecredit.web.resources import holds
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
from storecredit.web.resources.holds import HoldId


@post(
    "/users/{user_id:uuid}/holds",
    summary="Hold a user's credits",
    operation_id="createUserHold",
    response_description="The credits are set aside",
    responses={
        **holds.HOLD_ANSWERS,
        **operator_errors(ErrorCode.NOT_FOUND, ErrorCode.USER_ERASED, *holds.HOLD_CODES),
    },
    **holds.HOLD_EXAMPLE,
    **needs(Scope.CREDITS),
)
async def create_hold(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    user_id: FromPath[UUID],
    data: JSONBody[HoldBody],
) -> Response[Envelope[HoldMade]]:
    """Sets credits of the user aside until they are captured or released, or their time is over."""
    account = await charged_user(parts, user_id)
    address = f"/api/admin/users/{user_id}/holds"
    made = await holds.hold(
        request.scope, parts, account, data, address, principal_of(request.scope).name
    )
    return made.response()


@post(
    "/users/{user_id:uuid}/holds/{hold_id:str}/capture",
    summary="Capture a user's hold",
    operation_id="captureUserHold",
    status_code=200,
    responses=operator_errors(*holds.CAPTURE_CODES),
    **holds.CAPTURE_EXAMPLE,
    **needs(Scope.CREDITS),
)
async def capture_hold(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    user_id: FromPath[UUID],
    hold_id: HoldId,
    data: JSONBody[CaptureBody | None] = None,
) -> Response[Envelope[HoldOver]]:
    """Spends what is held, or `amount` of it; the rest goes back to the balance at once."""
    account = await account_of_user(parts, user_id)
    return (
        await holds.capture(parts, account, hold_id, data, principal_of(request.scope).name)
    ).response()


@post(
    "/users/{user_id:uuid}/holds/{hold_id:str}/release",
    summary="Release a user's hold",
    operation_id="releaseUserHold",
    status_code=200,
    responses=operator_errors(*holds.END_CODES),
    **needs(Scope.CREDITS),
)
async def release_hold(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    user_id: FromPath[UUID],
    hold_id: HoldId,
    data: JSONBody[ReleaseBody | None] = None,  # noqa: ARG001 - a field in it is a mistake,
) -> Response[Envelope[HoldOver]]:
    """Gives all that is held back to the balance."""
    account = await account_of_user(parts, user_id)
    return (
        await holds.release(parts, account, hold_id, principal_of(request.scope).name)
    ).response()


@post(
    "/users/{user_id:uuid}/holds/{hold_id:str}/extend",
    summary="Extend a user's hold",
    operation_id="extendUserHold",
    status_code=200,
    responses=operator_errors(*holds.EXTEND_CODES),
    **holds.EXTEND_EXAMPLE,
    **needs(Scope.CREDITS),
)
async def extend_hold(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    user_id: FromPath[UUID],
    hold_id: HoldId,
    data: JSONBody[ExtendBody],
) -> Response[Envelope[HoldExtended]]:
    """Lets the hold last so long from now on; it never ends sooner than it would have."""
    account = await account_of_user(parts, user_id)
    return (await holds.extend(request.scope, parts, account, hold_id, data)).response()


@get(
    "/users/{user_id:uuid}/holds/{hold_id:str}",
    summary="Read a user's hold",
    operation_id="getUserHold",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def get_hold(
    parts: NamedDependency[Parts], user_id: FromPath[UUID], hold_id: HoldId
) -> Envelope[HoldView]:
    """What is held, or what became of it. From `expires_at` on it is `expired`."""
    return Envelope(await holds.read_hold(parts, await account_of_user(parts, user_id), hold_id))


@get(
    "/users/{user_id:uuid}/holds",
    summary="List a user's holds",
    operation_id="listUserHolds",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def list_holds(
    parts: NamedDependency[Parts],
    user_id: FromPath[UUID],
    status: FromQuery[HoldStatus | None] = None,
    limit: Limit = PAGE_DEFAULT,
    cursor: UuidCursor = None,
) -> Envelope[HoldPage]:
    """The user's holds, newest first."""
    account = await account_of_user(parts, user_id)
    return Envelope(await holds.read_holds(parts, account, status, limit, cursor))
