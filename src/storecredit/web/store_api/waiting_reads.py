"""Reads of a generation that wait, served without the framework in between.

A request that the framework serves takes several times the memory that waiting does, and thousands
may wait at once. So those of the usual form, with `?wait=30` and nothing else to their query, are
answered here, as through the framework to the byte; all others go to it.
"""

import re
from typing import Final

from litestar.types import ASGIApp, Receive, Scope, Send

from storecredit.generation.endings import WAIT_MAX_SECONDS
from storecredit.web.http.addresses import B2B
from storecredit.web.http.direct import has_usual_host, write
from storecredit.web.http.visits import HTTP
from storecredit.web.parts import Parts
from storecredit.web.store_api.generations import read_generation

_QUERY: Final = re.compile(rb"wait=([1-9][0-9]?)")
_PATH: Final = re.compile(rf"{B2B}/generation/([0-9a-f-]{{36}})")


class WaitingReads:
    """The ASGI application in front of the framework."""

    def __init__(self, framework: ASGIApp, parts: Parts) -> None:
        self._framework = framework
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, here or through the framework."""
        if scope["type"] == HTTP and scope["method"] == "GET" and scope["query_string"]:
            asked = _QUERY.fullmatch(scope["query_string"])
            found = _PATH.fullmatch(scope["path"]) if asked else None
            seconds = int(asked[1]) if asked else 0
            if found and seconds <= WAIT_MAX_SECONDS and has_usual_host(scope):
                made = await read_generation(scope, self._parts, found[1], seconds)
                await write(made, scope, send)
                return
        await self._framework(scope, receive, send)
