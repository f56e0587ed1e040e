"""Whether a client takes the answer that waits for it, however slowly; who does not is left.

By itself a closed connection stays, in the kernel, until its client has taken all that was written.
"""

import asyncio
import socket
import struct
from typing import Final

UNREAD_MAX_SECONDS: Final = 60.0
"""In which a client has to take some of what waits for it."""
TAKEN_MIN_BYTES: Final = 16 * 1024
"""How much that is, if there is so much: whoever takes less is not on a slow line."""


class Unread:
    """What waits for one client; it only gets less, or is all gone, between two looks."""

    def __init__(self) -> None:
        self._known: tuple[int, float] | None = None  # so many bytes, since then

    def is_stuck(self, size: int, now: float) -> bool:
        """Whether the client has taken too little for too long, now that so many bytes wait."""
        if size == 0:
            self._known = None
        elif self._known is None or size <= self._known[0] - TAKEN_MIN_BYTES:
            self._known = (size, now)
        return self._known is not None and now - self._known[1] >= UNREAD_MAX_SECONDS


def leave(transport: asyncio.Transport) -> None:
    """End a connection at once, and keep nothing of what was not taken (socket(7), SO_LINGER)."""
    own: socket.socket | None = transport.get_extra_info("socket")
    if own is not None:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
