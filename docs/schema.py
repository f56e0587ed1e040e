"""The page docs/schema.sql: what a migration makes, read back from the catalogue of a database.

Not `pg_dump`: what is told is the same whatever version of PostgreSQL it is read from.
"""

import asyncio
import re
import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.servers import SCHEMA, WRITER_ROLE, connect

COLUMNS = 99
"""And a comma."""
NO_BREAK = "\0"
"""Stands for a space within an argument, at which no line ends."""
TYPE = r"[a-z]+(?: with time zone| varying| precision)?"
SHORT_NAMES = {
    "timestamp with time zone": "timestamptz",
    "integer": "int",
    " USING btree": "",
}
HEAD = """\
-- The schema `storecredit` as a migration makes it, to be read: `make docs` writes this page. How
-- it comes to be stands in src/storecredit/sql/. Beside these tables there are those of the job
-- queue (PgQueuer's own) and the interface for other programs (docs/sql.md).
"""
TABLES = """
    SELECT c.oid, c.relname AS name, c.reloptions, obj_description(c.oid, 'pg_class') AS comment
    FROM pg_class c
    WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'r' AND c.relname !~ '^pgqueuer'
    ORDER BY c.oid"""
TABLE_COLUMNS = """
    SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull,
        a.attidentity <> '' AS is_identity, a.attgenerated <> '' AS is_generated,
        pg_get_expr(d.adbin, d.adrelid, true) AS "default",
        -- Without the version of the column, which PostgreSQL keeps there from November 2026 on.
        (SELECT array_agg(o) FROM unnest(a.attoptions) o WHERE NOT starts_with(o, 'pg_attver='))
            AS options,
        col_description(a.attrelid, a.attnum) AS comment
    FROM pg_attribute a
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum"""
CONSTRAINTS = """
    SELECT conname AS name, pg_get_constraintdef(oid, true) AS definition,
        contype = 'c' OR conname !~ '_(pkey|key|fkey)\\d*$' AS is_named
    FROM pg_constraint WHERE conrelid = $1 AND contype IN ('p', 'u', 'f', 'c')
    ORDER BY strpos('pufc', contype::text), conname"""
INDEXES = """
    SELECT replace(pg_get_indexdef(i.indexrelid, 0, true), $2 || '.', '') AS definition
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = $1
      AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = i.indexrelid)
    ORDER BY c.relname"""
FUNCTIONS = """
    SELECT p.proname AS name, pg_get_function_arguments(p.oid) AS arguments,
        pg_get_function_result(p.oid) AS result, obj_description(p.oid, 'pg_proc') AS comment
    FROM pg_proc p
    WHERE p.pronamespace = $1::text::regnamespace AND p.proowner = $2::text::regrole
      AND (p.prosecdef OR p.provolatile <> 'v') = $3
    ORDER BY p.proname, p.oid::regprocedure::text"""


def schema_page() -> str:
    """The page, from a database that is made and migrated for it."""
    return asyncio.run(_of_a_new_database())


async def _of_a_new_database() -> str:
    with TemporaryDirectory() as directory:
        postgres = EmbeddedPostgres(Path(directory))
        await postgres.start()
        try:
            await migrate(postgres.admin_url)
            connection = await connect(postgres.admin_url, as_app=False)
            try:
                return await schema_text(connection)
            finally:
                await connection.close()
        finally:
            await postgres.stop()


async def schema_text(connection: asyncpg.Connection) -> str:
    """The page, from a migrated database; the connection looks for tables in our schema."""
    tables = await connection.fetch(TABLES, SCHEMA)
    parts = [HEAD, *[await _table(connection, table) for table in tables]]
    for title, is_called in (
        ("Functions that the application calls", True),
        ("Functions that those are made of", False),
    ):
        parts.append(f"\n-- {title}.\n")
        functions = await connection.fetch(FUNCTIONS, SCHEMA, WRITER_ROLE, is_called)
        parts += [_function(function) for function in functions]
    return "\n".join(parts)


def _plain(sql: str) -> str:
    """As one would write it: without casts of constants, and with the short names of types."""
    sql = re.sub(rf"(\bNULL|'(?:[^']|'')*')::{TYPE}(\[\])?", r"\1", sql)
    for long, short in SHORT_NAMES.items():
        sql = sql.replace(long, short)
    return sql


async def _table(connection: asyncpg.Connection, table: asyncpg.Record) -> str:
    columns = await connection.fetch(TABLE_COLUMNS, table["oid"])
    lines = [_column(column) for column in columns]
    lines += [_constraint(each) for each in await connection.fetch(CONSTRAINTS, table["oid"])]
    body = ",\n".join(lines)
    options = f" WITH ({', '.join(table['reloptions'])})" if table["reloptions"] else ""
    after = [
        f"ALTER TABLE {table['name']} ALTER COLUMN {column['name']} SET"
        f" ({', '.join(column['options'])});"
        for column in columns
        if column["options"]
    ]
    after += [
        _wrapped(f"{index['definition']};")
        for index in await connection.fetch(INDEXES, table["oid"], SCHEMA)
    ]
    told = "".join(f"{line}\n" for line in after)
    return (
        f"{_comment(table['comment'])}CREATE TABLE {table['name']} (\n{body}\n){options};\n{told}"
    )


def _column(column: asyncpg.Record) -> str:
    words = [column["name"], _plain(column["type"])]
    if column["attnotnull"]:
        words.append("NOT NULL")
    if column["is_identity"]:
        words.append("GENERATED ALWAYS AS IDENTITY")
    elif column["is_generated"]:
        words.append(f"GENERATED ALWAYS AS ({_plain(column['default'])}) STORED")
    elif column["default"] is not None:
        words.append(f"DEFAULT {_plain(column['default'])}")
    return f"{_comment(column['comment'], '    ')}    {' '.join(words)}"


def _constraint(constraint: asyncpg.Record) -> str:
    name = f"CONSTRAINT {constraint['name']} " if constraint["is_named"] else ""
    return _wrapped(f"    {name}{constraint['definition']}", "        ")


def _function(function: asyncpg.Record) -> str:
    arguments, result = (
        _plain(function[part]).replace(" ", NO_BREAK).replace(f",{NO_BREAK}", ", ")
        for part in ("arguments", "result")
    )
    head = f"FUNCTION {function['name']}({arguments}) RETURNS {result};"
    return f"{_comment(function['comment'])}{_wrapped(head)}\n"


def _wrapped(sql: str, indent: str = "    ") -> str:
    lines = textwrap.wrap(
        _plain(sql),
        COLUMNS,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
    return "\n".join(lines).replace(NO_BREAK, " ")


def _comment(text: str | None, indent: str = "") -> str:
    if not text:
        return ""
    marked = f"{indent}-- "
    lines = textwrap.wrap(text, COLUMNS, initial_indent=marked, subsequent_indent=marked)
    return "\n".join([*lines, ""])
