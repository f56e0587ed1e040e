"""The tables of all buckets as one, for a test to read past all of the application's code."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from storecredit.postgres.servers import SCHEMA

EVERYWHERE: Final = "everywhere"
# Each bucket's job queue has a type of its own for how jobs stand.
_TABLES: Final = r"""
    SELECT t.name, string_agg(t.rows, ' UNION ALL ' ORDER BY t.bucket) AS rows
    FROM (SELECT c.relname AS name, c.relnamespace AS bucket, format('SELECT %s FROM %I.%I',
              string_agg(format(CASE WHEN y.typtype = 'e' THEN '%1$I::text' ELSE '%1$I' END,
                  a.attname), ', ' ORDER BY a.attnum), n.nspname, c.relname) AS rows
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          JOIN pg_type y ON y.oid = a.atttypid
          WHERE c.relkind = 'r' AND n.nspname ~ '^storecredit(_\d+)?$'
          GROUP BY c.relname, c.relnamespace, n.nspname) t
    GROUP BY t.name HAVING count(*) > 1"""


async def search_path(connection: asyncpg.Connection) -> str:
    """Where tables are found: of several buckets all of each first, to be read only."""
    tables = await connection.fetch(_TABLES)
    if not tables:
        return f"{SCHEMA}, public"
    await connection.execute(
        f"CREATE SCHEMA IF NOT EXISTS {EVERYWHERE};"
        + ";".join(
            f'CREATE OR REPLACE VIEW {EVERYWHERE}."{table["name"]}" AS {table["rows"]}'
            for table in tables
        )
    )
    return f"{EVERYWHERE}, {SCHEMA}, public"


async def tamper(
    connection: asyncpg.Connection, statement: str, *args: object
) -> list[asyncpg.Record]:
    """Do the same to the tables of every bucket; the rows of all."""
    return await in_each_bucket(connection, statement, *args)


async def in_each_bucket(
    connection: asyncpg.Connection, statement: str, *args: object
) -> list[asyncpg.Record]:
    """What every bucket answers to one statement, one after the other."""
    buckets = await connection.fetch(
        r"SELECT nspname FROM pg_namespace WHERE nspname ~ '^storecredit(_\d+)?$' ORDER BY oid"
    )
    found = []
    async with connection.transaction():
        for bucket in buckets:
            async with within(connection, bucket["nspname"]):
                found += await connection.fetch(statement, *args)
    return found


@asynccontextmanager
async def within(connection: asyncpg.Connection, schema: str) -> AsyncIterator[None]:
    """Have names mean what they do in one bucket until the block ends."""
    before = await connection.fetchval("SHOW search_path")
    await connection.execute(f"SET search_path = {schema}, public")
    yield
    await connection.execute(f"SET search_path = {before}")
