"""Brings a database to the schema of this version.

All of it is one transaction on one connection: roles, tables, the job queue's tables (PgQueuer's
own, installed and upgraded by it), functions, the interface for outside callers, privileges. So it
is there whole or not at all, and the lock that keeps a second migration waiting ends with it.

Tables and indexes are numbered migrations, each run once. Functions and privileges are current
text, applied whole whenever any SQL file changed, or what there is in the database is not what the
last migration left: a restore may leave out owners, rights or functions. Nobody keeps a list of
them: every file counts, and what `storecredit_writer` owns is ours.
"""

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

import asyncpg

from storecredit import sql, telemetry
from storecredit.postgres.errors import DatabaseMisconfigured, translated
from storecredit.postgres.nodes import is_spread
from storecredit.postgres.schema import (
    functions,
    interface,
    privileges,
    public_tables,
    schema_version,
    shape,
)
from storecredit.postgres.schema.buckets import (
    OPEN_AFTER_SECONDS,
    count,
    number_rows,
    open_buckets,
    refuse_number,
    refuse_without_room,
)
from storecredit.postgres.schema.migration_locks import Onlooker, prepared, take_turn, tried_again
from storecredit.postgres.schema.schema_version import (
    Recorded,
    fingerprint,
    migration_names,
    newest_migration,
)
from storecredit.postgres.schema.spreading import Cluster
from storecredit.postgres.servers import APP_ROLE, SCHEMA, WRITER_ROLE, bucket_schema, connect

log = telemetry.get_logger("postgres.migrate")

