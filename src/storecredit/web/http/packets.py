"""How an answer is written: its head and its body go out as one packet.

uvicorn writes them one after the other, and the event loop (uvloop) each at once: two system calls
and two packets, of a busy process's time a tenth.
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from storecredit.web.http.headers import RawHeaders

JOINED_MAX_BYTES: Final = 64 * 1024
"""Of what is sent in one packet with its head. What is longer is sent as it is: joined, it would be
one copy for each client that takes none of it."""
CONTINUE: Final = b"HTTP/1.1 100 "
"""How an interim response begins, which the final one still follows (RFC 9110, 15.2)."""


def write_whole(
    transport: asyncio.Transport,
    cycle: RequestResponseCycle,
    status: int,
    headers: RawHeaders,
    body: bytes,
) -> bool:
    """Write the answer to a request, whole, as uvicorn would by two messages.

    False: nothing was written, as it has begun, it is long, its client is gone or takes nothing, or
    a header may have what none can have (RFC 9110, 5.5).
    """
    if cycle.response_started or cycle.disconnected or cycle.flow.write_paused:
        return False
    values = b"".join([value for _, value in headers]).decode("latin-1")
    if transport.is_closing() or len(body) > JOINED_MAX_BYTES or not values.isprintable():
        return False
    lines = [b"%b: %b\r\n" % header for header in (*cycle.default_headers, *headers)]
    if not cycle.keep_alive:
        lines.append(b"connection: close\r\n")
    cycle.response_started = True
    cycle.waiting_for_100_continue = False
    transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
    cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        transport.close()
    cycle.on_response()
    return True


class Joined:
    """Where one answer is written: its head waits for what follows, and both go out together."""

    __slots__ = ("_head", "_is_begun", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._is_begun = False
        self._head = b""

    def write(self, data: bytes) -> None:
        """Send `data`, or keep it if it is a head."""
        if self._transport.is_closing():
            return  # the client is gone, which the request is told in a moment
        if self._is_begun:
            if self._head and len(data) > JOINED_MAX_BYTES:
                self._transport.write(self._head)
                self._head = b""
            self._transport.write(self._head + data)
            self._head = b""
        elif data.startswith(CONTINUE):
            self._transport.write(data)
        else:
            self._is_begun = True
            self._head = data

    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport.is_closing()

    def close(self) -> None:
        """End the connection once all of it was sent."""
        if self._head:
            self.write(b"")
        self._transport.close()
