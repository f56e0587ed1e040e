"""Dumps restored in every usual way, into servers with our roles and without, as whoever may."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.servers import APP_ROLE, WRITER_ROLE
from tests.conftest import connect_as_superuser, with_database
from tests.sql.catalog import catalog, rows_of
from tests.sql.restores.conftest import Source
from tests.sql.restores.servers import SUPERUSER, Cluster
from tests.sql.restores.working import as_login, assert_works, refusal_to_open, run

PLAIN, CUSTOM = ("--format=plain",), ("--format=custom",)
WITHOUT_BOTH = ("--no-owner", "--no-privileges")


@dataclass(frozen=True, slots=True)
class Way:
    """How a dump was made and restored, whether our roles were there, and what it comes to.

    `as_owner`: by an ordinary login that owns the database. `refused`: what the service says then.
    """

    dump: tuple[str, ...]
    restore: tuple[str, ...]
    with_roles: bool
    as_owner: bool
    refused: str


NO_ROLE = "The database has not been migrated: run `storecredit migrate`"
OPEN = "Everybody may call the function "
WAYS = {
    "psql": Way(PLAIN, (), with_roles=False, as_owner=False, refused=NO_ROLE),
    "pg_restore": Way(CUSTOM, (), with_roles=False, as_owner=False, refused=NO_ROLE),
    "-O -x by an owner": Way(
        CUSTOM, WITHOUT_BOTH, with_roles=False, as_owner=True, refused=NO_ROLE
    ),
    "-O -x by an owner, roles": Way(
        CUSTOM, WITHOUT_BOTH, with_roles=True, as_owner=True, refused=OPEN
    ),
    "-x, roles": Way(CUSTOM, ("--no-privileges",), with_roles=True, as_owner=False, refused=OPEN),
    "our schema alone": Way(
        (*CUSTOM, "--schema=storecredit"), (), with_roles=False, as_owner=False, refused=NO_ROLE
    ),
}


@dataclass(frozen=True, slots=True)
class Target:
    """An empty database to restore into: the URL of who does it, and a superuser's."""

    url: str
    admin_url: str
    login: str


@pytest.fixture
async def target(
    request: pytest.FixtureRequest, server_url: str, bare_server: Cluster
) -> AsyncIterator[Target]:
    """Gone afterwards, with its owner; and on the bare server with our roles."""
    way = WAYS[request.param]
    server = server_url if way.with_roles else bare_server.url("postgres")
    name = f"restored_{uuid4().hex[:12]}"
    await run(server, f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{name}'")
    owner = f" OWNER {name}" if way.as_owner else ""
    await run(server, f"CREATE DATABASE {name} TEMPLATE template0{owner}")
    if way.with_roles and way.as_owner:
        await run(server, f"GRANT {APP_ROLE}, {WRITER_ROLE} TO {name}")
    admin_url = with_database(server, name)
    if way.as_owner:
        yield Target(as_login(server, name, name), admin_url, name)
    else:
        yield Target(admin_url, admin_url, SUPERUSER)
    await run(server, f"DROP DATABASE {name} WITH (FORCE)", f"DROP OWNED BY {name}")
    if not way.with_roles:
        await run(server, f"DROP ROLE IF EXISTS {APP_ROLE}, {WRITER_ROLE}")
    await run(server, f"DROP ROLE {name}")


@pytest.mark.parametrize("target, way", [(way, way) for way in WAYS], ids=WAYS, indirect=["target"])
async def test_a_restored_dump_is_a_migration_away_from_work(
    source: Source, target: Target, way: str, data_dir: Path
) -> None:
    dump, restore = source.dump(*WAYS[way].dump), WAYS[way].restore
    if WAYS[way].dump == PLAIN:
        source.programs.psql(target.url, dump)
    else:
        source.programs.pg_restore(target.url, dump, *restore)

    assert (await refusal_to_open(target.url)).startswith(WAYS[way].refused)
    migrated = await migrate(target.url)

    assert (migrated.changed, migrated.applied, migrated.interface) == (True, (), "public")
    assert migrated.renewed
    assert migrated.notes == ()
    await assert_same(source, target)
    assert not (await migrate(target.url)).changed
    await assert_works(target.url, target.admin_url, source.store, data_dir)


GIVE_TABLES = """DO $$ DECLARE each text; BEGIN
    FOR each IN SELECT oid::regclass FROM pg_class
        WHERE relnamespace = 'storecredit'::regnamespace AND relkind = 'r'
    LOOP EXECUTE format('ALTER TABLE %s OWNER TO {login}', each); END LOOP; END $$"""


@pytest.mark.parametrize("target", ["-O -x by an owner"], indirect=True)
async def test_what_a_superuser_restored_for_an_owner_is_his_to_mend(
    source: Source, target: Target, data_dir: Path
) -> None:
    source.programs.pg_restore(target.admin_url, source.dump(*CUSTOM))
    assert "The schema storecredit belongs to somebody else" in await refusal_to_migrate(target)

    # As where the owner's name was in the dump, and the writer's role was missing.
    await run(
        target.admin_url,
        f"ALTER SCHEMA storecredit OWNER TO {target.login}",
        GIVE_TABLES.format(login=target.login),
    )
    assert f"(it belongs to {SUPERUSER}), and nothing was changed: migrate once as a superuser" in (
        await refusal_to_migrate(target)
    )

    assert (await migrate(target.admin_url)).changed
    await run(target.admin_url, f"GRANT {APP_ROLE}, {WRITER_ROLE} TO {target.login}")
    assert not (await migrate(target.url)).changed
    await assert_works(target.url, target.admin_url, source.store, data_dir)


async def refusal_to_migrate(target: Target) -> str:
    with pytest.raises(DatabaseMisconfigured) as raised:
        await migrate(target.url)
    assert "\n" not in str(raised.value)
    return str(raised.value)


async def assert_same(source: Source, target: Target) -> None:
    """All that is there is as in the source, but for who owns the tables."""
    made = await connect_as_superuser(source.url)
    restored = await connect_as_superuser(target.admin_url)
    try:
        me = await made.fetchval("SELECT current_user")
        before = [re.sub(rf"\b{me}\b", target.login, line) for line in await catalog(made)]
        assert await catalog(restored) == sorted(before)
        assert await _rows(restored) == await _rows(made)
    finally:
        await made.close()
        await restored.close()


async def _rows(connection: asyncpg.Connection) -> dict[str, list[str]]:
    rows = await rows_of(connection, "storecredit")
    del rows["schema_version"]
    return rows
