"""`/api/trpc`: what end users' apps call, with a token of whoever signed the user in.

Hides how a caller is let in: the token names the user, and the user's first call of any
procedure makes the account. Everything is answered in tRPC's form.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from litestar import MediaType, Request, get, head, route
from litestar.di import NamedDependency
from litestar.types import ASGIApp, HTTPScope

from storecredit import telemetry
from storecredit.ledger.owners import Account, Owner
from storecredit.users.users import UserBlocked
from storecredit.web.http.addresses import B2C, call_ids
from storecredit.web.http.bodies import DirectBody
from storecredit.web.http.headers import bearer_of
from storecredit.web.http.links import link_base
from storecredit.web.http.streams import streamed, whole
from storecredit.web.http.visits import visit_of
from storecredit.web.parts import Parts
from storecredit.web.trpc.answers import Streamed, answer
from storecredit.web.trpc.calls import Asked, Kind, Unread, parameters_of
from storecredit.web.trpc.errors import Answered, TrpcCode, TrpcError
from storecredit.web.trpc.procedures import PROCEDURES
from storecredit.web.trpc.router_types import module
from storecredit.web.trpc.user_calls import Caller

BLOCKED: Final = "This user is blocked. Nothing was done."
PATHS: Final = ["/", "/{path:path}"]


@route(
    PATHS,
    http_method=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    include_in_schema=False,
)
async def call(request: Request[Any, Any, Any], parts: NamedDependency[Parts]) -> ASGIApp:
    """One request of tRPC's client: a call or a batch of them."""
    return await _answered(request.scope, request.headers.get, request.body, parts)


async def call_directly(scope: HTTPScope, parts: Parts, body: DirectBody) -> ASGIApp | None:
    """The whole of `call`, without the framework: a direct route. None: it is for the framework."""
    sent = visit_of(scope).sent

    def header(name: str) -> str | None:
        return sent.get(name.encode())

    async def content() -> bytes:
        read = await body.read()
        if read is None:
            raise Unread
        return bytes(read)

    try:
        return await _answered(scope, header, content, parts)
    except Unread:
        return None


@head(PATHS, status_code=204, include_in_schema=False)
async def warm_up() -> None:
    """What @trpc/server answers to a HEAD request, whatever its path."""


Header = Callable[[str], str | None]
"""The value of a header that was sent, by its name in lower case."""


async def _answered(
    scope: HTTPScope, header: Header, body: Callable[[], Awaitable[bytes]], parts: Parts
) -> ASGIApp:
    parameters = parameters_of(scope["query_string"].decode("utf-8", "replace"))

    async def enter(paths: Sequence[str]) -> Callable[[str], Caller]:
        token = bearer_of(header("authorization"))
        if token is None and any(PROCEDURES[path].kind is Kind.SUBSCRIPTION for path in paths):
            token = _token_in(parameters)
        return await _entered(scope, token, parts, paths)

    raw_path = scope["raw_path"].decode("latin-1").partition("?")[0]
    asked = Asked(
        method=scope["method"],
        path=raw_path.partition(f"{B2C}/")[2].removesuffix("/"),
        parameters=parameters,
        request_ids=call_ids(visit_of(scope).request_id),
        content_type=header("content-type"),
        accept=header("accept"),
        trpc_accept=header("trpc-accept"),
        last_event_id=_last_event_id(header, parameters),
        body=body,
    )
    return _sending(await answer(asked, PROCEDURES, enter, visit_of(scope).left))


def _last_event_id(header: Header, parameters: Mapping[str, str]) -> str | None:
    """As an EventSource sends it, or one that cannot send headers."""
    in_query = (parameters.get(name) for name in ("lastEventId", "Last-Event-Id"))
    return next((it for it in (header("last-event-id"), *in_query) if it is not None), None)


def _token_in(parameters: Mapping[str, str]) -> str | None:
    """The token of an app whose EventSource sends no headers: the client's `connectionParams`."""
    try:
        sent = msgspec.json.decode(parameters.get("connectionParams", "null"), type=_Connection)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return sent.token


class _Connection(msgspec.Struct, frozen=True):
    token: str | None = None


def _sending(answered: Answered | Streamed) -> ASGIApp:
    """What sends the answer."""
    if isinstance(answered, Streamed):
        return streamed(answered.parts, answered.raw_headers())
    return whole(answered.status, answered.body, answered.raw_headers())


async def _entered(
    scope: HTTPScope, token: str | None, parts: Parts, paths: Sequence[str]
) -> Callable[[str], Caller]:
    """The caller of a request, for the call of each id."""
    telemetry.bind(procedures=",".join(paths))
    user = await parts.tokens.user(token) if token else None
    if user is None:
        raise TrpcError(TrpcCode.UNAUTHORIZED, "Sign in: this needs a valid token.")
    telemetry.bind(user_id=str(user.user_id))
    try:
        account_id = await parts.users.ensure(user.user_id, is_anonymous=user.is_anonymous)
    except UserBlocked:
        raise TrpcError(TrpcCode.FORBIDDEN, BLOCKED) from None
    account = Account(account_id, Owner.user(user.user_id))
    base_url = link_base(scope, parts)

    def caller(request_id: str) -> Caller:
        telemetry.bind(request_id=request_id)
        return Caller(account, request_id, parts, base_url, visit_of(scope))

    return caller


@get("/api/trpc.d.ts", media_type=MediaType.TEXT, include_in_schema=False)
async def declared_types() -> str:
    """The types of `/api/trpc` for an app's compiler, as in docs/trpc.d.ts."""
    return module()
