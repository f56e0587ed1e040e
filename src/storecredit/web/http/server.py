"""The HTTP server (uvicorn) for an application: what it is told, and how it is stopped.

Signals are left to the service, which has more to stop than HTTP. What a connection may do is in
`protocol.py`.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final

import uvicorn
from litestar.types import ASGIApp

from storecredit.settings import IDLE_CONNECTION_SECONDS
from storecredit.web.http.protocol import BoundedProtocol, Connections

ANSWERING_MAX_SECONDS: Final = 10
"""How long a stop waits for the answers under way, once nothing more is asked."""
DRAIN_POLL_SECONDS: Final = 0.05
FIRST_REQUEST_SECONDS: Final = 2.0
"""How long a stop waits for the first request of who has connected already: it was sent, or is."""
ACCEPTED_AT_ONCE: Final = 16
"""New connections taken in one turn of the event loop, at most."""


def http_server(
    app: ASGIApp,
    *,
    idle_connection_seconds: int = IDLE_CONNECTION_SECONDS,
    drain_seconds: float = 0,
    end_waits: Callable[[], None] | None = None,
) -> uvicorn.Server:
    """A server for the application; serve it on a socket, stop it by `should_exit`.

    When it stops, it takes no new connections, and ends each with its next answer, which says so:
    whoever asks again connects to somebody else. Idle connections have `drain_seconds` for such a
    next request. What waits for something to happen is to be answered by then: `end_waits` is
    called for it. Who has connected and sent nothing yet is heard once, for a moment.
    """
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        # Else uvicorn believes X-Forwarded-Proto and -For of whatever speaks from 127.0.0.1, or
        # from where FORWARDED_ALLOW_IPS says. Here `links.py` reads them, of named proxies.
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=idle_connection_seconds,
        timeout_graceful_shutdown=ANSWERING_MAX_SECONDS,
    )
    return _Server(config, drain_seconds, end_waits)


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, drain_seconds: float, end_waits: Callable[[], None] | None
    ) -> None:
        super().__init__(config)
        self._connections = self.server_state = Connections()
        self._drain_seconds = drain_seconds
        self._end_waits = end_waits

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._end_waits is not None:
            # Once each connection was told that its next answer is the last, and says so.
            asyncio.get_running_loop().call_soon(self._end_waits)
        await self._drain(sockets or [])
        await super().shutdown(sockets)

    async def _drain(self, sockets: list[socket.socket]) -> None:
        kept = [each.dup() for each in sockets]
        for server in self.servers:
            server.close()
        for listening in sockets:
            listening.close()
        # Where nobody else has the socket, closing it for the last time resets what is in its line.
        in_line = [each for last in kept for each in _in_line(last)]
        self._connections.drain()
        for each in in_line:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, each)
        began_at = time.monotonic()
        # Those that end set no event in uvicorn.
        while self._is_awaited(time.monotonic() - began_at):  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_POLL_SECONDS)

    def _is_awaited(self, seconds: float) -> bool:
        """Whether anything is to be waited for, so many seconds after no more was let in."""
        if seconds < self._drain_seconds:
            return bool(self._connections.connections)
        return seconds < FIRST_REQUEST_SECONDS and self._connections.has_unheard

    def _protocol(self) -> BoundedProtocol:
        return BoundedProtocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # libuv takes one connection from a listening socket in a turn of the event loop, and a turn
        # of a busy server takes 10 ms and more: who came new to it waited for seconds behind two
        # hundred others. The same socket under several numbers is served as many times in a turn.
        if sockets is not None:
            sockets = [each for first in sockets for each in _under_several_numbers(first)]
        await super().startup(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _in_line(listening: socket.socket) -> Iterator[socket.socket]:
    """Those who have connected and were not let in yet; then it is closed."""
    listening.settimeout(0)
    with listening, contextlib.suppress(BlockingIOError):
        while True:
            yield listening.accept()[0]


def _under_several_numbers(first: socket.socket) -> Iterator[socket.socket]:
    yield first
    for _ in range(ACCEPTED_AT_ONCE - 1):
        yield first.dup()
