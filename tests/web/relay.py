"""A relay on loopback, to see what a client sends and over how many connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

READ_MAX = 64 * 1024


@dataclass(slots=True)
class Relay:
    """Where it listens, and what came through from the client: one entry for each connection."""

    port: int = 0
    connections: list[bytearray] = field(default_factory=list)

    @property
    def offers(self) -> int:
        """How many requests offered h2c."""
        return b"".join(self.connections).lower().count(b"\r\nupgrade: h2c\r\n")


@contextlib.asynccontextmanager
async def relay_to(port: int) -> AsyncIterator[Relay]:
    """A relay in front of this port."""
    relay = Relay()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = bytearray()
        relay.connections.append(sent)
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pass(reader, forth, sent), _pass(back, writer, bytearray()))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    async with server:
        yield relay


async def _pass(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray
) -> None:
    while content := await reader.read(READ_MAX):
        kept += content
        writer.write(content)
        await writer.drain()
    writer.close()
