"""Brings a database to the schema of this version, and tells whether it has it.

Tables and indexes are numbered migrations, each run once (yoyo-migrations). Functions and
privileges are current text, applied whole after them in one transaction whenever any SQL file
changed. The job queue's tables are PgQueuer's own, installed and upgraded by it.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata, resources
from typing import Any, Final

import asyncpg

from storecredit import sql, telemetry
from storecredit.postgres.database_url import DatabaseUrl
from storecredit.postgres.pool import (
    APP_ROLE,
    Connection,
    DatabaseMisconfigured,
    DatabaseUnavailable,
    check_version,
    connect,
    read_url,
    translated,
)

log = telemetry.get_logger("postgres.migrate")

FUNCTION_FILES: Final = (
    "superseded",
    "errors",
    "ledger",
    "additions",
    "stores",
    "generation",
    "plain_batches",
    "across_stores",
    "jobs",
    "overage",
    "overage_charge",
    "users",
    "user_ledger",
    "user_generation",
    "billing",
    "subscriptions",
    "bookings",
    "verify_ledgers",
    "verify_sums",
    "verify_rows",
    "verify_money",
    "verification",
)
SEPARATE_SET_RIGHT: Final = 16
# Any fixed number, the same for every storecredit: one migration at a time per database.
_MIGRATION_LOCK: Final = 7_235_411_909


class SchemaState(StrEnum):
    """How a database's schema stands to this version of storecredit."""

    CURRENT = "current"
    OUTDATED = "outdated"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Migrated:
    """The migrations that were applied, oldest first; `changed` is false if nothing was to do."""

    applied: tuple[str, ...]
    changed: bool


def newest_migration() -> str:
    """The name of this version's last migration."""
    return _migration_names()[-1]


def fingerprint() -> str:
    """A hash of all SQL this version applies, its job queue's version included."""
    digest = hashlib.sha256(metadata.version("pgqueuer").encode())
    for name in _migration_names():
        digest.update(_read("migrations", f"{name}.sql").encode())
    for name in FUNCTION_FILES:
        digest.update(_read("functions", f"{name}.sql").encode())
    digest.update(_read("grants.sql").encode())
    return digest.hexdigest()


async def schema_state(connection: Connection) -> SchemaState:
    """Compare the database's newest migration with this version's.

    A database migrated further by a newer storecredit counts as current: during a rolling upgrade
    old processes go on working.
    """
    if await connection.fetchval("SELECT to_regclass('public.storecredit_schema')") is None:
        return SchemaState.MISSING
    newest = await connection.fetchval("SELECT migration FROM storecredit_schema")
    if newest is None or newest < newest_migration():
        return SchemaState.OUTDATED
    return SchemaState.CURRENT


async def migrate(url: str, *, app_may_login: bool = False) -> Migrated:
    """Apply whatever the database lacks; nothing when it has everything, or is of a newer version.

    `url` logs in as the owner-to-be of the tables, with the right to create roles.
    `app_may_login` lets the application's role log in by itself (the embedded database, whose
    socket only its owner reaches). Raises DatabaseUnavailable, DatabaseMisconfigured.
    """
    target = read_url(url)
    connection = await connect(target, as_app=False)
    try:
        with translated():
            check_version(connection.get_server_version().major)
            await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
            return await _migrate_locked(connection, target, app_may_login=app_may_login)
    except asyncpg.InsufficientPrivilegeError as error:
        raise _may_not_migrate(str(error)) from error
    finally:
        await connection.close()


async def _migrate_locked(
    connection: asyncpg.Connection, url: DatabaseUrl, *, app_may_login: bool
) -> Migrated:
    expected = fingerprint()
    if await schema_state(connection) is SchemaState.CURRENT:
        # The functions of a newer storecredit stay: its processes may be at work already.
        stands = "SELECT fingerprint = $1 OR migration > $2 FROM storecredit_schema"
        if await connection.fetchval(stands, expected, newest_migration()):
            return Migrated(applied=(), changed=False)
    if not await connection.fetchval("SELECT has_schema_privilege('public', 'CREATE')"):
        raise _may_not_migrate("it may not create tables in the schema public")
    await _ensure_app_role(connection, app_may_login=app_may_login)
    applied = await asyncio.to_thread(_apply_migrations, url)
    await _install_job_queue(connection)
    async with connection.transaction():
        await connection.execute("SET LOCAL check_function_bodies = off")
        for name in FUNCTION_FILES:
            await connection.execute(_read("functions", f"{name}.sql"))
        await connection.execute(_read("grants.sql"))
        await connection.execute(
            """INSERT INTO storecredit_schema (migration, fingerprint) VALUES ($1, $2)
               ON CONFLICT (only_row) DO UPDATE
               SET migration = greatest(storecredit_schema.migration, excluded.migration),
                   fingerprint = excluded.fingerprint, migrated_at = now()""",
            newest_migration(),
            expected,
        )
    log.info("database_migrated", applied=list(applied))
    return Migrated(applied=applied, changed=True)


