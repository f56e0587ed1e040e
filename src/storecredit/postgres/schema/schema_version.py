"""Which storecredit a database was last migrated by: the row of `schema_version`."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import metadata

import asyncpg

from storecredit import sql
from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.schema import public_tables
from storecredit.postgres.servers import Connection


class SchemaState(StrEnum):
    """How a database's schema stands to this version of storecredit."""

    CURRENT = "current"
    OUTDATED = "outdated"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Recorded:
    """The row of `schema_version`."""

    migration: str
    fingerprint: str
    interface: str | None
    shape: str | None


def newest_migration() -> str:
    """The name of this version's last migration."""
    return migration_names()[-1]


def migration_names() -> list[str]:
    """This version's migrations, oldest first."""
    return [name.removesuffix(".sql") for name, _ in sql.files("migrations")]


@cache
def fingerprint() -> str:
    """A hash of all SQL this version applies, its job queue's version included."""
    digest = hashlib.sha256(metadata.version("pgqueuer").encode())
    for name, text in sql.files():
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()


async def schema_state(connection: Connection) -> SchemaState:
    """Compare the database's newest migration with this version's.

    A database migrated further by a newer storecredit counts as current: during a rolling upgrade
    old processes go on working. One of a build whose tables were in `public` is outdated. Raises
    DatabaseMisconfigured if there are both.
    """
    recorded = await read(connection)
    if recorded is not None:
        outdated = recorded.migration < newest_migration()
        return SchemaState.OUTDATED if outdated else SchemaState.CURRENT
    if await public_tables.are_there(connection):
        return SchemaState.OUTDATED
    return SchemaState.MISSING


async def may_read(connection: Connection) -> bool:
    """Whether the row can be read: the table is there, and open to this role."""
    # Null where there is no such table.
    readable = "SELECT has_table_privilege(to_regclass('schema_version'), 'SELECT') IS TRUE"
    answer: bool = await connection.fetchval(readable)
    return answer


async def read(connection: Connection) -> Recorded | None:
    """The row, None if there is none, or none that this role may read.

    Raises DatabaseMisconfigured if an earlier build has made tables of its own beside ours.
    """
    if not await may_read(connection):
        return None
    # A migration may still have to add the newest columns.
    row = await connection.fetchrow("SELECT * FROM schema_version")
    if row is None:
        return None
    if await public_tables.are_there(connection):
        raise DatabaseMisconfigured(
            "An earlier storecredit has made tables of its own in the schema public, beside the "
            "ledger of this one, and nothing was changed: stop it, see what it wrote there, and "
            "drop them."
        )
    return Recorded(row["migration"], row["fingerprint"], row["interface"], row.get("shape"))


async def write(
    connection: asyncpg.Connection,
    interface_schema: str | None,
    shape_hash: str | None,
    *,
    changed: bool,
) -> None:
    """Record that this version has migrated the database, and what there is now.

    Unless something was `changed`, the moment stays that of the migration before.
    """
    await connection.execute(
        """INSERT INTO schema_version (migration, fingerprint, interface, shape)
           VALUES ($1, $2, $3, $4)
           ON CONFLICT (only_row) DO UPDATE
           SET migration = excluded.migration, fingerprint = excluded.fingerprint,
               interface = excluded.interface, shape = excluded.shape,
               migrated_at = CASE WHEN $5 THEN $6 ELSE schema_version.migrated_at END""",
        newest_migration(),
        fingerprint(),
        interface_schema,
        shape_hash,
        changed,
        # Beforehand: Citus takes no function of the moment there.
        await connection.fetchval("SELECT now()"),
    )
