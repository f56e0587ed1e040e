"""Who may do what with what is ours: what is so, and how it is made what it ought to be.

A dump brings neither the roles nor their memberships along, a restore may leave out owners and
rights, and one that fails halfway leaves every function to everybody. So the catalogue is asked, at
each migration and at each start, and not what a migration once wrote down.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Final

import asyncpg

from storecredit import sql
from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.schema import schema_version, shape
from storecredit.postgres.servers import (
    APP_ROLE,
    MIGRATE_FIRST,
    READER_ROLE,
    SCHEMA,
    WRITER_ROLE,
    Connection,
    search_path,
)

GUARD: Final = "public.storecredit_schema"
"""The view that keeps the build before out (`guard.sql`)."""
# By which a function of the interface is known, whoever owns it.
_KNOWN_BY: Final = f"search_path={search_path()}"
# Whatever we make has its words.
_FUNCTION: Final = re.compile(r"^COMMENT ON FUNCTION\s+(\w+)", re.MULTILINE)
_TABLE: Final = re.compile(r"^CREATE TABLE (\w+)", re.MULTILINE)
_RENAMED: Final = re.compile(r"^ALTER TABLE (\w+) RENAME TO (\w+)", re.MULTILINE)
_OF_INTERFACE: Final = re.compile(
    r"^COMMENT ON (VIEW|FUNCTION)\s+\{interface\}\.(\w+)", re.MULTILINE
)
_FAULTS: Final = {
    "open": "everybody may call the function {name}{others}, which writes credits",
    "owned": f"the function {{name}}{{others}} belongs to {{role}} and not to {WRITER_ROLE}, so "
    "the ledger is not guarded",
    "owns": "the role {role} owns {name}{others}, so the ledger is not guarded",
    "is_above": "the role {name}{others} has power over other roles, so the ledger is not guarded",
    "acts_as": "the role {role} may act as {name}{others}, so the ledger is not guarded",
    "writes": "the role {role} may write to the table {name}{others} itself, so the ledger is not "
    "guarded",
    "creates": "the role {role} may make functions in the schema {name}, so the ledger is not "
    "guarded",
    "enters_not": "the role {role} may not use the schema {name}",
    "reads_not": "the role {role} may not read the table {name}{others}",
    "calls_not": "the role {role} may not call the function {name}{others}",
    "lacks_key": "the key {name}{others} is missing, so the ledger is not guarded",
    "lacks": "the function {name}{others} is missing",
}


@dataclass(frozen=True, slots=True)
class Names:
    """What the SQL of this version makes: tables and functions of our schema, and the interface."""

    tables: tuple[str, ...]
    functions: tuple[str, ...]
    interface_views: tuple[str, ...]
    interface_functions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Role:
    """A row of `roles.sql`."""

    role: str
    is_missing: bool
    may_login: bool | None
    powers: list[str]
    member_of: list[str]
    may_be_acted_as: bool
    must_login: bool


@dataclass(frozen=True, slots=True)
class _Owned:
    """A row of `owners.sql`: something that belongs to `owner`, and is to be `wanted`'s."""

    kind: str
    name: str
    schema: str | None
    owner: str
    wanted: str


@dataclass(frozen=True, slots=True)
class _Right:
    """A row of `rights.sql`: what a role has on something, and is to have; None: nothing."""

    kind: str
    name: str
    role: str
    held: str | None
    wanted: str | None
    is_writers: bool


@cache
def names() -> Names:
    """What this version makes, by the names that its SQL has."""
    migrations = "\n".join(text for _, text in sql.files("migrations"))
    renamed = dict(_RENAMED.findall(migrations))
    tables = {renamed.get(name, name) for name in _TABLE.findall(migrations)}
    functions = {name for _, text in sql.files("functions") for name in _FUNCTION.findall(text)}
    interface = _OF_INTERFACE.findall(sql.text("interface.sql"))
    return Names(
        tuple(sorted(tables)),
        tuple(sorted(functions)),
        tuple(name for kind, name in interface if kind == "VIEW"),
        tuple(name for kind, name in interface if kind == "FUNCTION"),
    )


async def mend_roles(
    connection: asyncpg.Connection, *, app_may_login: bool = False
) -> tuple[str, ...]:
    """Have both roles, without powers, and let this login act as them. A sentence on each change.

    The reader's, which the operator makes if anybody, is to have no powers either.
    Roles belong to the whole server: another database's migration may be making the same one, and
    somebody with more rights may have made it for this login. From 16 on, who made a role may
    grant it, but not yet act as it.
    """
    said = []
    for role in await _roles(connection):
        if role.is_missing:
            await _unless_done_by_another(connection, f"CREATE ROLE {role.role} NOLOGIN")
            said.append(f"Made the role {role.role}.")
    for role in await _roles(connection):
        if not role.may_be_acted_as and role.role != READER_ROLE:
            await _unless_done_by_another(connection, f"GRANT {role.role} TO CURRENT_USER")
            said.append(f"Made this login a member of {role.role}.")
        for change, sentence in _changes(role, app_may_login=app_may_login):
            with _left_to_others(change):
                await _unless_done_by_another(connection, change)
            said.append(sentence)
    return tuple(said)


