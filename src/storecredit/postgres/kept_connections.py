"""Connections that one part of the service keeps for itself, beside the pool.

`KeptConnections`, for a statement that is sent all the time.
The pool resets a connection whenever it is given back (asyncpg's Connection.reset: four commands,
one more round trip), which costs both sides more than a small read. A part that only reads, by
single statements, leaves nothing behind in the session and needs no reset.

`KeptSnapshots`, for reads of many statements that somebody waits for. In a new session each of them
is parsed and planned by a server that knows nothing yet, which costs as much as to carry them out.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import asyncpg

from storecredit.postgres.errors import DatabaseUnavailable, translated
from storecredit.postgres.pool import Database, of_one_moment
from storecredit.postgres.servers import Connection, Record

CLOSE_TIMEOUT_SECONDS: Final = 1.0
SETTINGS: Final = {"statement_timeout": "10s"}
"""Who is given up on while he waits in the server leaves it by himself; nothing is written here."""
IDLE_MAX_SECONDS: Final = 60.0
"""A session holds some megabytes: it is ended when nobody has asked for so long."""


class KeptConnections:
    """As many connections as there are statements at the same time, made when first needed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._idle: list[asyncpg.Connection] = []
        self._way = database.way

    async def fetch(self, query: str, *args: object) -> list[Record]:
        """All rows of one statement that changes nothing, in the session neither.

        Raises DatabaseUnavailable. Whatever ends the statement early, cancellation too, ends the
        connection.
        """
        connection = self._usable() or await self._database.connect(SETTINGS)
        try:
            with translated():
                rows: list[Record] = await connection.fetch(query, *args)
        except BaseException:
            connection.terminate()
            raise
        self._idle.append(connection)
        return rows

    async def close(self) -> None:
        """Take leave of the server; one that does not answer keeps nobody from stopping."""
        while self._idle:
            with contextlib.suppress(DatabaseUnavailable), translated():
                await self._idle.pop().close(timeout=CLOSE_TIMEOUT_SECONDS)

    def _usable(self) -> asyncpg.Connection | None:
        if self._way != self._database.way:
            self._way = self._database.way
            while self._idle:
                self._idle.pop().terminate()
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None


class KeptSnapshots:
    """Like `Database.snapshot`, with one session that is kept for who comes next.

    `close()` after use.
    """

    def __init__(self, database: Database, *, statement_seconds: float) -> None:
        self._database = database
        self._statement_seconds = statement_seconds
        self._idle: asyncpg.Connection | None = None
        self._ending: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A connection that sees one moment: to read, and write nothing.

        Raises DatabaseUnavailable; StatementCancelled where a statement takes too long. Whatever
        ends the reading early, cancellation too, ends the connection.
        """
        connection: asyncpg.Connection | None = None
        try:
            async with AsyncExitStack() as reading:
                connection = await self._begun(reading)
                yield connection
        except BaseException:
            if connection is not None:
                connection.terminate()
            raise
        self.close()
        self._idle = connection
        self._ending = asyncio.get_running_loop().call_later(IDLE_MAX_SECONDS, self.close)

    async def _begun(self, reading: AsyncExitStack) -> asyncpg.Connection:
        """A connection on which it has begun: the kept one, or another if that was cut off."""
        kept = self._taken()
        if kept is not None:
            with contextlib.suppress(DatabaseUnavailable):
                return await _begun_on(kept, reading)
        return await _begun_on(
            await self._database.connect_to_read(self._statement_seconds), reading
        )

    def close(self) -> None:
        """End the session that is kept; without waiting, as there is nothing in it."""
        connection = self._taken()
        if connection is not None:
            connection.terminate()

    def _taken(self) -> asyncpg.Connection | None:
        if self._ending is not None:
            self._ending.cancel()
        connection, self._idle, self._ending = self._idle, None, None
        return connection


async def _begun_on(connection: asyncpg.Connection, reading: AsyncExitStack) -> asyncpg.Connection:
    try:
        await reading.enter_async_context(of_one_moment(connection))
    except BaseException:
        connection.terminate()
        raise
    return connection
