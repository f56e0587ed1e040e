"""Brings a database to the schema of this version, and tells whether it has it.

All of it is one transaction on one connection: roles, tables, the job queue's tables (PgQueuer's
own, installed and upgraded by it), functions, the interface for outside callers, privileges. So it
is there whole or not at all, and the lock that keeps a second migration waiting ends with it.

Tables and indexes are numbered migrations, each run once. Functions and privileges are current
text, applied whole whenever any SQL file changed. Nobody keeps a list of them: every file counts,
and what `storecredit_writer` owns is ours.
"""

import asyncio
import hashlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from typing import Final

import asyncpg

from storecredit import sql, telemetry
from storecredit.postgres import functions, interface, public_tables
from storecredit.postgres.pool import (
    APP_ROLE,
    SCHEMA,
    SEARCH_PATH,
    WRITER_ROLE,
    Connection,
    DatabaseMisconfigured,
    connect,
    translated,
)

log = telemetry.get_logger("postgres.migrate")

SEPARATE_SET_RIGHT: Final = 16
# Any fixed number, the same for every storecredit: one migration at a time per database.
_MIGRATION_LOCK: Final = 7_235_411_909
TRIES_MAX: Final = 5
_PAUSE_SECONDS: Final = 0.2


class SchemaState(StrEnum):
    """How a database's schema stands to this version of storecredit."""

    CURRENT = "current"
    OUTDATED = "outdated"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration did: `applied` names its numbered files, oldest first.

    `changed` is false if nothing was to do. `interface` is the schema with the views and functions
    for outside callers, if there is one; `interface_before` is where they were, if they were
    anywhere. `notes` are sentences for the operator.
    """

    applied: tuple[str, ...]
    changed: bool
    interface: str | None
    interface_before: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Recorded:
    """The row of `schema_version`."""

    migration: str
    fingerprint: str
    interface: str | None


def newest_migration() -> str:
    """The name of this version's last migration."""
    return _migration_names()[-1]


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
    recorded = await _recorded(connection)
    if recorded is not None:
        outdated = recorded.migration < newest_migration()
        return SchemaState.OUTDATED if outdated else SchemaState.CURRENT
    if await public_tables.are_there(connection):
        return SchemaState.OUTDATED
    return SchemaState.MISSING


async def migrate(
    url: str, *, interface_schema: str | None = None, app_may_login: bool = False
) -> Migrated:
    """Apply whatever the database lacks; nothing when it has everything, or is of a newer version.

    `url` logs in as the owner-to-be of the tables, with the right to create roles.
    `interface_schema` is where the views and functions for outside callers are to be: a schema's
    name, `interface.NONE`, or None for where they are, at first `public` if their names are free
    there. `app_may_login` lets the application's role log in by itself (the embedded database,
    whose socket only its owner reaches). Raises DatabaseUnavailable, DatabaseMisconfigured; nothing
    has been changed then.
    """
    connection = await connect(url, as_app=False)
    try:
        with translated(), _told_of_dependents():
            await _prepare(connection)
            return await _try_to_migrate(connection, interface_schema, app_may_login=app_may_login)
    except asyncpg.InsufficientPrivilegeError as error:
        raise _may_not_migrate(str(error)) from error
    finally:
        await connection.close()


async def _try_to_migrate(
    connection: asyncpg.Connection, interface_schema: str | None, *, app_may_login: bool
) -> Migrated:
    """Migrate, and once more if another program and this one waited for each other."""
    for attempt in itertools.count(1):
        try:
            return await _migrate(connection, interface_schema, app_may_login=app_may_login)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
            log.warning("migration_interrupted", error=str(error), attempt=attempt)
            if attempt == TRIES_MAX:
                raise DatabaseMisconfigured(
                    f"Another program was in the way of the migration {TRIES_MAX} times ({error}), "
                    "and nothing was changed: stop what works on this database, and migrate again."
                ) from error
        await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError("it counts on")


