"""Real clients and servers of others, and a relay that shows what a client sends.

Those are curl, a JDK (11 or later: `java` runs a source file), nginx, Caddy, PgBouncer and others,
which `.ci/run` installs. Without one of them its tests are skipped, and say so; with
STORECREDIT_TEST_CLIENTS=required, as there, they fail.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import NoReturn

import pytest

READ_MAX = 64 * 1024
CLIENT_SECONDS_MAX = 60.0


def program(name: str) -> str:
    """Where it is."""
    found = shutil.which(name)
    if found is None:
        not_seen(f"with the real {name}: it is not here")
    return found


def not_seen(what: str) -> NoReturn:
    """Say so of a test that cannot be run on this machine."""
    if os.environ.get("STORECREDIT_TEST_CLIENTS") == "required":
        pytest.fail(f"not seen {what}")
    pytest.skip(f"NOT SEEN {what}")


async def said_by(client: str, *arguments: str) -> str:
    """What a real client prints."""
    process = await asyncio.create_subprocess_exec(
        program(client),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CLIENT_SECONDS_MAX):
            said, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    return said.decode()


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
