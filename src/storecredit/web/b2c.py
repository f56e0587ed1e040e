"""`/api/trpc`: what end users' apps call, with a token of whoever signed the user in.

Hides how a caller is let in: the token names the user, and the user's first call of any
procedure makes the account. Everything is answered in tRPC's form.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

from litestar import Request, Response, head, route
from litestar.di import NamedDependency

from storecredit import telemetry
from storecredit.web.access import B2C, REQUEST_ID_MAX, visit_of
from storecredit.web.b2b import link_base
from storecredit.web.envelope import RETRY_AFTER_SECONDS
from storecredit.web.headers import bearer_of
from storecredit.web.parts import Parts
from storecredit.web.procedures import PROCEDURES, Caller
from storecredit.web.trpc import JSON, Asked, answer
from storecredit.web.trpc_errors import TrpcCode, TrpcError, bad_request

PATHS: Final = ["/", "/{path:path}"]


@route(
    PATHS,
    http_method=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    include_in_schema=False,
)
async def call(request: Request[Any, Any, Any], parts: NamedDependency[Parts]) -> Response[bytes]:
    """One request of tRPC's client: a call or a batch of them."""

    async def enter(paths: Sequence[str]) -> Callable[[int], Caller]:
        return await _entered(request, parts, paths)

    answered = await answer(_asked(request), PROCEDURES, enter)
    headers = {"Allow": answered.allow} if answered.allow else {}
    if answered.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return Response(answered.body, status_code=answered.status, media_type=JSON, headers=headers)


@head(PATHS, status_code=204, include_in_schema=False)
async def warm_up() -> None:
    """What @trpc/server answers to a HEAD request, whatever its path."""


def _asked(request: Request[Any, Any, Any]) -> Asked:
    raw_path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
    return Asked(
        method=request.method,
        path=raw_path.partition(f"{B2C}/")[2].removesuffix("/"),
        query=request.scope["query_string"].decode("utf-8", "replace"),
        content_type=request.headers.get("content-type"),
        body=request.body,
    )


async def _entered(
    request: Request[Any, Any, Any], parts: Parts, paths: Sequence[str]
) -> Callable[[int], Caller]:
    """The caller of a request, for the call of each index."""
    telemetry.bind(procedures=",".join(paths))
    token = bearer_of(request.headers.get("authorization"))
    user_id = await parts.tokens.user_id(token) if token else None
    if user_id is None:
        raise TrpcError(TrpcCode.UNAUTHORIZED, "Sign in: this needs a valid token.")
    telemetry.bind(user_id=str(user_id))
    await parts.users.ensure(user_id)
    request_id, base_url = visit_of(request.scope).request_id, link_base(request, parts)

    def caller(index: int) -> Caller:
        return Caller(user_id, _request_id(request_id, index), parts, base_url)

    return caller


def _request_id(request_id: str, index: int) -> str:
    """The id of one call: that of the request, and in a batch from the second call on its place.

    So a batch that is sent again is the same requests again, and two calls in it are two.
    """
    own = f"{request_id}:{index}" if index else request_id
    if len(own) > REQUEST_ID_MAX:
        raise bad_request("The request id is too long for a batch of so many calls.")
    telemetry.bind(request_id=own)
    return own