async def _ensure_app_role(connection: asyncpg.Connection, *, app_may_login: bool) -> None:
    # Roles belong to the whole server: another database's migration may be making the same one,
    # and somebody with more rights may have made it for this login.
    await connection.execute(
        f"""DO $$ BEGIN
                IF to_regrole('{APP_ROLE}') IS NULL THEN
                    CREATE ROLE {APP_ROLE} NOLOGIN;
                END IF;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END $$"""
    )
    # From then on, who made a role may grant it, but not yet act as it.
    separate = connection.get_server_version().major >= SEPARATE_SET_RIGHT
    right = "SET" if separate else "MEMBER"
    if not await connection.fetchval("SELECT pg_has_role(current_user, $1, $2)", APP_ROLE, right):
        await connection.execute(f"GRANT {APP_ROLE} TO CURRENT_USER")
    if app_may_login:
        await connection.execute(f"ALTER ROLE {APP_ROLE} LOGIN")


async def _install_job_queue(connection: asyncpg.Connection) -> None:
    # Half of what a command loads, and needed only where something is to be migrated.
    from pgqueuer.queries import Queries  # noqa: PLC0415 - see above

    queries = Queries.from_asyncpg_connection(connection)
    if await queries.schema_is_installed():
        await queries.upgrade()
    else:
        async with connection.transaction():
            await queries.install()
    await queries.optimize_autovacuum()


def _apply_migrations(url: DatabaseUrl) -> tuple[str, ...]:
    # The tool and its driver serve migrations only; a start that has none to apply is quicker.
    import psycopg.errors  # noqa: PLC0415 - see above

    try:
        backend = _backend(url)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"PostgreSQL is not available: {_first_line(error)}") from error
    try:
        return _apply_pending(backend)
    except psycopg.errors.InsufficientPrivilege as error:
        raise _may_not_migrate(str(error)) from error
    finally:
        backend.connection.close()


def _backend(url: DatabaseUrl) -> Any:
    """The tool's connection, by the parameters that its driver takes: it reads no URL itself."""
    from yoyo.backends import get_backend_class  # noqa: PLC0415 - see above
    from yoyo.connections import DatabaseURI  # noqa: PLC0415 - see above
    from yoyo.migrations import default_migration_table  # noqa: PLC0415 - see above

    scheme = "postgresql+psycopg"
    place = DatabaseURI(scheme, None, None, None, None, url.libpq.get("dbname"), dict(url.libpq))
    backend = get_backend_class(scheme)(place, default_migration_table)
    backend.init_database()
    return backend


def _apply_pending(backend: Any) -> tuple[str, ...]:
    import yoyo  # noqa: PLC0415 - see above

    with resources.as_file(resources.files(sql) / "migrations") as folder:
        migrations = yoyo.read_migrations(str(folder))
        # This process alone migrates here: a lock of the tool's is what a killed one left.
        backend.break_lock()
        with backend.lock():
            pending = backend.to_apply(migrations)
            backend.apply_migrations(pending)
            return tuple(migration.id for migration in pending)


def _first_line(error: object) -> str:
    """After it an error goes into details."""
    return str(error).splitlines()[0]


def _may_not_migrate(reason: str) -> DatabaseMisconfigured:
    return DatabaseMisconfigured(
        f"This login may not migrate the database ({_first_line(reason)}): use the "
        f"database's owner, with the right to create roles or to grant {APP_ROLE}."
    )


def _migration_names() -> list[str]:
    folder = resources.files(sql) / "migrations"
    return sorted(entry.name[:-4] for entry in folder.iterdir() if entry.name.endswith(".sql"))


def _read(*path: str) -> str:
    return resources.files(sql).joinpath(*path).read_text(encoding="utf-8")
