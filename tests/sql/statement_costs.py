"""What a statement costs: the rows it reads; and which statements the application sends."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection, Servers


async def rows_read(connection: Connection, query: str, *args: object) -> int:
    """How many table rows a statement reads, those read inside of functions included."""
    counter = (
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int FROM pg_stat_xact_user_tables"
    )
    before = await connection.fetchval(counter)
    await connection.fetch(query, *args)
    return int(await connection.fetchval(counter)) - int(before)


class Recorder(Database):
    """The application's database, remembering each statement and its arguments."""

    def __init__(self, servers: Servers, pool_max: int) -> None:
        super().__init__(servers, pool_max)
        self.statements: list[tuple[str, tuple[object, ...]]] = []

    @property
    def sent(self) -> tuple[str, tuple[object, ...]]:
        """The last statement."""
        return self.statements[-1]

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        self.statements.append((query, args))
        return await super().fetch(query, *args)

    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None:
        self.statements.append((query, args))
        return await super().fetchrow(query, *args)


Call = tuple[str, tuple[Any, ...]]
"""A statement and its arguments."""


async def buffers_read(connection: Connection, query: str, *args: object) -> dict[str, int]:
    """How many pages of each table and index a statement reads, functions included.

    The statement is undone. Nobody else may work on the database.
    """
    [read] = [read async for _, read in buffers_of_each(connection, [(query, args)])]
    return read


async def buffers_of_each(
    connection: Connection, calls: Iterable[Call]
) -> AsyncIterator[tuple[Call, dict[str, int]]]:
    """The same of several statements, each with what it reads."""
    before = await _buffers(connection)
    for query, args in calls:
        async with undone(connection):
            await connection.fetch(query, *args)
        after = await _buffers(connection)
        yield (query, args), {name: read - before.get(name, 0) for name, read in after.items()}
        before = after


@asynccontextmanager
async def undone(connection: Connection) -> AsyncIterator[None]:
    """A transaction that is rolled back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def _buffers(connection: Connection) -> dict[str, int]:
    await connection.execute("SELECT pg_stat_force_next_flush()")
    # What pg_statio_user_tables and pg_statio_user_indexes say, without all else that they ask.
    rows = await connection.fetch(
        """SELECT relname, pg_stat_get_blocks_fetched(oid) AS fetched FROM pg_class
           WHERE relkind IN ('r', 'i') AND relnamespace = 'storecredit'::regnamespace"""
    )
    return {row["relname"]: row["fetched"] for row in rows}
