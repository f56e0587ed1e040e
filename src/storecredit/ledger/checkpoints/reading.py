"""Reads by the keys of the tables, whatever is known of how large they are.

A statement that was planned while a table was new, or before it was analyzed, may read all of it
for each account. What is read here is read beside all else, so it is planned each time anew.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

PREFETCHED: Final = 1_000
"""Rows of a long answer that are kept at once."""

_BY_KEYS: Final = """
    SET LOCAL plan_cache_mode = force_custom_plan;
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_bitmapscan = off;
    SET LOCAL jit = off
"""


async def read(database: Database, query: str, *args: object) -> list[Record]:
    """All rows of one statement. Raises DatabaseUnavailable."""
    async with database.acquire() as connection, connection.transaction(readonly=True):
        await connection.execute(_BY_KEYS)
        rows: list[Record] = await connection.fetch(query, *args)
        return rows


@asynccontextmanager
async def streamed(
    database: Database,
) -> AsyncIterator[Callable[..., AsyncGenerator[Record, None]]]:
    """What has the rows of a statement read bit by bit, of several as of one moment.

    Raises DatabaseUnavailable.
    """
    async with (
        database.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await connection.execute(_BY_KEYS)

        async def rows(query: str, *args: object) -> AsyncGenerator[Record, None]:
            async for row in connection.cursor(query, *args, prefetch=PREFETCHED):
                yield row

        yield rows
