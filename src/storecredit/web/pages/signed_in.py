"""Who is signed in with a browser: found by a cookie, let in, sent to sign in, and signed out.

The cookie is HttpOnly and, but where the operator has the portal shown within pages of others, is
sent by navigation from other sites only (SameSite=Lax). Over https no other host of the operator's
domain can set it: it is `__Host-…` (RFC 6265bis, 4.1.3.2), which browsers take from us alone, and
keep for all of our addresses; over http it is sent below its door's address alone.
"""

from typing import Any, Final, cast
from urllib.parse import quote

from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.response import Redirect
from litestar.types import HTTPScope, Scope

from storecredit.operator.sign_ins import Door, NewSignIn, SignIn
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.web.http.links import link_base
from storecredit.web.http.scopes import require
from storecredit.web.http.streams import EVENTS, event, subscribes
from storecredit.web.http.visits import visit_of
from storecredit.web.pages.permissions import PUBLIC, SIGNS_OUT, WHOEVER, scopes_of
from storecredit.web.pages.rendering import door_of, is_below, page
from storecredit.web.parts import Parts

SEE_OTHER: Final = 303
SIGNED_OUT: Final = "signed-out"
"""The event that tells a page that its sign-in is over."""


class SignInNeeded(Exception):
    """Nobody is signed in, or no longer; nothing was done."""


def cookie_name(door: Door, *, is_https: bool) -> str:
    """Of the cookie by which a sign-in is known."""
    return f"{'__Host-' if is_https else ''}storecredit_{door}"


async def check_signed_in(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """A guard of every page: who is signed in stands in the visit from then on.

    Raises SignInNeeded unless the page is public, Failure where their token has not the scope, and
    DatabaseUnavailable.
    """
    if handler.opt.get(WHOEVER):
        return
    visit = visit_of(connection.scope)
    try:
        await recognise(connection)
    except DatabaseUnavailable:
        if not handler.opt.get(SIGNS_OUT):
            raise
    if handler.opt.get(PUBLIC):
        return
    if visit.sign_in is None:
        raise SignInNeeded
    if visit.sign_in.principal is not None:
        visit.principal = visit.sign_in.principal
        for scope in scopes_of(handler):
            require(connection, scope)


async def recognise(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """Have the visit tell who is signed in at the door of this address, if anybody is.

    Raises DatabaseUnavailable, and Failure for a header that names no host.
    """
    door = door_of(connection.scope["path"])
    parts: Parts = connection.app.state["parts"]
    cookie = _cookie(connection.scope, parts, door)
    found = await parts.operator.sign_ins.find(cookie, door) if cookie else None
    visit_of(connection.scope).sign_in = found


def signed_in(request: Request[Any, Any, Any]) -> SignIn:
    """Who is, for a handler that is not public."""
    found = visit_of(request.scope).sign_in
    assert found is not None, "the guard lets nobody else in"
    return found


async def is_still_signed_in(request: Request[Any, Any, Any], parts: Parts) -> bool:
    """Whether who asked at first would be let in now, too. Raises DatabaseUnavailable."""
    door = door_of(request.scope["path"])
    cookie = _cookie(request.scope, parts, door)
    return await parts.operator.sign_ins.find(cookie or "", door) is not None


async def begun(
    request: Request[Any, Any, Any], parts: Parts, new: NewSignIn, path: str | None
) -> Response[Any]:
    """Sends a browser that has just signed in to the page of the door that it wanted, if any.

    Another sign-in that it had ends: its cookie is replaced, and nobody could sign out of it.
    """
    door = new.sign_in.door
    if _cookie(request.scope, parts, door) != new.cookie:
        await _end(request, parts, door)
    wanted = path if path and is_below(path.partition("?")[0], f"/{door}") else f"/{door}"
    answer = Redirect(wanted, status_code=SEE_OTHER)
    age = int((new.sign_in.expires_at - new.sign_in.created_at).total_seconds())
    answer.headers["Set-Cookie"] = _written(request, parts, door, new.cookie, age)
    answer.headers["Cache-Control"] = "no-store"
    return answer


async def ended(
    request: Request[Any, Any, Any], parts: Parts, because: str = "signed-out"
) -> Response[Any]:
    """Signs a browser out, for good, and sends it to sign in, where `because` says what was.

    It is out of this browser, too, while the database is away; there it says what is still to come.
    """
    door = door_of(request.scope["path"])
    if not await _end(request, parts, door):
        because = "signed-out-here"
    answer = Redirect(f"/{door}/sign-in?{because}=1", status_code=SEE_OTHER)
    answer.headers["Set-Cookie"] = _written(request, parts, door, "", 0)
    # What the browser keeps of the pages goes, too (W3C Clear Site Data).
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


def to_sign_in(request: Request[Any, Any, Any]) -> Response[Any]:
    """Where whoever is not signed in is sent: back to the page afterwards, if it was one."""
    path = request.scope["path"]
    door = door_of(path)
    if subscribes(visit_of(request.scope).sent.get(b"accept")):
        # The script of a page asks, not the browser: it says so there.
        return Response(event(SIGNED_OUT), media_type=EVENTS, headers={"Cache-Control": "no-store"})
    if request.method != "GET":
        return page(request, "sign_in.html", status=401, next="", notice="not-done")
    query = request.scope["query_string"].decode("latin-1")
    wanted = quote(f"{path}?{query}" if query else path, safe="/")
    answer = Redirect(f"/{door}/sign-in?next={wanted}", status_code=SEE_OTHER)
    # Else a cache on the way might send those there, too, who are signed in.
    answer.headers["Cache-Control"] = "no-store"
    return answer


async def _end(request: Request[Any, Any, Any], parts: Parts, door: Door) -> bool:
    """False: the sign-in itself could not be ended yet."""
    cookie = _cookie(request.scope, parts, door)
    return not cookie or await parts.operator.sign_ins.end(cookie, door)


def _cookie(scope: Scope, parts: Parts, door: Door) -> str | None:
    """The cookie of a door; of several of its name the first (RFC 6265, 5.4: the nearest path)."""
    ours = cookie_name(door, is_https=_is_https(scope, parts))
    for line in visit_of(scope).sent.all(b"cookie"):
        for pair in line.split(";"):
            name, _, value = pair.strip().partition("=")
            if name == ours:
                return value
    return None


def _written(
    request: Request[Any, Any, Any], parts: Parts, door: Door, value: str, age_seconds: int
) -> str:
    is_https = _is_https(request.scope, parts)
    is_framed = door == "portal" and bool(parts.settings.portal_frame_ancestors)
    # In a frame of another site a cookie is kept for that site alone (Partitioned, CHIPS).
    site = "SameSite=None; Partitioned" if is_framed and is_https else "SameSite=Lax"
    secure = "; Secure" if is_https else ""
    path = "/" if is_https else f"/{door}"
    where = f"Path={path}; Max-Age={age_seconds}; HttpOnly"
    return f"{cookie_name(door, is_https=is_https)}={value}; {where}; {site}{secure}"


def _is_https(scope: Scope, parts: Parts) -> bool:
    """Whether browsers reach us so. Raises Failure (400) for a header that names no host."""
    return link_base(cast("HTTPScope", scope), parts).startswith("https:")