async def _migrate(
    connection: asyncpg.Connection, interface_schema: str | None, *, app_may_login: bool
) -> Migrated:
    unchanged = await _unchanged(connection, interface_schema)
    if unchanged is not None:
        return unchanged
    # Read committed: what is looked at after waiting is what the one before has left.
    async with connection.transaction(isolation="read_committed"):
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
        unchanged = await _unchanged(connection, interface_schema)
        if unchanged is not None:
            return unchanged
        migrated = await _apply(connection, interface_schema, app_may_login=app_may_login)
    log.info(
        "database_migrated",
        applied=list(migrated.applied),
        interface=migrated.interface,
        notes=list(migrated.notes),
    )
    return migrated


async def _unchanged(
    connection: asyncpg.Connection, interface_schema: str | None
) -> Migrated | None:
    """What to say if the database has everything, or is of a newer version; else None."""
    recorded = await _recorded(connection)
    if recorded is None:
        return None
    # The functions of a newer storecredit stay: its processes may be at work already.
    is_newer = recorded.migration > newest_migration()
    moves = interface.moves(interface_schema, recorded.interface)
    if is_newer and moves:
        raise DatabaseMisconfigured(
            "The database was migrated by a newer storecredit: move the interface with that one."
        )
    if is_newer or (recorded.fingerprint == fingerprint() and not moves):
        there = recorded.interface
        return Migrated(applied=(), changed=False, interface=there, interface_before=there)
    return None


async def _apply(
    connection: asyncpg.Connection, interface_schema: str | None, *, app_may_login: bool
) -> Migrated:
    recorded = await _recorded(connection)
    older = recorded is None and await public_tables.are_there(connection)
    if older:
        await public_tables.lock(connection)
        await public_tables.refuse_unless_known(connection)
    await _ensure_role(connection, WRITER_ROLE)
    await _ensure_role(connection, APP_ROLE)
    if app_may_login:
        await connection.execute(f"ALTER ROLE {APP_ROLE} LOGIN")
    await _ensure_schema(connection, is_new=recorded is None)
    applied = await _apply_migrations(connection, recorded.migration if recorded else "")
    notes = []
    if older:
        await public_tables.move(connection)
        notes.append("The tables of the earlier storecredit were moved out of the schema public.")
    # Half of what a command loads, and needed only where something is to be migrated.
    from storecredit.postgres.job_queue import install_tables  # noqa: PLC0415 - see above

    await install_tables(connection)
    await functions.make(connection)
    current = recorded.interface if recorded else None
    chosen = await interface.choose(
        connection, interface_schema, current, is_first=recorded is None
    )
    await interface.make(connection, chosen)
    await interface.make_guard(connection)
    await connection.execute(sql.text("grants.sql"))
    await _record(connection, chosen.schema)
    if chosen.note:
        notes.append(chosen.note)
    return Migrated(
        applied,
        changed=True,
        interface=chosen.schema,
        interface_before=current,
        notes=tuple(notes),
    )


async def _prepare(connection: asyncpg.Connection) -> None:
    # A host may limit what a login's statements take, and ledgers grow.
    await connection.execute(
        """SELECT set_config(name, '0', false) FROM pg_settings
           WHERE name IN ('statement_timeout', 'transaction_timeout', 'lock_timeout')"""
    )
    # Once more, should a pooler in between have kept it to itself.
    await connection.execute(f"SET search_path = {SEARCH_PATH}")


async def _recorded(connection: Connection) -> _Recorded | None:
    if await connection.fetchval("SELECT to_regclass('schema_version')") is None:
        return None
    row = await connection.fetchrow("SELECT migration, fingerprint, interface FROM schema_version")
    if row is None:
        return None
    if await public_tables.are_there(connection):
        raise DatabaseMisconfigured(
            "An earlier storecredit has made tables of its own in the schema public, beside the "
            "ledger of this one, and nothing was changed: stop it, see what it wrote there, and "
            "drop them."
        )
    return _Recorded(**row)


