"""Busy routes, served without the framework in between.

The framework matches the address, makes a request object, resolves parameters, and dresses the
answer: several times the work of the request itself. A direct route is an exact method and path
whose handler needs none of that: it is called with who asks and the decoded body, and its answer
is written as it stands. Which routes are direct is said in the `routes.py` of its caller.

Promises that nobody can tell the difference: same status, headers and body as through the
framework. So only the usual form of a request is served here. Any other (a body that is too large,
cut off or of the wrong form; a query; an odd Host header; another method) goes to the framework,
with what was read of the body given back, and errors that a handler raises go to `Access`: each
error has one maker.
"""

import string
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from storecredit.settings import Settings
from storecredit.web.http.bodies import Body, DirectBody
from storecredit.web.http.envelope import Success
from storecredit.web.http.faults import checked_fields
from storecredit.web.http.handed_over import offered
from storecredit.web.http.visits import HTTP, visit_of
from storecredit.web.parts import Parts

Handler = Callable[..., Awaitable[Success[Any]]]
"""Called with scope and parts, and the body if the route has one. Raises what `envelope` knows."""
Door = Callable[[HTTPScope, Parts, DirectBody], Awaitable[ASGIApp | None]]
"""Called with a body that it reads itself, and gives what sends the answer; None: it is for the
framework, and nothing was done."""


JSON_CONTENT: Final = (b"content-type", b"application/json")
_IN_USUAL_HOSTS: Final = f"{string.ascii_letters}{string.digits}.:-"
"""No Host header of these is refused by the framework; it takes others, too."""


@dataclass(frozen=True, slots=True)
class DirectRoute:
    """A handler, and the type of the body it takes; None: it takes none."""

    handler: Handler
    body_type: type[Body] | None = None


@dataclass(frozen=True, slots=True)
class DirectDoor:
    """A door with forms of its own, for bodies, answers and errors; `template` is its route."""

    door: Door
    template: str


def template_at(path: str, route: DirectRoute | DirectDoor) -> str:
    """The template of a direct route at `path`: of all but doors it is the path."""
    return route.template if isinstance(route, DirectDoor) else path


class Direct:
    """The ASGI application in front of the framework; `routes` by method and path."""

    def __init__(
        self,
        framework: ASGIApp,
        parts: Parts,
        routes: Mapping[tuple[str, str], DirectRoute | DirectDoor],
    ) -> None:
        self._framework = framework
        self._parts = parts
        self._routes = routes
        self._body_max_bytes = parts.settings.body_max_bytes
        self._readers = {
            route.body_type: _BodyReader(route.body_type, parts.settings)
            for route in routes.values()
            if isinstance(route, DirectRoute) and route.body_type is not None
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, here or through the framework."""
        if scope["type"] != HTTP:
            await self._framework(scope, receive, send)
            return
        route = self._routes.get((scope["method"], scope["path"]))
        if isinstance(route, DirectDoor):
            await self._enter(route, scope, receive, send)
        elif route is None or scope["query_string"] or not has_usual_host(scope):
            await self._framework(scope, receive, send)
        elif route.body_type is None:
            _note_route(scope)
            await write(await route.handler(scope, self._parts), scope, send)
        else:
            body = DirectBody(scope, receive, bytes_max=self._body_max_bytes)
            try:
                decoded = self._readers[route.body_type].decoded(await body.read())
            except (_Unusual, msgspec.MsgspecError, ValueError, RecursionError):
                await self._framework(scope, body.given_back(), send)
            else:
                _note_route(scope)
                success = await route.handler(scope, self._parts, decoded)
                if success.later is not None:
                    del body, decoded  # megabytes, perhaps
                    success = await success.later()
                await write(success, scope, send)

    async def _enter(
        self, route: DirectDoor, scope: HTTPScope, receive: Receive, send: Send
    ) -> None:
        answer = None
        body = DirectBody(scope, receive, bytes_max=self._body_max_bytes)
        if has_usual_host(scope):
            answer = await route.door(scope, self._parts, body)
        if answer is None:
            await self._framework(scope, body.given_back(), send)
        else:
            scope["path_template"] = route.template
            await answer(scope, receive, send)


class _Unusual(Exception):
    """This body is for the framework."""


class _BodyReader:
    """Takes bodies of one type that are right; says of others no more than that they are not."""

    def __init__(self, body_type: type[Body], settings: Settings) -> None:
        self._decoder = msgspec.json.Decoder(body_type, strict=False)
        self._checked = checked_fields(body_type)
        self._settings = settings

    def decoded(self, content: bytearray | None) -> Body:
        """The body. Raises _Unusual, and what the decoder raises."""
        if content is None:
            raise _Unusual
        body = self._decoder.decode(content)
        for field in self._checked:
            if field.refuses(body, self._settings):
                raise _Unusual
        return body


def _note_route(scope: HTTPScope) -> None:
    """Where the framework notes it, too: it is the route of the log line and of the metrics."""
    scope["path_template"] = scope["path"]


def has_usual_host(scope: HTTPScope) -> bool:
    """Whether the framework would take the Host header, as far as can be said without it."""
    host = visit_of(scope).sent.get(b"host")
    return not host or not host.strip(_IN_USUAL_HOSTS)


async def write(success: Success[Any], scope: HTTPScope, send: Send) -> None:
    """Send an answer as it stands."""
    body = success.body()
    headers = [JSON_CONTENT, (b"content-length", b"%d" % len(body))]
    for name, value in success.headers.items():
        headers.append((name.lower().encode(), value.encode()))
    connection, visit = offered(scope), visit_of(scope)
    if connection is not None and connection.answer(
        scope, success.status, headers + visit.headers, body
    ):
        visit.begin_answer(success.status)
        return
    await send({"type": "http.response.start", "status": success.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
