"""A network between a client and a server that is slow, breaks off, or goes silent, as it is told.

Bytes are passed on unchanged. What a test does to it strikes the connections that there are;
those made afterwards are whole again, but for the latency.
"""

import asyncio
import contextlib
import socket
import struct
from typing import Final

CHUNK_BYTES: Final = 64 * 1024
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends a reset (socket(7))."""


class _Link:
    """One connection through it: both ends, and whether anything still passes."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.writers = writers
        self.passing = asyncio.Event()
        self.passing.set()

    def reset(self) -> None:
        """Both ends find their connection gone, without a word of farewell."""
        self.passing.set()
        for writer in self.writers:
            transport = writer.transport
            found = transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            transport.abort()


class UnreliableProxy:
    """A port of loopback before a server, which may move to another port."""

    def __init__(self, target: int = 0) -> None:
        self.target = target
        """The port of the server now; 0: there is none, and who connects is sent away."""
        self.port = 0
        self.latency_seconds = 0.0
        """Added to each piece that passes, either way."""
        self._links: set[_Link] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more; whoever is connected is cut off."""
        if self._server is not None:
            self._server.close()
        self.reset()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def reset(self) -> int:
        """Break every connection off; how many there were."""
        links = list(self._links)
        for link in links:
            link.reset()
        return len(links)

    async def fall_silent(self, seconds: float) -> None:
        """Half-open: what is connected stays so and hears nothing, and then is broken off."""
        links = list(self._links)
        for link in links:
            link.passing.clear()
        await asyncio.sleep(seconds)
        for link in links:
            link.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        link = _Link(writer, behind_writer)
        self._links.add(link)
        pumps = [
            asyncio.create_task(self._pump(link, reader, behind_writer)),
            asyncio.create_task(self._pump(link, behind_reader, writer)),
        ]
        self._pumps.update(pumps)
        try:
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self._links.discard(link)
            self._pumps.difference_update(pumps)

    async def _pump(
        self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        # Either side may go at any moment.
        with contextlib.suppress(OSError):
            while chunk := await source.read(CHUNK_BYTES):
                if self.latency_seconds:
                    await asyncio.sleep(self.latency_seconds)
                await link.passing.wait()
                sink.write(chunk)
                await sink.drain()
        sink.close()
