"""Makes the functions in SQL: all files of `sql/functions/`, current text, owned by the writer.

Nobody keeps a list of them: what `storecredit_writer` owns in our schema is ours.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from storecredit import sql
from storecredit.postgres.pool import SCHEMA, SEARCH_PATH, WRITER_ROLE

# Where they are made once more, and undone, to see how they are called.
_TRIAL: Final = "storecredit_trial"


async def make(connection: asyncpg.Connection) -> None:
    """Every function as it is today, owned by the writer, whose rights it has; no others of ours.

    One that is called as before is replaced where it stands, and not dropped: a service may be at
    work, and what it is just calling would not be found.
    """
    await connection.execute(
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {WRITER_ROLE};"
        "SET LOCAL check_function_bodies = off"
    )
    kept = await _on_trial(connection)
    await connection.execute(f"SET LOCAL ROLE {WRITER_ROLE}")
    for row in await connection.fetch(_FUNCTIONS, SCHEMA, WRITER_ROLE):
        if row["called"] not in kept:
            await connection.execute(f"DROP FUNCTION {row['name']}")
    await _apply_files(connection)
    await connection.execute("RESET ROLE")


_FUNCTIONS: Final = """
    SELECT p.oid::regprocedure::text AS name, p.proname || '(' || pg_get_function_arguments(p.oid)
        || ') ' || coalesce(pg_get_function_result(p.oid), '') AS called
    FROM pg_proc p
    WHERE p.pronamespace = $1::text::regnamespace AND p.proowner = $2::text::regrole"""


async def _on_trial(connection: asyncpg.Connection) -> set[str]:
    """How today's functions are called, by making them where nothing else is, and undoing that."""
    trial = connection.transaction()
    await trial.start()
    try:
        await connection.execute(
            f"""CREATE SCHEMA {_TRIAL};
                GRANT USAGE, CREATE ON SCHEMA {_TRIAL} TO {WRITER_ROLE};
                SET LOCAL search_path = {_TRIAL}, {SEARCH_PATH};
                SET LOCAL ROLE {WRITER_ROLE}"""
        )
        await _apply_files(connection)
        rows = await connection.fetch(_FUNCTIONS, _TRIAL, WRITER_ROLE)
    finally:
        await trial.rollback()
    return {row["called"] for row in rows}


async def _apply_files(connection: asyncpg.Connection) -> None:
    for name, text in sql.files("functions"):
        with _told_of(name):
            await connection.execute(text)


@contextmanager
def _told_of(name: str) -> Iterator[None]:
    """Add to an error of the server which file it is about."""
    try:
        yield
    except asyncpg.PostgresError as error:
        error.add_note(f"in functions/{name}")
        raise
