"""The interface in SQL for callers outside: views and functions in a schema the operator names.

It is made of `interface.sql`, and all of it belongs to `storecredit_writer`: what is ours there is
known by its owner, and nothing of anybody else's is ever replaced or dropped. Which schema it is
stands in `schema_version`, and stays until another one is asked for.
"""

from dataclasses import dataclass
from typing import Final

import asyncpg

from storecredit import sql
from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.servers import WRITER_ROLE, is_bucket

NONE: Final = "none"
"""To be asked for instead of a schema's name: no interface."""
DEFAULT: Final = "public"
NAME_MAX_BYTES: Final = 63
NAMES_SAID_MAX: Final = 5

# Where the build before had its tables, and the one by which it knows them.
_GUARDED: Final = "public"
_GUARD: Final = "storecredit_schema"
# Where the interface is made once more, and undone, to see what is in it.
_TRIAL: Final = "storecredit_interface_trial"


@dataclass(frozen=True, slots=True)
class Choice:
    """Where the interface is to be, None for nowhere; `note` is a sentence for the operator."""

    schema: str | None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class _Names:
    """What the interface consists of; `signatures` are functions with their arguments' types."""

    views: list[str]
    functions: list[str]
    signatures: list[str]


def moves(asked: str | None, current: str | None) -> bool:
    """Whether what is asked for differs from where the interface is."""
    return asked is not None and (None if asked == NONE else asked) != current


async def choose(
    connection: asyncpg.Connection, asked: str | None, current: str | None, *, is_first: bool
) -> Choice:
    """Where the interface is to be: where it was asked for, else where it is, else the default.

    A default whose names are taken is left out, with a note. Raises DatabaseMisconfigured if a
    schema that was asked for, or that it is in, cannot have it.
    """
    if asked == NONE:
        return Choice(None)
    if asked is None and is_first:
        taken = await _taken(connection, DEFAULT)
        if taken is None:
            return Choice(DEFAULT)
        return Choice(
            None,
            f"No interface for other programs was made: the schema {DEFAULT} {taken}; nothing of "
            "it was touched. `storecredit migrate --interface NAME` puts the views and functions "
            "into another schema.",
        )
    schema = asked if asked is not None else current
    if schema is None:
        return Choice(None)
    _refuse_unusable(schema)
    taken = await _taken(connection, schema)
    if taken is not None:
        raise DatabaseMisconfigured(
            f"The schema {schema} {taken}, and nothing was changed: choose another one with "
            f"`storecredit migrate --interface NAME`, or `--interface {NONE}`."
        )
    return Choice(schema)


async def make(connection: asyncpg.Connection, choice: Choice) -> None:
    """Have the interface where it was chosen, as this version has it, and nowhere else."""
    names = _Names([], [], [])
    if choice.schema is not None:
        names = await _made_on_trial(connection)
        await _create(connection, choice.schema)
    await _drop_all_but(connection, choice.schema, names)


async def make_guard(connection: asyncpg.Connection) -> None:
    """Have the view in `public` that keeps the build before out, wherever the interface is.

    Where its name is taken, that build finds no table of its own; and where this login may not make
    it, that build may make none either.
    """
    if await connection.fetchval("SELECT to_regnamespace($1)", _GUARDED) is None:
        return
    others = await connection.fetch(_OTHERS, _GUARDED, [_GUARD], [], WRITER_ROLE)
    if not others and await _may_create(connection, _GUARDED):
        await _make_in(connection, _GUARDED, sql.text("guard.sql").format(schema=_GUARDED))


def _refuse_unusable(schema: str) -> None:
    if is_bucket(schema) or schema.startswith("pg_") or schema == "information_schema":
        raise DatabaseMisconfigured(
            f"The interface cannot be in the schema {schema}: name another one, which is made "
            "unless it is there."
        )
    if not schema or len(schema.encode()) > NAME_MAX_BYTES:
        raise DatabaseMisconfigured(
            f"The name of a schema has 1 to {NAME_MAX_BYTES} bytes: name another one for the "
            "interface."
        )


async def _taken(connection: asyncpg.Connection, schema: str) -> str | None:
    """What speaks against the interface in this schema, as the end of a sentence."""
    if await connection.fetchval("SELECT to_regnamespace(quote_ident($1))", schema) is None:
        return None if schema != DEFAULT else "is not there"
    names = await _made_on_trial(connection)
    others = await connection.fetch(_OTHERS, schema, names.views, names.functions, WRITER_ROLE)
    if others:
        said = [row["name"] for row in others[:NAMES_SAID_MAX]]
        more = ", …" if len(others) > NAMES_SAID_MAX else ""
        return f"has something of its own named {', '.join(said)}{more}"
    if schema == DEFAULT and not await _may_create(connection, schema):
        return "may not be used by this login"
    return None


