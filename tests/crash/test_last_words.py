"""What a dying PostgreSQL says last is an outage to the service, not a defect.

A backend that is ended while nobody asks it anything sends FATAL first and closes after
(https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-FLOW-TERMINATION). In between the
driver takes the connection for busy, and whoever uses it then must get what an outage gets.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.group_commit import Bounds, GroupCommit
from storecredit.postgres.listener import EVERYTHING, Listener
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from storecredit.telemetry import Metrics
from tests.running_listener import Heard, running, until

ACCOUNT = 3
HEARD_SECONDS = 0.1
"""For the driver to read them while idle; read with an answer, they must have the same effect."""


def _message(kind: bytes, *fields: bytes) -> bytes:
    body = b"".join(field + b"\0" for field in fields) + b"\0"
    return kind + (len(body) + 4).to_bytes(4, "big") + body


LAST_WORDS = _message(
    b"E",
    b"SFATAL",
    b"VFATAL",
    b"C57P02",
    b"Mterminating connection because of crash of another server process",
)


class Between:
    """Stands between the driver and PostgreSQL, passes everything on, and can add to it."""

    def __init__(self, url: str) -> None:
        self.parts = urlsplit(url)
        self.port = 0
        self.connections: list[asyncio.StreamWriter] = []

    @property
    def url(self) -> str:
        """Where the driver finds it, in place of PostgreSQL."""
        user, _, _ = self.parts.netloc.rpartition("@")
        return f"postgresql://{user}@127.0.0.1:{self.port}{self.parts.path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        from_server, to_server = await self._connect()
        self.connections.append(writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_carry(reader, to_server))
                group.create_task(_carry(from_server, writer))
        finally:
            writer.close()
            to_server.close()

    def say_last_words(self) -> None:
        """To every open connection, as if from PostgreSQL; and do not close it yet."""
        for writer in self.connections:
            if not writer.is_closing():
                writer.write(LAST_WORDS)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        socket_dir = parse_qs(self.parts.query).get("host")
        if socket_dir:
            return await asyncio.open_unix_connection(f"{socket_dir[0]}/.s.PGSQL.5432")
        return await asyncio.open_connection(self.parts.hostname, self.parts.port or 5432)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def between(url: str) -> AsyncIterator[Between]:
    """Stand between for as long as the block lasts."""
    carrier = Between(url)
    conversations: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.add(asyncio.create_task(carrier.serve(reader, writer)))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    carrier.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield carrier
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)


async def test_a_connection_that_is_about_to_close_is_an_outage_and_is_used_no_more(
    database_url: str,
) -> None:
    async with between(database_url) as carrier:
        database = await Database.open(carrier.url, pool_max=1)
        assert await database.fetchval("SELECT 1") == 1
        carrier.say_last_words()
        await asyncio.sleep(HEARD_SECONDS)
        with pytest.raises(DatabaseUnavailable):
            await database.fetchval("SELECT 2")
        assert await database.fetchval("SELECT 3") == 3
        await database.close()


async def _echo(connection: Connection, items: Sequence[int]) -> list[int]:
    rows = await connection.fetch("SELECT unnest($1::int[]) AS item", list(items))
    return [row["item"] for row in rows]


async def test_a_batch_that_meets_last_words_is_committed_on_a_new_connection(
    database_url: str,
) -> None:
    async with between(database_url) as carrier:
        database = await Database.open(carrier.url, pool_max=2)
        commit = GroupCommit("echo", database, _echo, Bounds(1, 10, 100, 10.0), Metrics())
        await commit.start()
        assert await commit.submit(ACCOUNT, 1) == 1
        carrier.say_last_words()
        await asyncio.sleep(HEARD_SECONDS)
        assert await commit.submit(ACCOUNT, 2) == 2
        await commit.stop()
        await database.close()


async def test_a_listener_that_hears_last_words_listens_again(database_url: str) -> None:
    async with between(database_url) as carrier:
        database = await Database.open(carrier.url, pool_max=1)
        listener = Listener(database, "channel")
        heard = Heard(listener)
        async with running(listener):
            assert await heard.next() == EVERYTHING
            await until(listener.is_fresh)
            carrier.say_last_words()
            assert await heard.next() == EVERYTHING
            await until(listener.is_fresh)
        await database.close()