TRIES_MAX: Final = 5
CLOSE_TIMEOUT_SECONDS: Final = 5.0
NAMES_SAID_MAX: Final = 5
_PAUSE_SECONDS: Final = 0.2
_COMMENT: Final = re.compile(r"--[^\n]*")
# No end of one is in a comment, a text or a body.
_STATEMENT: Final = re.compile(
    r"""(?: --[^\n]* | '(?:[^']|'')*' | (\$\w*\$).*?\1 | [^;] )+""", re.DOTALL | re.VERBOSE
)


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration did: `applied` names its numbered files, oldest first.

    `changed` is false if nothing was to do. `interface` is the schema with the views and functions
    for outside callers, if there is one; `interface_before` is where they were, if they were
    anywhere. `renewed` says in sentences which roles, owners and rights were not what they ought to
    be, and are now; `notes` are further sentences for the operator; `buckets` is how many there
    are.
    """

    applied: tuple[str, ...]
    changed: bool
    interface: str | None
    interface_before: str | None
    renewed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    buckets: int = 1


async def migrate(
    url: str,
    *,
    interface_schema: str | None = None,
    app_may_login: bool = False,
    buckets: int | None = None,
    open_after_seconds: float = OPEN_AFTER_SECONDS,
) -> Migrated:
    """Apply whatever the database lacks, and mend what in it is not as it ought to be.

    Nothing when it has everything, or is of a newer version. Each bucket is a transaction of its
    own, one after the other; `buckets` is how many there are to be, None: as many as there are. New
    ones take owners after `open_after_seconds`, so that running processes see them before; at once
    in a database that is new itself.

    `url` logs in as the owner-to-be of the tables, with the right to create roles.
    `interface_schema` is where the views and functions for outside callers are to be: a schema's
    name, `interface.NONE`, or None for where they are, at first `public` if their names are free
    there. `app_may_login` lets the application's role log in by itself (the embedded database,
    whose socket only its owner reaches). Raises DatabaseUnavailable, DatabaseMisconfigured; nothing
    has been changed then.
    """
    home = await _migrate_bucket(url, SCHEMA, interface_schema, app_may_login=app_may_login)
    wanted = home.buckets if buckets is None else buckets
    refuse_number(wanted, home.buckets)
    cluster = await Cluster.of(url) if wanted > 1 else None
    # The nodes of a cluster share them out.
    if wanted > home.buckets and cluster is None:
        await refuse_without_room(url, wanted)
    others, was_spread = [], False
    for schema in map(bucket_schema, range(1, wanted)):
        others.append(await _migrate_bucket(url, schema, interface.NONE, app_may_login=False))
        if cluster is not None:
            was_spread |= await cluster.spread(schema)
    together = replace(
        home,
        changed=home.changed or was_spread or any(each.changed for each in others),
        renewed=(*home.renewed, *(said for each in others for said in each.renewed)),
    )
    if wanted == home.buckets:
        return together
    is_new = migration_names()[0] in home.applied
    opened_at = await open_buckets(url, wanted, after_seconds=0 if is_new else open_after_seconds)
    told = _told_of_buckets(home.buckets, wanted, None if is_new else opened_at)
    return replace(together, changed=True, buckets=wanted, notes=(*home.notes, told))


def _told_of_buckets(before: int, now: int, opened_at: datetime | None) -> str:
    if opened_at is None:
        return f"The database has {now} buckets."
    moment = opened_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f"The database has {now} buckets now, and had {before}. From {moment} on new owners are "
        "put into all of them; those who are there stay where they are. Running processes take "
        "the new ones up by themselves before."
    )


async def _migrate_bucket(
    url: str, schema: str, interface_schema: str | None, *, app_may_login: bool
) -> Migrated:
    connection = await connect(url, as_app=False, schema=schema)
    onlooker = Onlooker(url)
    try:
        with translated(), _told_of_dependents():
            unchanged, apply = (
                lambda: _unchanged(
                    connection, schema, interface_schema, app_may_login=app_may_login
                ),
                lambda: _apply(connection, schema, interface_schema, app_may_login=app_may_login),
            )
            migrating = partial(_migrate, connection, schema, onlooker, unchanged, apply)
            migrated = await tried_again(partial(_out_of_circles, migrating), onlooker)
            if schema == SCHEMA:
                async with prepared(connection):
                    return replace(migrated, buckets=await count(connection))
            return migrated
    except asyncpg.InsufficientPrivilegeError as error:
        raise _may_not_migrate(str(error)) from error
    finally:
        await connection.close(timeout=CLOSE_TIMEOUT_SECONDS)


async def _out_of_circles(attempt: Callable[[], Awaitable[Migrated]]) -> Migrated:
    """Migrate, and once more if another program and this one waited for each other."""
    for number in itertools.count(1):
        try:
            return await attempt()
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
            log.warning("migration_interrupted", error=str(error), attempt=number)
            if number == TRIES_MAX:
                raise DatabaseMisconfigured(
                    f"Another program was in the way of the migration {TRIES_MAX} times ({error}), "
                    "and nothing was changed: stop what works on this database, and migrate again."
                ) from error
        await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError("it counts on")


async def _migrate(
    connection: asyncpg.Connection,
    schema: str,
    onlooker: Onlooker,
    unchanged: Callable[[], Awaitable[Migrated | None]],
    apply: Callable[[], Awaitable[Migrated]],
) -> Migrated:
    # A transaction of its own: what it reads must not be in the way of the migration before.
    async with prepared(connection, schema):
        found = await unchanged()
    if found is not None:
        return found
    async with prepared(connection, schema), onlooker.watching(connection):
        await take_turn(connection, onlooker)
        found = await unchanged()
        if found is not None:
            return found
        migrated = await apply()
    if migrated.changed:
        log.info(
            "database_migrated",
            applied=list(migrated.applied),
            interface=migrated.interface,
            renewed=list(migrated.renewed),
            notes=list(migrated.notes),
        )
    return migrated


async def _unchanged(
    connection: asyncpg.Connection,
    schema: str,
    interface_schema: str | None,
    *,
    app_may_login: bool,
) -> Migrated | None:
    """What to say if the database has everything, or is of a newer version; else None."""
    recorded = await schema_version.read(connection)
    if recorded is None:
        return None
    # The functions of a newer storecredit stay: its processes may be at work already.
    is_newer = recorded.migration > newest_migration()
    moves = interface.moves(interface_schema, recorded.interface)
    if is_newer and moves:
        raise DatabaseMisconfigured(
            "The database was migrated by a newer storecredit: move the interface with that one."
        )
    there = recorded.interface
    if is_newer:
        await _refuse_faults(connection, schema)
    elif (
        moves
        or recorded.fingerprint != fingerprint()
        or not _is_right(
            recorded, await shape.look(connection, schema), app_may_login=app_may_login
        )
    ):
        return None
    return Migrated(applied=(), changed=False, interface=there, interface_before=there)


def _is_right(recorded: Recorded, there: shape.Shape, *, app_may_login: bool) -> bool:
    """Whether all is as the last migration left it, and usable by this login."""
    may_login = there.app_may_login or not app_may_login
    return recorded.shape == there.hash and there.may_act_as_both and may_login


async def _refuse_faults(connection: asyncpg.Connection, schema: str) -> None:
    """What a newer storecredit has made is its own to mend."""
    found = await privileges.fault(connection, schema)
    if found is not None:
        raise DatabaseMisconfigured(
            f"The database was migrated by a newer storecredit, and {found}: run `storecredit "
            "migrate` of that one."
        )


async def _apply(
    connection: asyncpg.Connection,
    schema: str,
    interface_schema: str | None,
    *,
    app_may_login: bool,
) -> Migrated:
    recorded = await schema_version.read(connection)
    older = recorded is None and schema == SCHEMA and await public_tables.are_there(connection)
    if older:
        await public_tables.lock(connection)
        await public_tables.refuse_unless_known(connection)
    before = await shape.look(connection, schema)
    renewed = await privileges.mend_roles(connection, app_may_login=app_may_login)
    if recorded is not None:
        renewed += await _mend(connection, schema, recorded)
    await _ensure_schema(connection, schema, is_new=recorded is None)
    applied = await _apply_migrations(connection, schema, recorded.migration if recorded else "")
    if recorded is None:
        await number_rows(connection, schema)
    notes = []
    if older:
        await public_tables.move(connection)
        notes.append("The tables of the earlier storecredit were moved out of the schema public.")
    chosen, made_anew = await _make(connection, schema, interface_schema, recorded)
    if chosen.note:
        notes.append(chosen.note)
    after = await shape.look(connection, schema)
    # Where this version had been, whatever was not as it had left it is worth a word.
    was_here = _is_of_this_version(recorded, interface_schema)
    if was_here:
        renewed += made_anew
    changed = not was_here or after.hash != before.hash or bool(renewed)
    await schema_version.write(connection, chosen.schema, after.hash, changed=changed)
    return Migrated(
        applied,
        changed=changed,
        interface=chosen.schema,
        interface_before=recorded.interface if recorded else None,
        renewed=renewed if recorded else (),
        notes=tuple(notes),
    )


async def _mend(connection: asyncpg.Connection, schema: str, recorded: Recorded) -> tuple[str, ...]:
    """Have what was migrated before belong to whom it ought to, and be open to nobody else."""
    done = [name for name in migration_names() if name <= recorded.migration]
    await shape.refuse_incomplete(connection, schema, done)
    owners = await privileges.mend_owners(connection, recorded.interface)
    return owners + await privileges.mend_rights(connection)


async def _make(
    connection: asyncpg.Connection,
    schema: str,
    interface_schema: str | None,
    recorded: Recorded | None,
) -> tuple[interface.Choice, tuple[str, ...]]:
    """Make all that is made anew each time: what is no table of ours, and who may do what.

    Where the interface is then, and a sentence on what was missing or had been changed.
    """
    # Half of what a command loads, and needed only where something is to be migrated.
    from storecredit.postgres.job_queue import install_tables  # noqa: PLC0415 - see above

    before = await shape.made(connection, schema)
    await install_tables(connection)
    await functions.make(connection, schema)
    current = recorded.interface if recorded else None
    chosen = await interface.choose(
        connection, interface_schema, current, is_first=recorded is None
    )
    if schema == SCHEMA:
        await interface.make(connection, chosen)
        await interface.make_guard(connection)
    await privileges.mend_rights(connection)
    after = await shape.made(connection, schema)
    anew = [thing for thing, text in after.items() if before.get(thing) != text]
    return chosen, (f"Made anew {shape.counted(anew)}.",) if anew else ()


def _is_of_this_version(recorded: Recorded | None, interface_schema: str | None) -> bool:
    """Whether it has been migrated by this version, with the interface where it is asked for."""
    if recorded is None or recorded.fingerprint != fingerprint():
        return False
    return not interface.moves(interface_schema, recorded.interface)


async def _ensure_schema(connection: asyncpg.Connection, schema: str, *, is_new: bool) -> None:
    if await connection.fetchval("SELECT to_regnamespace($1)", schema) is None:
        await connection.execute(f"CREATE SCHEMA {schema}")
    elif is_new:
        await _refuse_what_is_not_ours(connection, schema)
    # Until the privileges at the end: what belongs to the writer is made by it.
    await connection.execute(f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {WRITER_ROLE}")


async def _refuse_what_is_not_ours(connection: asyncpg.Connection, schema: str) -> None:
    there = await connection.fetch(
        """SELECT relname::text AS name FROM pg_class WHERE relnamespace = $1::regnamespace
               AND relkind NOT IN ('i', 'I', 't')
           UNION
           SELECT proname::text FROM pg_proc WHERE pronamespace = $1::regnamespace
           ORDER BY name""",
        schema,
    )
    names = [row["name"] for row in there]
    if "schema_version" in names and not await schema_version.may_read(connection):
        raise DatabaseMisconfigured(
            f"The schema {schema} belongs to somebody else, and this login may not read it: "
            "migrate as its owner."
        )
    if 2 * len(set(names) & {"movements", *privileges.names().functions}) > len(names):
        raise DatabaseMisconfigured(
            f"The schema {schema} has a part of what a migration makes, and does not say of which, "
            "as after a restore that stopped halfway; nothing of it was touched: drop that schema, "
            "and restore again."
        )
    if names:
        raise DatabaseMisconfigured(
            f"The schema {schema} has something that is not ours "
            f"({', '.join(names[:NAMES_SAID_MAX])}), and nothing of it was touched: rename that "
            "schema, or use another database."
        )


async def _apply_migrations(
    connection: asyncpg.Connection, schema: str, newest: str
) -> tuple[str, ...]:
    pending = tuple(name for name in migration_names() if name > newest)
    # Of a bucket that Citus keeps the rows are in shards, which it has to change likewise.
    has_shards = bool(pending) and await is_spread(connection, schema)
    if has_shards:
        await connection.execute("SET LOCAL citus.enable_ddl_propagation = on")
    for name in pending:
        text = sql.text(f"migrations/{name}.sql")
        for statement in _one_by_one(text) if has_shards else (text,):
            await connection.execute(statement)
    if has_shards:
        await connection.execute("SET LOCAL citus.enable_ddl_propagation = off")
    return pending


def _one_by_one(text: str) -> Iterator[str]:
    """Its statements: Citus hands a node the whole text that one is a part of.

    Nor does it spread a table that is made within a block.
    """
    for found in _STATEMENT.finditer(text):
        if _COMMENT.sub("", found[0]).strip():
            yield found[0]


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
