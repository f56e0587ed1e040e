"""Dumps restored in every usual way, into servers with our roles and without, as whoever may."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from storecredit.cli.problems import FAILED
from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.servers import APP_ROLE, READER_ROLE, WRITER_ROLE
from tests.conftest import connect_as_superuser, with_database
from tests.e2e.in_process import InProcess
from tests.sql.catalog import catalog, rows_of
from tests.sql.guard import FUNCTIONS, TABLES, let_through
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


LOOKER = "looker"
READING_FOR_READERS = {"state_of_account", "delivery_lag"}
"""Functions with rights of their own that tell no more than what a reader may read."""
KEPT_FROM_READERS = {"webhook_secrets", "admin_tokens", "sign_ins", "sign_in_links"}


@pytest.fixture
async def restored(source: Source, bare_server: Cluster) -> AsyncIterator[str]:
    """A superuser's URL of a database, restored and migrated where there are a reader's roles."""
    server = bare_server.url("postgres")
    await run(
        server,
        f"CREATE ROLE {READER_ROLE}",
        f"CREATE ROLE {LOOKER} LOGIN IN ROLE {READER_ROLE}",
        "CREATE DATABASE looked_at",
    )
    url = with_database(server, "looked_at")
    source.programs.pg_restore(url, source.dump("--format=custom"))
    told = (await migrate(url, buckets=2, open_after_seconds=0)).renewed
    assert any(said.startswith(f"Renewed the rights of {READER_ROLE} on ") for said in told)
    yield url
    await run(
        server,
        "DROP DATABASE looked_at WITH (FORCE)",
        f"DROP ROLE {LOOKER}, {READER_ROLE}, {APP_ROLE}, {WRITER_ROLE}",
    )


def test_a_login_that_may_only_read_proves_and_reports_and_changes_nothing(restored: str) -> None:
    url = as_login(restored, LOOKER, "looked_at")
    command = InProcess(url)
    before = asyncio.run(_notes(restored))

    assert "All of it agrees." in command("verify").output
    store_id, user_id = (
        command(kind, "list", "--json").json()["items"][0][f"{kind}_id"]
        for kind in ("store", "user")
    )
    for words in (
        ("report", "--by", "store"),
        ("audit",),
        ("store", "show", store_id),
        ("key", "list", store_id),
        ("credits", "grants", store_id),
        ("user", "history", user_id),
        ("request", "show", "opening"),
    ):
        done = command(*words)
        assert done.status == 0, (words, done.errors)
    refused = command("credits", "add", store_id, 5)
    assert refused.status == FAILED
    assert f"this login may not work as {APP_ROLE}, and is to be granted it" in refused.sentence()
    assert asyncio.run(_notes(restored)) == before
    asyncio.run(_has_no_right_but_to_read(url))


async def _notes(url: str) -> list[asyncpg.Record]:
    """What whoever verifies or acts writes down."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(
            """SELECT (SELECT max(verified_at) FROM storecredit.last_verification),
                   (SELECT count(*) FROM storecredit.audit_log),
                   (SELECT count(*) FROM storecredit.movements)"""
        )
    finally:
        await connection.close()


async def _has_no_right_but_to_read(url: str) -> None:
    database = await Database.open(url, may_only_read=True)
    reader = await database.connect()
    assert await reader.fetchval("SHOW transaction_read_only") == "on"
    # Whoever writes SQL of their own may switch that off: the rights are what holds.
    await reader.execute("SET default_transaction_read_only = off")
    for act in ("insert", "update", "delete from", "truncate", "drop"):
        assert await let_through(reader, act) == [], act
    may_read = "SELECT has_table_privilege($1::text, 'SELECT')"
    for table in await reader.fetch(TABLES):
        kept_from_it = table["relname"] in KEPT_FROM_READERS
        assert await reader.fetchval(may_read, table["name"]) != kept_from_it, table["name"]
    may_call = "SELECT has_function_privilege($1::oid, 'EXECUTE')"
    for each in await reader.fetch(FUNCTIONS):
        lends_no_rights = not each["is_definer"] or each["name"] in READING_FOR_READERS
        only_reads = lends_no_rights and not each["may_write"]
        assert await reader.fetchval(may_call, each["oid"]) == only_reads, each["name"]
    await reader.close()
    await database.close()
