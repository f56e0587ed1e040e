"""Answers that are sent in parts as these come, and server-sent events (HTML, 9.2) among them.

An event that has no line of data is none for any client, so each has one. An answer of events ends
when its generator does: it is to end when its client goes away (`Visit.left`), and when the service
stops, which nobody but the generator's own source can tell it.
"""

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import Final

from litestar.types import ASGIApp, Receive, Scope, Send
from litestar.types.asgi_types import HTTPResponseBodyEvent, HTTPResponseStartEvent

from storecredit.web.http.headers import RawHeaders

EVENTS: Final = "text/event-stream"
EVENTS_HEADERS: Final = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
"""So that nobody on the way keeps events, or keeps them back (nginx)."""


def subscribes(accept: str | None) -> bool:
    """Whether this Accept header is an EventSource's (HTML, 9.2.2)."""
    types = (each.partition(";")[0].strip().lower() for each in (accept or "").split(","))
    return EVENTS in types


def event(name: str, data: bytes = b"", id_: str | None = None) -> bytes:
    """An event; `data` is one line, `id_` ASCII: what the client comes again with."""
    named = b"" if id_ is None else b"id: %b\n" % id_.encode("ascii")
    return b"event: %b\n%bdata: %b\n\n" % (name.encode("ascii"), named, data)


async def pings_until(
    *awaited: "asyncio.Future[object] | asyncio.Future[None]", seconds: float
) -> AsyncGenerator[bytes]:
    """Pings, one after each `seconds` of silence, until one of these is done."""
    while not any(each.done() for each in awaited):
        done, _ = await asyncio.wait(awaited, timeout=seconds, return_when=FIRST_COMPLETED)
        if not done:
            yield event("ping")


def streamed(parts: AsyncGenerator[bytes], headers: RawHeaders) -> ASGIApp:
    """What sends an answer of status 200 in these parts.

    Not the framework's stream, which drops its work when the client goes away: what was begun is
    ended, so that a retry finds it done.
    """

    async def send_parts(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(_start(HTTPStatus.OK, headers))
        async with aclosing(parts) as opened:
            async for part in opened:
                await send(_body(part, has_more=True))
        await send(_body(b"", has_more=False))

    return send_parts


def whole(status: int, content: bytes, headers: RawHeaders) -> ASGIApp:
    """What sends an answer that is there already."""

    async def send_whole(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(_start(status, headers))
        await send(_body(content, has_more=False))

    return send_whole


def _start(status: int, headers: RawHeaders) -> HTTPResponseStartEvent:
    return {"type": "http.response.start", "status": int(status), "headers": headers}


def _body(content: bytes, *, has_more: bool) -> HTTPResponseBodyEvent:
    return {"type": "http.response.body", "body": content, "more_body": has_more}