async def mend_owners(connection: asyncpg.Connection, interface: str | None) -> tuple[str, ...]:
    """Give what is ours to whom it ought to belong. A sentence for each owner that was not right.

    In a transaction, after `mend_roles`.
    """
    found = await _owned_wrongly(connection, interface)
    # A superuser may give anything away; others only what its new owner could make there.
    schemas = ", ".join(sorted({each.schema for each in found if each.schema is not None}))
    if schemas:
        await connection.execute(f"GRANT CREATE ON SCHEMA {schemas} TO {WRITER_ROLE}")
    for each in found:
        change = f"ALTER {each.kind} {each.name} OWNER TO {each.wanted}"
        with _left_to_others(change, f"it belongs to {each.owner}"):
            await connection.execute(change)
    if schemas:
        await connection.execute(f"REVOKE CREATE ON SCHEMA {schemas} FROM {WRITER_ROLE}")
    return tuple(
        f"Took from {owner}, who owned them, "
        f"{shape.counted((each.kind, each.name) for each in found if each.owner == owner)}."
        for owner in sorted({each.owner for each in found})
    )


async def mend_rights(connection: asyncpg.Connection) -> tuple[str, ...]:
    """Take back and grant whatever differs. A sentence for each role that it was about."""
    found = await _rights(connection)
    if found:
        # At first there are hundreds: they are sent at once.
        await connection.execute(";\n".join(_changes_of_rights(found)))
    return tuple(
        _told_of_rights(role, [each for each in found if each.role == role])
        for role in sorted({each.role for each in found})
    )


async def require(connection: Connection, schema: str) -> None:
    """Raise DatabaseMisconfigured where credits can be written around the functions.

    Asks the catalogue, which every role may read: it works as the application's role, too. Where
    there is nothing of ours, nothing is wrong.
    """
    recorded = await schema_version.read(connection)
    if recorded and recorded.shape == (await shape.look(connection, schema)).hash:
        return
    found = await fault(connection, schema)
    if found is not None:
        raise DatabaseMisconfigured(f"{found[0].upper()}{found[1:]}: {MIGRATE_FIRST}.")


async def fault(connection: Connection, schema: str = SCHEMA) -> str | None:
    """Why nobody should work on this database, the worst reason, as a part of a sentence."""
    ours = names()
    recorded = await schema_version.read(connection)
    row = await connection.fetchrow(
        sql.text("privileges/faults.sql"),
        schema,
        ours.tables,
        ours.functions,
        # Another version has functions of its own.
        recorded is not None and recorded.fingerprint == schema_version.fingerprint(),
        recorded and recorded.interface,
        ours.interface_functions,
        _KNOWN_BY,
    )
    if row is None:
        return None
    others = f" (and {row['others']} more)" if row["others"] else ""
    return _FAULTS[row["what"]].format(name=row["name"], role=row["role"], others=others)


async def _roles(connection: Connection) -> list[_Role]:
    rows = await connection.fetch(sql.text("privileges/roles.sql"), shape.right_to_act(connection))
    return [_Role(**row) for row in rows]


async def _owned_wrongly(connection: Connection, interface: str | None) -> list[_Owned]:
    ours = names()
    rows = await connection.fetch(
        sql.text("privileges/owners.sql"),
        ours.functions,
        interface,
        ours.interface_views,
        ours.interface_functions,
        _KNOWN_BY,
        GUARD,
    )
    return [_Owned(**row) for row in rows]


async def _rights(connection: Connection) -> list[_Right]:
    return [_Right(**row) for row in await connection.fetch(sql.text("privileges/rights.sql"))]


@contextmanager
def _left_to_others(change: str, why: str | None = None) -> Iterator[None]:
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseMisconfigured(
            f"This login may not migrate the database, since it may not {change} "
            f"({why or str(error).splitlines()[0]}), and nothing was changed: migrate once as a "
            "superuser, or as who may."
        ) from error


async def _unless_done_by_another(connection: asyncpg.Connection, statement: str) -> None:
    await connection.execute(
        f"""DO $$ BEGIN {statement};
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"""
    )


def _changes(role: _Role, *, app_may_login: bool) -> list[tuple[str, str]]:
    """Statements that make a role what it ought to be, each with a sentence."""
    changes = [
        (f"ALTER ROLE {role.role} NO{power}", f"Took {power} from the role {role.role}.")
        for power in role.powers
    ]
    changes += [
        (f"REVOKE {above} FROM {role.role}", f"Took the role {role.role} out of {above}.")
        for above in role.member_of
    ]
    wanted = role.must_login or (app_may_login and role.role == APP_ROLE)
    if wanted and not role.may_login:
        changes.append((f"ALTER ROLE {role.role} LOGIN", f"Let the role {role.role} log in."))
    return changes


def _changes_of_rights(found: Iterable[_Right]) -> Iterator[str]:
    """Statements that give what is wanted; rights are given and taken by who owns the thing."""
    for is_writers, rights in groupby(found, key=lambda each: each.is_writers):
        if is_writers:
            yield f"SET LOCAL ROLE {WRITER_ROLE}"
        for each in rights:
            thing = f"{each.kind} {each.name}"
            if each.held is not None:
                yield f"REVOKE ALL ON {thing} FROM {each.role} CASCADE"
            if each.wanted is not None:
                yield f"GRANT {each.wanted} ON {thing} TO {each.role}"
        yield "RESET ROLE"


def _told_of_rights(role: str, rights: list[_Right]) -> str:
    what = shape.counted((each.kind, each.name) for each in rights)
    if role == "PUBLIC":
        return f"Closed to everybody: {what}."
    if all(each.wanted is None for each in rights):
        return f"Took from {role} its rights on {what}."
    return f"Renewed the rights of {role} on {what}."
