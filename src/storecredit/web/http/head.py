"""HEAD wherever GET is served: status and headers of the GET, and no body (RFC 9110, 9.3.2).

One application in front of all routes, so that no route declares it and none is forgotten.
"""

from typing import Any

from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from storecredit.web.http.addresses import is_b2c
from storecredit.web.http.visits import HTTP


class HeadAsGet:
    """The ASGI application that asks another for GET where it is asked for HEAD itself.

    Not for tRPC, whose servers answer HEAD in a way of their own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == HTTP and scope["method"] == "HEAD" and not is_b2c(scope["path"]):
            # A copy: the server looks into its own to know that no body follows.
            as_get: Any = {**scope, "method": "GET"}
            await self._app(as_get, receive, _head_of(send))
        else:
            await self._app(scope, receive, send)


def _head_of(send: Send) -> Send:
    """`send`, ending the answer with its head: whoever streams it learns that nobody listens."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_head


async def allow_head(message: Message, scope: Scope) -> None:
    """A hook of the framework: where an answer says that GET is allowed, it says HEAD as well.

    To OPTIONS the framework names the methods of the handler that it met first at a path alone.
    """
    if message["type"] != "http.response.start" or is_b2c(scope["path"]):
        return
    all_of_path = (
        _methods_at(scope) if scope["type"] == HTTP and scope["method"] == "OPTIONS" else b""
    )
    message["headers"] = [
        (name, _with_head(all_of_path or value)) if name.lower() == b"allow" else (name, value)
        for name, value in message["headers"]
    ]


def _methods_at(scope: Scope) -> bytes:
    """What is served at the path of a request; nothing: it has none."""
    template = scope.get("path_template")
    found = (
        route.methods
        for route in scope["litestar_app"].routes
        if isinstance(route, HTTPRoute) and route.path_format == template
    )
    return ", ".join(sorted(set().union(*found))).encode()


def _with_head(allow: bytes) -> bytes:
    methods = {method.strip() for method in allow.split(b",")}
    return b", ".join(sorted(methods | {b"HEAD"} if b"GET" in methods else methods))
