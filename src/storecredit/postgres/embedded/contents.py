"""What a server's databases hold, in a form that can be compared: every row of every table.

A table's sum does not depend on the order of its rows, nor on where they lie. Two tables that
differ have the same sum with a chance of about 1 in 2^64.
"""

from dataclasses import dataclass
from typing import Final

import asyncpg

DATABASES_MAX: Final = 1000

# As texts, which must not depend on what a role or a database has set.
_AS_TEXT: Final = {
    "search_path": "pg_catalog",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "xmloption": "content",
    "row_security": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "default_transaction_isolation": "read committed",
}
_RELATIONS: Final = """
    SELECT c.oid::regclass::text AS name, c.relkind::text AS kind
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm', 'S') AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ORDER BY 1"""
_ROWS: Final = """
    SELECT count(*), coalesce(sum(hashtextextended((t.*)::text, 0)), 0)::text FROM ONLY {} t"""
# What else it shows, log_cnt, says how far the next values are in the WAL already.
_SEQUENCE: Final = "SELECT 1, concat(last_value, ' ', is_called) FROM {}"


@dataclass(frozen=True, slots=True)
class Contents:
    """Of each database, of each of its tables and sequences: how many rows, and their sum."""

    databases: dict[str, dict[str, tuple[int, str]]]

    @property
    def tables(self) -> int:
        """How many tables and sequences there are."""
        return sum(map(len, self.databases.values()))

    @property
    def rows(self) -> int:
        """How many rows they have."""
        return sum(rows for tables in self.databases.values() for rows, _ in tables.values())

    def difference(self, other: "Contents") -> str | None:
        """The first database or table that `other` lacks or has otherwise; None: it has all."""
        for database, tables in self.databases.items():
            if database not in other.databases:
                return f"the database {database} is missing"
            there = other.databases[database]
            for name in sorted(tables.keys() | there.keys()):
                if tables.get(name) != there.get(name):
                    return (
                        f"{name} in the database {database} has {_told(there.get(name))}, "
                        f"not {_told(tables.get(name))}"
                    )
        return None


async def contents_of(host: str, port: int, user: str) -> Contents:
    """Read all databases of a server that allow connections; `user` is a superuser."""

    async def connect(database: str) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(host=host, port=port, user=user, database=database)

    connection = await connect("template1")
    try:
        names = await connection.fetch(
            "SELECT datname::text FROM pg_database WHERE datallowconn ORDER BY 1 LIMIT $1",
            DATABASES_MAX + 1,
        )
    finally:
        await connection.close()
    databases = {}
    for (name,) in names:
        connection = await connect(name)
        try:
            databases[name] = await tables_of(connection)
        finally:
            await connection.close()
    return Contents(databases)


async def tables_of(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> dict[str, tuple[int, str]]:
    """Of each table and sequence of a database: how many rows, and their sum.

    Changes settings of the connection.
    """
    await connection.execute(
        "SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) s (name, value)",
        [*_AS_TEXT],
        [*_AS_TEXT.values()],
    )
    found = {}
    for name, kind in await connection.fetch(_RELATIONS):
        # A name as regclass prints it, quoted where it has to be.
        query = (_SEQUENCE if kind == "S" else _ROWS).format(name)
        for count, total in await connection.fetch(query):
            found[name] = (count, total)
    return found


def _told(table: tuple[int, str] | None) -> str:
    return "nothing" if table is None else f"{table[0]} rows with the sum {table[1]}"
