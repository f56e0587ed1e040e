"""What tests of the group commit share: a table to write, and a line to the server to cut."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import asyncpg
import pytest

from storecredit.postgres import group_commit
from storecredit.postgres.servers import Connection
from storecredit.telemetry import get_logger
from tests.running_listener import Clock

log = get_logger("tests.commits")

WAIT_MAX_SECONDS = 30.0
INPUT = b'"image_urls"'
"""Stands in the message that carries a batch to the server, which commits it on its own."""
READY_AGAIN = b"Z\x00\x00\x00\x05I"
"""ReadyForQuery, outside of a transaction: what was asked for is committed."""
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that deadlines are judged by goes on when a test says so, and never by itself."""
    clock = Clock()
    monkeypatch.setattr(group_commit, "time", SimpleNamespace(monotonic=clock))
    return clock


async def until(is_so: Callable[[], Awaitable[object]]) -> None:
    """Return once it is so."""
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        while not await is_so():  # noqa: ASYNC110  # rows of a database set no event
            await asyncio.sleep(0.01)


class Rows:
    """A settle function: one row per item and transaction. Nothing stops a second one."""

    def __init__(self, admin: asyncpg.Connection) -> None:
        self._admin = admin
        self.batches: list[list[int]] = []
        self.held: int | None = None
        """The item whose transaction stays open until the gate is."""
        self.gate = asyncio.Event()
        self.errors: list[str] = []
        """SQLSTATEs to end the next transactions with."""

    async def make_table(self) -> None:
        await self._admin.execute(
            """DROP TABLE IF EXISTS storecredit.effects;
               CREATE TABLE storecredit.effects
                   (place serial, item int CHECK (item > 0), backend int);
               GRANT ALL ON storecredit.effects, storecredit.effects_place_seq TO storecredit_app"""
        )

    async def settle(self, connection: Connection, items: Sequence[int]) -> Sequence[str]:
        """Write the rows; an item below 1 is a bad one."""
        self.batches.append(list(items))
        async with connection.transaction():
            if self.held in items:
                await self.gate.wait()
            await connection.execute(
                "INSERT INTO effects (item, backend) SELECT item, pg_backend_pid()"
                " FROM unnest($1::int[]) WITH ORDINALITY AS given(item, place) ORDER BY place",
                items,
            )
            if self.errors:
                sqlstate = self.errors.pop(0)
                await connection.execute(
                    f"DO $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '{sqlstate}'; END $$"
                )
        return [f"outcome of {item}" for item in items]

    async def transactions(self) -> list[list[int]]:
        """The items that were committed, by transaction, both in the order they were written."""
        rows = await self._admin.fetch(
            """SELECT array_agg(item ORDER BY place) AS items FROM storecredit.effects
               GROUP BY xmin::text ORDER BY min(place)"""
        )
        return [row["items"] for row in rows]

    async def backends(self) -> int:
        """How many connections wrote."""
        count = await self._admin.fetchval(
            "SELECT count(DISTINCT backend) FROM storecredit.effects"
        )
        assert isinstance(count, int)
        return count


class Line:
    """A connection to the server through this process, to be cut where a test wants it cut."""

    def __init__(self, url: str, directory: Path) -> None:
        self._server = urlsplit(url)
        self._directory = directory
        self._pumps: set[asyncio.Task[None]] = set()
        self.cut_around_commit: Literal["before", "after"] | None = None
        """Cut the line once: the server never hears of a batch, or commits it and is not heard."""
        self.is_away = False
        """Whether who connects now is hung up on."""
        self.turned_away = asyncio.Event()
        """Somebody was hung up on."""
        self.is_away_after_the_cut = False
        self.cut = asyncio.Event()
        self.speaks = asyncio.Event()
        self.speaks.set()
        self._era = 0

    def swallow(self) -> None:
        """Deliver nothing any longer on the connections that there are, as a lost route does."""
        self._era += 1

    @property
    def url(self) -> str:
        login = f"{self._server.netloc.rpartition('@')[0]}@" if "@" in self._server.netloc else ""
        query = f"host={self._directory}&port=5432"
        return urlunsplit(self._server._replace(netloc=login, query=query))

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Line"]:
        server = await asyncio.start_unix_server(
            self._accept, self._directory / ".s.PGSQL.5432", limit=2**20
        )
        try:
            yield self
        finally:
            server.close()
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_away:
            self.turned_away.set()
            writer.close()
            return
        upstream = await self._connect()
        heard_batch = asyncio.Event()
        for pump in (
            self._to_server((reader, upstream[1]), writer, heard_batch),
            self._to_client((upstream[0], writer), upstream[1], heard_batch),
        ):
            self._pumps.add(asyncio.create_task(pump))

    async def _connect(self) -> Streams:
        query = parse_qs(self._server.query)
        if "host" in query:
            path = f"{unquote(query['host'][0])}/.s.PGSQL.{query.get('port', ['5432'])[0]}"
            return await asyncio.open_unix_connection(path)
        return await asyncio.open_connection(self._server.hostname, self._server.port or 5432)

    async def _to_server(
        self, streams: Streams, client: asyncio.StreamWriter, heard_batch: asyncio.Event
    ) -> None:
        source, server = streams
        async for chunk in self._chunks(source, server):
            if self.cut_around_commit is not None and INPUT in chunk:
                if self.cut_around_commit == "before":
                    self._cut(client, server)
                    return
                self.cut_around_commit = None
                heard_batch.set()
            server.write(chunk)

    async def _to_client(
        self, streams: Streams, server: asyncio.StreamWriter, heard_batch: asyncio.Event
    ) -> None:
        source, client = streams
        reply = b""
        async for chunk in self._chunks(source, client):
            if not heard_batch.is_set():
                client.write(chunk)
                continue
            reply += chunk
            if READY_AGAIN in reply:
                self._cut(client, server)
                return

    async def _chunks(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> AsyncIterator[bytes]:
        era = self._era
        try:
            while chunk := await source.read(2**16):
                await self.speaks.wait()
                if era == self._era:
                    yield chunk
                    await sink.drain()
        except OSError as error:
            # One side is gone; so is the other in a moment.
            log.debug("line_lost", error=str(error))
        finally:
            sink.close()

    def _cut(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.cut_around_commit = None
        self.is_away = self.is_away_after_the_cut
        client.close()
        server.close()
        self.cut.set()
