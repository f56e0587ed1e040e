"""The listener on a real PostgreSQL: what it hears, its lease, and connections that die or hang."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import asyncpg
from structlog.testing import capture_logs

from storecredit.postgres.buckets import SeveralBuckets
from storecredit.postgres.listener import EVERYTHING, LEASE_SECONDS, Listener
from storecredit.postgres.pool import Database
from tests.running_listener import Clock, Heard, running, until

CHANNEL, OTHER = "a channel", "another channel"


async def announce(admin: asyncpg.Connection, payload: str, channel: str = CHANNEL) -> None:
    await admin.execute("SELECT pg_notify($1, $2)", channel, payload)


class Link:
    """A connection to the server through this process, which can fall silent without a word."""

    def __init__(self, url: str, directory: Path) -> None:
        self._url = urlsplit(url)
        self._directory = directory
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._pumps: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        login = f"{self._url.netloc.rpartition('@')[0]}@" if "@" in self._url.netloc else ""
        query = f"host={self._directory}&port=5432"
        return urlunsplit(self._url._replace(netloc=login, query=query))

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Link"]:
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

    def fall_silent(self) -> None:
        self._speaks.clear()

    def speak_again(self) -> None:
        self._speaks.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = parse_qs(self._url.query)
        if "host" in query:
            path = f"{unquote(query['host'][0])}/.s.PGSQL.{query.get('port', ['5432'])[0]}"
            upstream = await asyncio.open_unix_connection(path)
        else:
            upstream = await asyncio.open_connection(self._url.hostname, self._url.port or 5432)
        for source, sink in ((reader, upstream[1]), (upstream[0], writer)):
            self._pumps.add(asyncio.create_task(self._pump(source, sink)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(2**16):
                await self._speaks.wait()
                sink.write(chunk)
                await sink.drain()
        except OSError:
            pass  # One side is gone; so is the other in a moment.
        finally:
            sink.close()


async def test_a_listener_tells_every_announcement_in_order(
    database: Database, admin: asyncpg.Connection
) -> None:
    listener = Listener(database, CHANNEL)
    heard = Heard(listener)
    async with running(listener):
        assert await heard.next() == EVERYTHING
        for payload in ("first", "second", ""):
            await announce(admin, payload)
        assert [await heard.next() for _ in range(3)] == ["first", "second", ""]


async def test_announcements_of_other_channels_are_not_told(
    database: Database, admin: asyncpg.Connection
) -> None:
    listener = Listener(database, CHANNEL)
    heard = Heard(listener)
    async with running(listener):
        assert await heard.next() == EVERYTHING
        await admin.execute("SELECT pg_notify('another', 'not ours')")
        await announce(admin, "ours")
        assert await heard.next() == "ours"


async def test_several_channels_share_a_connection(
    database: Database, admin: asyncpg.Connection
) -> None:
    listener = Listener(database, CHANNEL, OTHER)
    heard, heard_there = Heard(listener), Heard(listener, OTHER)
    async with running(listener):
        assert await heard.next() == await heard_there.next() == EVERYTHING
        await announce(admin, "there", OTHER)
        await announce(admin, "here")
        assert (await heard.next(), await heard_there.next()) == ("here", "there")


async def test_the_answer_to_a_query_comes_after_all_that_was_committed_before(
    database: Database, admin: asyncpg.Connection
) -> None:
    # What the lease rests on.
    connection = await database.connect()
    heard: list[object] = []
    await connection.add_listener(CHANNEL, lambda *announcement: heard.append(announcement[-1]))
    for number in range(300):
        await announce(admin, f"{number}")
        await connection.fetchval("SELECT 1")
        assert heard[-1:] == [f"{number}"]
    await connection.close()


async def test_the_lease_begins_with_an_answer_and_ends_without_one(database: Database) -> None:
    clock = Clock()
    listener = Listener(database, CHANNEL, clock=clock)
    assert not listener.is_fresh()
    async with running(listener):
        await until(listener.is_fresh)
        clock.now += LEASE_SECONDS - 0.01
        assert listener.is_fresh()
        clock.now += 0.01
        assert not listener.is_fresh()
        await until(listener.is_fresh)
    assert not listener.is_fresh()


async def test_a_lost_connection_is_made_anew_and_everything_may_have_changed(
    database: Database, admin: asyncpg.Connection
) -> None:
    listener = Listener(database, CHANNEL, OTHER)
    heard = Heard(listener)
    with capture_logs() as logs:
        async with running(listener):
            assert await heard.next() == EVERYTHING
            # Only from its first ping on does the connection show what it is looked for by.
            await until(listener.is_fresh)
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE '%pg_listening_channels%'"
                " AND pid <> pg_backend_pid()"
            )
            assert await heard.next() == EVERYTHING
            await until(listener.is_fresh)
            await announce(admin, "heard again")
            assert await heard.next() == "heard again"
    assert [(line["event"], line["channels"]) for line in logs] == [
        ("listener_lost", [CHANNEL, OTHER])
    ]


async def test_a_line_that_falls_silent_ends_the_lease_and_is_replaced(
    database_url: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    clock = Clock()
    async with Link(database_url, tmp_path).open() as link:
        database = await Database.open(link.url)
        listener = Listener(database, CHANNEL, clock=clock)
        heard = Heard(listener)
        with capture_logs() as logs:
            async with running(listener):
                assert await heard.next() == EVERYTHING
                await until(listener.is_fresh)
                link.fall_silent()
                await announce(admin, "unheard")
                clock.now += LEASE_SECONDS
                assert not listener.is_fresh()
                await until(lambda: len(logs) > 0)
                assert not listener.is_fresh()
                link.speak_again()
                assert await heard.next() == EVERYTHING
                await until(listener.is_fresh)
        assert "TimeoutError" in logs[0]["cause"]
        await database.close()


class DeafSession(asyncpg.Connection):
    """What a pooler makes of LISTEN that hands the next statement to another session."""

    async def add_listener(self, *arguments: Any) -> None:
        await super().add_listener(*arguments)
        await self.execute("UNLISTEN *")


class PooledDatabase(Database):
    url: str

    async def connect(
        self,
        settings: Mapping[str, str] | None = None,  # noqa: ARG002 - as in Database
    ) -> asyncpg.Connection:
        return await asyncpg.connect(self.url, connection_class=DeafSession)


async def test_a_session_that_does_not_listen_gives_no_lease(database_url: str) -> None:
    database = await PooledDatabase.open(database_url)
    assert isinstance(database, PooledDatabase)
    database.url = database_url
    listener = Listener(database, CHANNEL)
    heard = Heard(listener)
    with capture_logs() as logs:
        async with running(listener):
            for _ in range(3):
                assert await heard.next() == EVERYTHING
                assert not listener.is_fresh()
    assert "transaction or statement mode" in logs[0]["cause"]
    await database.close()


async def test_an_unreachable_database_is_tried_again_until_it_is_there(
    database_url: str, tmp_path: Path
) -> None:
    link = Link(database_url, tmp_path)
    async with link.open():
        database = await Database.open(link.url)
    listener = Listener(database, CHANNEL)
    with capture_logs() as logs:
        async with running(listener):
            await until(lambda: len(logs) > 2)
            assert not listener.is_fresh()
            async with link.open():
                await until(listener.is_fresh)
                await database.close()
    assert [line["failures"] for line in logs[:3]] == [1, 2, 3]


async def test_what_several_have_announced_is_heard_only_where_each_of_them_is(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    link = Link(database_url, tmp_path)
    async with link.open():
        away = await Database.open(link.url)
    for databases in ((database, away), (away, database)):
        listener = Listener(SeveralBuckets(databases), CHANNEL)
        heard = Heard(listener)
        with capture_logs() as logs:
            async with running(listener):
                assert await heard.next() == EVERYTHING
                await until(lambda: len(logs) > 2)
                assert not listener.is_fresh()
                async with link.open():
                    await until(listener.is_fresh)
    await away.close()