async def _record(connection: asyncpg.Connection, interface_schema: str | None) -> None:
    await connection.execute(
        """INSERT INTO schema_version (migration, fingerprint, interface) VALUES ($1, $2, $3)
           ON CONFLICT (only_row) DO UPDATE
           SET migration = excluded.migration, fingerprint = excluded.fingerprint,
               interface = excluded.interface, migrated_at = now()""",
        newest_migration(),
        fingerprint(),
        interface_schema,
    )


async def _ensure_role(connection: asyncpg.Connection, role: str) -> None:
    # Roles belong to the whole server: another database's migration may be making the same one,
    # and somebody with more rights may have made it for this login. From 16 on, who made a role may
    # grant it, but not yet act as it.
    separate = connection.get_server_version().major >= SEPARATE_SET_RIGHT
    right = "SET" if separate else "MEMBER"
    await connection.execute(
        f"""DO $$ BEGIN
                IF to_regrole('{role}') IS NULL THEN
                    CREATE ROLE {role} NOLOGIN;
                END IF;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END $$;
            DO $$ BEGIN
                IF NOT pg_has_role(current_user, '{role}', '{right}') THEN
                    GRANT {role} TO CURRENT_USER;
                END IF;
            EXCEPTION WHEN unique_violation THEN NULL;
            END $$"""
    )


async def _ensure_schema(connection: asyncpg.Connection, *, is_new: bool) -> None:
    if await connection.fetchval("SELECT to_regnamespace($1)", SCHEMA) is None:
        await connection.execute(f"CREATE SCHEMA {SCHEMA}")
    elif is_new:
        await _refuse_what_is_not_ours(connection)
    # Until the privileges at the end: what belongs to the writer is made by it.
    await connection.execute(f"GRANT USAGE, CREATE ON SCHEMA {SCHEMA} TO {WRITER_ROLE}")


async def _refuse_what_is_not_ours(connection: asyncpg.Connection) -> None:
    names = await connection.fetchval(
        """SELECT string_agg(o.name, ', ' ORDER BY o.name) FROM (
               SELECT relname::text AS name FROM pg_class WHERE relnamespace = $1::regnamespace
                   AND relkind NOT IN ('i', 'I', 't')
               UNION ALL
               SELECT proname::text FROM pg_proc WHERE pronamespace = $1::regnamespace
               LIMIT 5) o""",
        SCHEMA,
    )
    if names is not None:
        raise DatabaseMisconfigured(
            f"The schema {SCHEMA} has something that is not ours ({names}), and nothing of it was "
            "touched: rename that schema, or use another database."
        )


async def _apply_migrations(connection: asyncpg.Connection, newest: str) -> tuple[str, ...]:
    pending = tuple(name for name in _migration_names() if name > newest)
    for name in pending:
        await connection.execute(sql.text(f"migrations/{name}.sql"))
    return pending


@contextmanager
def _told_of_dependents() -> Iterator[None]:
    try:
        yield
    except asyncpg.DependentObjectsStillExistError as error:
        what = (error.detail or str(error)).splitlines()[0]
        raise DatabaseMisconfigured(
            f"Something of yours depends on what is to be dropped ({what}), and nothing was "
            "changed: drop it, migrate, and make it anew on the interface (docs/sql.md)."
        ) from error


def _may_not_migrate(reason: str) -> DatabaseMisconfigured:
    return DatabaseMisconfigured(
        f"This login may not migrate the database ({reason.splitlines()[0]}): use the "
        f"database's owner, with the right to create roles or to grant {APP_ROLE} and "
        f"{WRITER_ROLE}."
    )


def _migration_names() -> list[str]:
    return [name.removesuffix(".sql") for name, _ in sql.files("migrations")]
