"""What there is of ours in a database: told in a moment, and compared with what ought to be there.

A migration keeps a hash of it once all is right (`shape.sql`). As long as that is what there is,
nothing has to be looked at any closer. A restore may also leave out keys and columns, which no
migration can make anew, since the rows may not allow them any more.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import asyncpg

from storecredit import sql
from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.servers import WRITER_ROLE, Connection, search_path

SEPARATE_SET_RIGHT: Final = 16
"""From here on, whoever is a member of a role may be kept from acting as it."""
# Where the tables are made once more, and undone, to see what is in them: it takes no right that
# an owner of our schema alone would not have.
_TRIAL: Final = "pg_temp"
NAMES_SAID_MAX: Final = 3
_NOUNS: Final = {"ROUTINE": "function"}
_MADE: Final = """
    WITH whose AS (
        SELECT n.oid FROM pg_namespace n
        WHERE n.nspname = $2 OR $2 = 'storecredit' AND n.nspname !~ '^storecredit(_[0-9]+)?$'
    )
    SELECT 'FUNCTION' AS kind, p.oid::regprocedure::text AS name,
        md5(concat_ws(' ', p.prosrc, p.prosecdef, p.provolatile, p.proconfig)) AS text
    FROM pg_proc p
    WHERE p.proowner = $1::text::regrole AND p.pronamespace IN (SELECT n.oid FROM whose n)
    UNION ALL
    SELECT 'VIEW', c.oid::regclass::text, '' FROM pg_class c
    WHERE c.relowner = $1::text::regrole AND c.relkind = 'v'
      AND c.relnamespace IN (SELECT n.oid FROM whose n)"""
_PARTS: Final = """
    SELECT format('the column %s of %s', a.attname, c.relname) AS part
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'r'
      AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT format('the constraint %s of %s', o.conname, c.relname)
    FROM pg_class c JOIN pg_constraint o ON o.conrelid = c.oid
    WHERE c.relnamespace = $1::text::regnamespace AND o.contype IN ('p', 'u', 'f', 'c')
      AND o.convalidated
    UNION ALL
    SELECT format('the index %s of %s', i.relname, c.relname)
    FROM pg_class c JOIN pg_index x ON x.indrelid = c.oid JOIN pg_class i ON i.oid = x.indexrelid
    WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'r' AND x.indisvalid
    ORDER BY part"""


@dataclass(frozen=True, slots=True)
class Shape:
    """What there is, as a hash; and whether this login may act as both of our roles."""

    hash: str | None
    may_act_as_both: bool
    app_may_login: bool


async def look(connection: Connection, schema: str) -> Shape:
    """What there is now. One look-up, which every role may make."""
    row = await connection.fetchrow(sql.text("shape.sql"), schema, right_to_act(connection))
    assert row is not None, "it has one row"
    return Shape(**row)


def right_to_act(connection: Connection) -> str:
    """What whoever may act as a role has on it, as `pg_has_role` has it."""
    separate = connection.get_server_version().major >= SEPARATE_SET_RIGHT
    return "SET" if separate else "MEMBER"


async def made(connection: Connection, schema: str) -> dict[tuple[str, str], str]:
    """Functions and views of the writer's, by kind and name, each with what it is made of."""
    rows = await connection.fetch(_MADE, WRITER_ROLE, schema)
    return {(row["kind"], row["name"]): row["text"] for row in rows}


def counted(things: Iterable[tuple[str, str]]) -> str:
    """So many of each kind, the first of them by name: "2 views (stores, users), 1 table (…)"."""
    # Without their arguments, which may be a dozen.
    named = sorted({(kind, name.partition("(")[0]) for kind, name in things})
    counts = Counter(kind for kind, _ in named)
    return ", ".join(
        f"{count} {_NOUNS.get(kind, kind.lower())}{'s' if count > 1 else ''} "
        f"({_first([name for of, name in named if of == kind])})"
        for kind, count in counts.items()
    )


def _first(names: list[str]) -> str:
    return ", ".join(names[:NAMES_SAID_MAX]) + (", …" if len(names) > NAMES_SAID_MAX else "")


async def refuse_incomplete(
    connection: asyncpg.Connection, schema: str, migrations: Iterable[str]
) -> None:
    """Raise DatabaseMisconfigured if the tables lack a part that these migrations made."""
    ought = await _made_on_trial(connection, schema, migrations)
    there = {row["part"] for row in await connection.fetch(_PARTS, schema)}
    missing = [part for part in ought if part not in there]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DatabaseMisconfigured(
            f"The tables lack {missing[0]}{more}, as after a restore that stopped halfway, and "
            "nothing was changed: restore the dump again, into an empty database."
        )


async def _made_on_trial(
    connection: asyncpg.Connection, schema: str, migrations: Iterable[str]
) -> list[str]:
    """What the tables consist of, by making them where nothing else is, and undoing that."""
    trial = connection.transaction()
    await trial.start()
    try:
        await connection.execute(f"SET LOCAL search_path = {_TRIAL}")
        for name in migrations:
            await connection.execute(sql.text(f"migrations/{name}.sql"))
        await connection.execute(f"SET LOCAL search_path = {search_path(schema)}")
        trial_schema = await connection.fetchval("SELECT pg_my_temp_schema()::regnamespace::text")
        return [row["part"] for row in await connection.fetch(_PARTS, trial_schema)]
    finally:
        await trial.rollback()