async def _may_create(connection: asyncpg.Connection, schema: str) -> bool:
    """Whether this login may make something there, and let the writer do so."""
    may = "SELECT has_schema_privilege($1, 'CREATE WITH GRANT OPTION')"
    answer: bool = await connection.fetchval(may, schema)
    return answer


# A view is a type, too: it needs a name that neither a table, an index nor a type has. And a
# function with other arguments takes the name as well: beside ours, calls of it might fit both.
_OTHERS: Final = """
    SELECT c.relname::text AS name FROM pg_class c
    WHERE c.relnamespace = quote_ident($1)::regnamespace AND c.relname = ANY ($2::text[])
      AND c.relowner <> $4::text::regrole
    UNION
    SELECT t.typname::text FROM pg_type t
    WHERE t.typnamespace = quote_ident($1)::regnamespace AND t.typname = ANY ($2::text[])
      AND t.typowner <> $4::text::regrole
    UNION
    SELECT p.proname || '()' FROM pg_proc p
    WHERE p.pronamespace = quote_ident($1)::regnamespace
      AND p.proname = ANY ($3::text[]) AND p.proowner <> $4::text::regrole
    ORDER BY name"""


async def _made_on_trial(connection: asyncpg.Connection) -> _Names:
    """What is in the interface, by making it where nothing else is, and undoing that."""
    trial = connection.transaction()
    await trial.start()
    try:
        await _create(connection, _TRIAL)
        views = await connection.fetch(
            "SELECT relname::text FROM pg_class WHERE relnamespace = $1::text::regnamespace",
            _TRIAL,
        )
        functions = await connection.fetch(
            """SELECT proname::text, proname || proargtypes::text FROM pg_proc
               WHERE pronamespace = $1::text::regnamespace""",
            _TRIAL,
        )
    finally:
        await trial.rollback()
    return _Names(
        [row[0] for row in views], [row[0] for row in functions], [row[1] for row in functions]
    )


async def _create(connection: asyncpg.Connection, schema: str) -> None:
    """Make the interface in a schema, which is made if it is not there."""
    name = await connection.fetchval("SELECT quote_ident($1)", schema)
    if await connection.fetchval("SELECT to_regnamespace($1)", name) is None:
        await connection.execute(f"CREATE SCHEMA {name}")
    await _make_in(connection, name, sql.text("interface.sql").replace("{interface}", name))


async def _make_in(connection: asyncpg.Connection, name: str, text: str) -> None:
    """Run SQL as the writer in a schema, where it may make things meanwhile; `name` is quoted."""
    may_use = "SELECT has_schema_privilege($1::text::regrole, to_regnamespace($2), 'USAGE')"
    if not await connection.fetchval(may_use, WRITER_ROLE, name):
        await connection.execute(f"GRANT USAGE ON SCHEMA {name} TO {WRITER_ROLE}")
    await connection.execute(
        f"GRANT CREATE ON SCHEMA {name} TO {WRITER_ROLE}; SET LOCAL ROLE {WRITER_ROLE}"
    )
    await connection.execute(text)
    # Who may write to a view would else do so with the writer's rights, or be told that no view of
    # its kind can be written.
    for row in await connection.fetch(_VIEWS, name, WRITER_ROLE):
        await connection.execute(
            f"""CREATE OR REPLACE TRIGGER written_by_functions_only
                INSTEAD OF INSERT OR UPDATE OR DELETE ON {row["view"]}
                FOR EACH ROW EXECUTE FUNCTION refuse_to_write()"""
        )
    await connection.execute(f"RESET ROLE; REVOKE CREATE ON SCHEMA {name} FROM {WRITER_ROLE}")


_VIEWS: Final = """
    SELECT c.oid::regclass::text AS view FROM pg_class c
    WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'v'
      AND c.relowner = $2::text::regrole"""


async def _drop_all_but(connection: asyncpg.Connection, schema: str | None, kept: _Names) -> None:
    """Drop what is ours outside our schema: where the interface was, and what it had before."""
    guard = f"{_GUARDED}.{_GUARD}"
    old = await connection.fetch(_OURS, WRITER_ROLE, schema, kept.views, kept.signatures, guard)
    for row in old:
        await connection.execute(f"SET LOCAL ROLE {WRITER_ROLE}; DROP {row['object']}; RESET ROLE")


_OURS: Final = """
    SELECT format('FUNCTION %s', p.oid::regprocedure) AS object, 1 AS step
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.proowner = $1::text::regrole AND n.nspname !~ '^storecredit(_[0-9]+)?$'
      AND (n.nspname = $2::text AND p.proname || p.proargtypes::text = ANY ($4::text[])) IS NOT TRUE
    UNION ALL
    SELECT format('VIEW %s', c.oid::regclass), 2
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'v' AND c.relowner = $1::text::regrole
      AND n.nspname !~ '^storecredit(_[0-9]+)?$'
      AND (n.nspname = $2::text AND c.relname = ANY ($3::text[])) IS NOT TRUE
      AND c.oid IS DISTINCT FROM to_regclass($5)
    ORDER BY step"""
