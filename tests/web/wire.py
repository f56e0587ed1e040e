"""The real server on a real socket, and connections to it that send any bytes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from storecredit.postgres.opening import open_database
from storecredit.processes import listen
from storecredit.service import serve
from storecredit.settings import Settings
from tests.log_secrets import BODY_MAX
from tests.log_watch import WATCH
from tests.web.doors import IMAGE
from tests.web.frameworks import served_by_one_used_again

ANSWER_SECONDS_MAX = 60.0
BODY = json.dumps({"image_urls": [IMAGE]}).encode()


@dataclass(frozen=True, slots=True)
class RawAnswer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class RawConnection:
    """One connection, and the bytes to send on it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, content: bytes) -> None:
        WATCH.remembered.sent(content[:BODY_MAX].decode(errors="replace"))
        self.writer.write(content)
        await self.writer.drain()

    async def answer(self, *, has_body: bool = True) -> RawAnswer:
        """The next answer on this connection."""
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in pairs}
            length = int(headers.get("content-length", "0")) if has_body else 0
            return RawAnswer(
                int(head[0].split(" ")[1]), headers, await self.reader.readexactly(length)
            )

    async def is_closed(self) -> bool:
        """Whether the server closes it without another word."""
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            return await self.reader.read() == b""

    async def close(self) -> None:
        self.writer.close()
        # The server may have cut it in the middle of what was sent.
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Wire:
    """A running server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connections: list[RawConnection] = []

    async def connect(self) -> RawConnection:
        connection = RawConnection(*await asyncio.open_connection("127.0.0.1", self.port))
        self._connections.append(connection)
        return connection

    async def ask(self, content: bytes, *, has_body: bool = True) -> RawAnswer:
        """One request on a connection of its own."""
        connection = await self.connect()
        await connection.send(content)
        return await connection.answer(has_body=has_body)

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()


def request(
    method: str, target: str, *lines: str, body: bytes = b"", length: int | None = None
) -> bytes:
    """A request as bytes; `lines` are further header lines."""
    length = len(body) if length is None else length
    head = [f"{method} {target} HTTP/1.1", "Host: api.test", *lines]
    if length:
        head.append(f"Content-Length: {length}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


@contextlib.asynccontextmanager
async def running_wire(settings: Settings) -> AsyncIterator[Wire]:
    """The service these settings ask for, served as `storecredit serve` does it."""
    listening = listen(settings)
    stop = asyncio.Event()

    async def serving() -> None:
        async with open_database(settings) as database:
            with served_by_one_used_again(settings):
                await serve(settings, database, listening, stop)

    running = asyncio.create_task(serving())
    wire = Wire(listening.getsockname()[1])
    try:
        yield wire
    finally:
        await wire.close()
        stop.set()
        await running
