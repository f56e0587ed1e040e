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
CONTINUE: Final = b"HTTP/1.1 100 "
"""How an answer begins that comes before the answer."""


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
        self._head_began_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """The time of its first head begins."""
        super().connection_made(transport)
        self._head_began_at = self.loop.time()
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Count what comes while a head is awaited."""
        if self._head_began_at is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_began_at is not None and self._head_bytes > HEAD_MAX_BYTES:
            self._end_head()
            self._refuse(431, "The headers of the request are too large.")

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP request is answered in the envelope, too."""
        self._refuse(400, msg)

    def on_message_begin(self) -> None:
        """The first byte of a request: its time begins."""
        super().on_message_begin()
        self._head_began_at = self.loop.time()

    def on_headers_complete(self) -> None:
        """The head is there; its body has bounds of its own."""
        self._end_head()
        note_body(self.scope["state"], is_awaited=True)
        super().on_headers_complete()
        if self.scope["method"] != "HEAD":  # to which a head is the whole answer
            self.cycle.transport = _Joined(self.transport)  # type: ignore[assignment]  # all it uses

    def on_message_complete(self) -> None:
        """The body is there as well."""
        note_body(self.scope["state"], is_awaited=False)
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        if self._timer is not None:
            self._timer.cancel()
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

    def _end_head(self) -> None:
        self._head_began_at = None
        self._head_bytes = 0

    def _watch_head(self) -> None:
        """Cut the connection if a head is overdue, else look again when one could be.

        One timer, moved on, instead of one for each head: those would cost more than the heads.
        """
        began_at, now = self._head_began_at, self.loop.time()
        left = HEAD_MAX_SECONDS if began_at is None else began_at + HEAD_MAX_SECONDS - now
        if left > 0:
            self._timer = self.loop.call_later(left, self._watch_head)
        else:
            self.transport.close()


class _Joined:
    """Where one answer is written: its head waits for what follows, and both go out as one packet.

    uvicorn writes them one after the other, and the event loop (uvloop) each at once: two system
    calls and two packets, of a busy process's time a tenth.
    """

    __slots__ = ("_head", "_is_begun", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._is_begun = False
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._is_begun:
            self._transport.write(self._head + data)
            self._head = b""
        elif data.startswith(CONTINUE):
            self._transport.write(data)
        else:
            self._is_begun = True
            self._head = data

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        if self._head:
            self.write(b"")
        self._transport.close()
