"""The framework over every route, made beside the first requests.

That takes a fifth of a second of CPU, a third of what else a start takes, and the busiest routes do
without it (`direct.py`). So those are served at once, and what is for the framework waits until it
is there.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from litestar import Litestar
from litestar.types import HTTPScope, Receive, Scope, Send

from storecredit.web.http.route_templates import RouteTemplates


@dataclass(frozen=True, slots=True)
class _Made:
    app: Litestar
    templates: RouteTemplates


class Framework:
    """The ASGI application of every route."""

    def __init__(self, make: Callable[[], Litestar], direct: Mapping[tuple[str, str], str]) -> None:
        """`direct`: what is served before it is made, as templates by method and path."""
        self._make = make
        self._direct = direct
        self._made: _Made | None = None
        self._is_made = asyncio.Event()

    def make(self) -> None:
        """Make it here and now."""
        self._take(self._make())

    async def make_beside(self) -> None:
        """Make it in another thread, while this one serves. Raises what hinders it."""
        self._take(await asyncio.to_thread(self._make))

    def _take(self, app: Litestar) -> None:
        self._made = _Made(app, RouteTemplates(app.routes))
        self._is_made.set()

    def serves(self, scope: HTTPScope) -> bool:
        """Whether there is by now what this request asks for, by its method and normalised path."""
        return self._made is not None or (scope["method"], scope["path"]) in self._direct

    def template_of(self, scope: HTTPScope) -> str:
        """The route of a request that `serves` says yes to; as `RouteTemplates.of` tells it."""
        if self._made is None:
            return self._direct[scope["method"], scope["path"]]
        return self._made.templates.of(scope["path"])

    async def made(self) -> Litestar:
        """The framework, once it is made."""
        if self._made is None:
            await self._is_made.wait()
        assert self._made is not None
        return self._made.app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, once it is made."""
        await (await self.made())(scope, receive, send)
