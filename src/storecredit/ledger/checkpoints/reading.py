"""Reads by the keys of the tables, whatever is known of how large they are.

A statement that was planned while a table was new, or before it was analyzed, may read all of it
for each account. What is read here is read beside all else, so it is planned each time anew.
"""

from typing import Final

from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

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
