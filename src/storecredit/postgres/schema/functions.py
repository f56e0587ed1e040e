"""Makes the functions in SQL: all files of `sql/functions/`, current text, owned by the writer.

Nobody keeps a list of them: what `storecredit_writer` owns in our schema is ours.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from storecredit import sql
from storecredit.postgres.nodes import is_citus, is_spread
from storecredit.postgres.schema import on_citus
from storecredit.postgres.servers import SCHEMA, WRITER_ROLE

_MADE_FROM_A_TABLE: Final = "movement_types.sql"


async def make(connection: asyncpg.Connection, schema: str) -> None:
    """Every function as it is today, owned by the writer, whose rights it has; no others of ours.

    One that was there is replaced where it stands, and not dropped: a service may be at work, and
    what it is just calling would not be found.
    """
    await connection.execute(
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {WRITER_ROLE};"
        "SET LOCAL check_function_bodies = off;"
        f"SET LOCAL ROLE {WRITER_ROLE}"
    )
    before = await _ours(connection, schema)
    try:
        async with connection.transaction():
            await _apply_files(connection, schema)
    except asyncpg.InvalidFunctionDefinitionError:
        # One answers in another form than before: a new one has to take its place.
        await _drop(connection, before)
        await _apply_files(connection, schema)
    after = await _ours(connection, schema)
    await _drop(connection, [oid for oid in before if before[oid] == after.get(oid)])
    if schema != SCHEMA and await is_citus(connection):
        await on_citus.adapt(connection, schema)
    await connection.execute("RESET ROLE")


async def _ours(connection: asyncpg.Connection, schema: str) -> dict[int, str]:
    """Our functions, and which transaction has last written each."""
    rows = await connection.fetch(
        """SELECT oid, xmin::text FROM pg_proc
           WHERE pronamespace = $1::text::regnamespace AND proowner = $2::text::regrole""",
        schema,
        WRITER_ROLE,
    )
    return {row["oid"]: row["xmin"] for row in rows}


async def _drop(connection: asyncpg.Connection, oids: Iterable[int]) -> None:
    """Drop these, but for those of which a view is made."""
    names = await connection.fetchval(
        """SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p
           WHERE p.oid = ANY ($1::oid[]) AND NOT EXISTS (
               SELECT FROM pg_depend d
               WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid)""",
        list(oids),
    )
    if names is not None:
        await connection.execute(f"DROP FUNCTION {names}")


async def _apply_files(connection: asyncpg.Connection, schema: str) -> None:
    # Citus has a table read by nobody but who has changed one of them in the same transaction. Who
    # replaces a function leaves it to its owner.
    reads_as_owner = (
        schema != SCHEMA
        and await connection.fetchval("SELECT to_regprocedure('movement_role(text)') IS NOT NULL")
        and await is_spread(connection, schema)
    )
    for name, text in sql.files("functions"):
        with _told_of(name):
            if reads_as_owner and name == _MADE_FROM_A_TABLE:
                await connection.execute("RESET ROLE")
                await connection.execute(text)
                await connection.execute(f"SET LOCAL ROLE {WRITER_ROLE}")
            else:
                await connection.execute(text)


@contextmanager
def _told_of(name: str) -> Iterator[None]:
    """Add to an error of the server which file it is about."""
    try:
        yield
    except asyncpg.PostgresError as error:
        error.add_note(f"in functions/{name}")
        raise
