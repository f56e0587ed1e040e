"""The HTTP server (uvicorn), with the bounds it leaves out.

With its fast parser a request's head may be of any size and take any time; here it has a named
maximum of both. Signals are left to the service, which has more to stop than HTTP.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import uvicorn
from litestar.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from storecredit.web.bodies import note_body
from storecredit.web.envelope import ErrorCode, Failure

HEAD_MAX_BYTES: Final = 64 * 1024
HEAD_MAX_SECONDS: Final = 30.0
DRAIN_SECONDS: Final = 10


def http_server(app: ASGIApp) -> uvicorn.Server:
    """A server for the application; serve it on a socket, stop it by `should_exit`."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    return _Server(config)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class BoundedProtocol(HttpToolsProtocol):
    """One connection; a head that is too large is answered 431, one that takes too long is cut."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """The time of its first head begins."""
        super().connection_made(transport)
        self._begin_head()

    def data_received(self, data: bytes) -> None:
        """Count what comes while a head is awaited."""
        if self._head_timer is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_timer is not None and self._head_bytes > HEAD_MAX_BYTES:
            self._end_head()
            self._refuse(431, "The headers of the request are too large.")

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP request is answered in the envelope, too."""
        self._refuse(400, msg)

    def on_message_begin(self) -> None:
        """The first byte of a request: its time begins."""
        super().on_message_begin()
        counted = self._head_bytes
        self._begin_head()
        self._head_bytes = counted

    def on_headers_complete(self) -> None:
        """The head is there; its body has bounds of its own."""
        self._end_head()
        note_body(self.scope["state"], is_awaited=True)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is there as well."""
        note_body(self.scope["state"], is_awaited=False)
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._end_head()
        super().connection_lost(exc)

    def _refuse(self, status: int, message: str) -> None:
        if self.transport.is_closing():
            return
        body = Failure(ErrorCode.VALIDATION_ERROR, message).body()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"x-request-id: req_{uuid4()}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _begin_head(self) -> None:
        self._end_head()
        self._head_timer = self.loop.call_later(HEAD_MAX_SECONDS, self.transport.close)

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._head_bytes = 0
