"""Migrations: applied once, again without effect, whole or not at all."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from storecredit import sql
from storecredit.postgres.errors import DatabaseMisconfigured, DatabaseUnavailable
from storecredit.postgres.schema.migrate import Migrated, migrate
from storecredit.postgres.schema.schema_version import (
    SchemaState,
    fingerprint,
    newest_migration,
    schema_state,
)
from storecredit.postgres.servers import check_version
from tests.conftest import connect_as_superuser
from tests.sql.catalog import catalog, rows_of
from tests.sql.ledgers import open_store

FORGET_WHAT_WAS_APPLIED = "UPDATE schema_version SET fingerprint = 'of another version'"
MIGRATIONS = (
    "0001_ledger",
    "0002_owners",
    "0003_billing",
    "0004_schema_version",
    "0005_shape",
    "0006_webhooks",
    "0007_top_up",
    "0008_audit",
    "0009_admin_tokens",
    "0010_sums",
    "0011_sign_ins",
    "0012_look_up",
    "0013_portal",
    "0014_archive",
    "0015_import",
    "0016_buckets",
    "0017_checkpoints",
)
WAITS_MAX_SECONDS = 60.0
SQL = Path(sql.__path__[0])


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect_as_superuser(empty_url)
    yield connection
    await connection.close()


async def test_a_second_migration_changes_nothing(
    empty_url: str, empty: asyncpg.Connection
) -> None:
    assert await migrate(empty_url) == Migrated(
        MIGRATIONS, changed=True, interface="public", interface_before=None
    )
    made = await catalog(empty)
    row = await empty.fetchrow("SELECT * FROM schema_version")
    assert row is not None
    assert (row["migration"], row["fingerprint"]) == (newest_migration(), fingerprint())

    unchanged = Migrated((), changed=False, interface="public", interface_before="public")
    assert await migrate(empty_url) == unchanged
    assert await migrate(empty_url, interface_schema="public") == unchanged
    assert await empty.fetchrow("SELECT * FROM schema_version") == row
    assert await catalog(empty) == made

    await empty.execute(FORGET_WHAT_WAS_APPLIED)
    assert await migrate(empty_url) == Migrated(
        (), changed=True, interface="public", interface_before="public"
    )
    assert await catalog(empty) == made
    assert await empty.fetchval("SELECT fingerprint FROM schema_version") == fingerprint()


async def test_a_migration_replaces_functions_and_keeps_the_rows(
    database_url: str, admin: asyncpg.Connection
) -> None:
    store_id = await open_store(admin, 5)
    assert await admin.fetchval("SELECT deduct_store_credits($1, 2, 'r')", store_id)
    before, rows = await catalog(admin), await rows_of(admin, "public")
    await admin.execute(
        f"""CREATE OR REPLACE FUNCTION public.deduct_store_credits(p_store_id uuid, p_amount int,
                p_request_id text, p_description text DEFAULT 'free')
            RETURNS boolean LANGUAGE sql AS 'SELECT true';
            DROP FUNCTION append_movement;
            CREATE FUNCTION storecredit.of_an_earlier_version() RETURNS int
                LANGUAGE sql AS 'SELECT 1';
            ALTER FUNCTION storecredit.of_an_earlier_version() OWNER TO storecredit_writer;
            CREATE VIEW public.of_an_earlier_version AS SELECT 1;
            ALTER VIEW public.of_an_earlier_version OWNER TO storecredit_writer;
            {FORGET_WHAT_WAS_APPLIED}"""
    )
    assert await catalog(admin) != before

    await migrate(database_url)

    assert await catalog(admin) == before
    assert await rows_of(admin, "public") == rows


async def test_what_a_newer_version_has_made_is_left_alone(
    database_url: str, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        f"""CREATE OR REPLACE FUNCTION storecredit.raise_credit_error(p_error text, p_detail text)
            RETURNS void LANGUAGE sql AS 'SELECT';
            UPDATE schema_version SET migration = '9999_of_a_newer_version';
            {FORGET_WHAT_WAS_APPLIED}"""
    )
    newer = await catalog(admin)

    unchanged = Migrated((), changed=False, interface="public", interface_before="public")
    assert await migrate(database_url) == unchanged
    with pytest.raises(DatabaseMisconfigured, match="by a newer storecredit"):
        await migrate(database_url, interface_schema="elsewhere")

    assert await catalog(admin) == newer


async def test_several_migrations_at_once_make_one_schema(
    empty_url: str, empty: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    results = await asyncio.gather(*(migrate(empty_url) for _ in range(3)))

    assert sorted(result.changed for result in results) == [False, False, True]
    assert {result.applied for result in results} == {(), MIGRATIONS}
    assert await catalog(empty) == await catalog(admin)


# Holds whoever makes such a thing, for as long as the test holds the lock.
HOLD = """
    CREATE SCHEMA held;
    CREATE FUNCTION held.hold() RETURNS event_trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(1);
    END;
    $$;
    CREATE EVENT TRIGGER hold ON ddl_command_end WHEN TAG IN ('{tag}')
        EXECUTE FUNCTION held.hold()"""
LET_GO = "DROP EVENT TRIGGER hold; DROP SCHEMA held CASCADE"
HELD = """SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
LIMIT = "1s"
HELD_BEYOND_THE_LIMIT = f"""SELECT h.pid FROM ({HELD}) h JOIN pg_stat_activity a USING (pid)
    WHERE clock_timestamp() - a.query_start > interval '{LIMIT}'"""


async def held(onlooker: asyncpg.Connection, question: str = HELD) -> int:
    """The process of the session that is held."""
    async with asyncio.timeout(WAITS_MAX_SECONDS):
        # The server tells nobody when a session begins to wait.
        while (pid := await onlooker.fetchval(question)) is None:  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)
    return int(pid)


@pytest.mark.parametrize("tag", ["CREATE TABLE", "CREATE FUNCTION", "CREATE VIEW"])
async def test_a_migration_killed_halfway_leaves_nothing_and_keeps_nobody_out(
    empty_url: str, empty: asyncpg.Connection, tag: str
) -> None:
    before = await catalog(empty)
    await empty.execute(HOLD.format(tag=tag))
    await empty.execute("SELECT pg_advisory_lock(1)")
    migrating = asyncio.create_task(migrate(empty_url))
    pid = await held(empty)

    await empty.execute("SELECT pg_terminate_backend($1)", pid)
    with pytest.raises(DatabaseUnavailable):
        await migrating
    await empty.execute(f"SELECT pg_advisory_unlock(1); {LET_GO}")

    assert await catalog(empty) == before
    assert (await migrate(empty_url)).changed


async def test_the_state_of_a_schema_is_told(empty_url: str, empty: asyncpg.Connection) -> None:
    set_migration = "UPDATE schema_version SET migration = $1"
    assert await schema_state(empty) is SchemaState.MISSING

    await migrate(empty_url)
    assert await schema_state(empty) is SchemaState.CURRENT
    await empty.execute(set_migration, "0003_generation")
    assert await schema_state(empty) is SchemaState.OUTDATED
    await empty.execute(set_migration, "9999_of_a_newer_version")
    assert await schema_state(empty) is SchemaState.CURRENT
    await empty.execute("DELETE FROM schema_version")
    assert await schema_state(empty) is SchemaState.MISSING


def test_a_server_that_is_too_old_is_told_in_one_sentence() -> None:
    for major in (15, 18, 19):
        check_version(major)
    with pytest.raises(DatabaseMisconfigured) as raised:
        check_version(14)
    assert str(raised.value) == "PostgreSQL 14 is too old: storecredit needs 15 or later."


async def test_a_schema_of_our_name_that_is_not_ours_is_left_alone(
    empty_url: str, empty: asyncpg.Connection
) -> None:
    await empty.execute("CREATE SCHEMA storecredit; CREATE TABLE storecredit.notes (n int)")
    before = await catalog(empty)

    with pytest.raises(DatabaseMisconfigured) as raised:
        await migrate(empty_url)

    assert "something that is not ours (notes)" in str(raised.value)
    assert await catalog(empty) == before


async def test_nothing_is_made_elsewhere_whatever_the_login_is_used_to(
    empty_url: str, empty: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    database = urlsplit(empty_url).path[1:]
    await empty.execute(
        f"""CREATE SCHEMA habits;
            ALTER DATABASE {database} SET search_path = habits;
            ALTER DATABASE {database} SET default_transaction_isolation = serializable;
            ALTER DATABASE {database} SET statement_timeout = '{LIMIT}';
            ALTER DATABASE {database} SET check_function_bodies = on"""
    )
    await empty.execute(HOLD.format(tag="CREATE TABLE"))
    await empty.execute("SELECT pg_advisory_lock(1)")

    migrating = asyncio.create_task(migrate(empty_url))
    await held(empty, HELD_BEYOND_THE_LIMIT)
    await empty.execute("SELECT pg_advisory_unlock(1)")
    await migrating
    await empty.execute(LET_GO)

    made = [line for line in await catalog(empty) if "habits" not in line]
    assert made == await catalog(admin)


def test_no_statement_of_ours_names_a_schema() -> None:
    named = re.compile(r"\b(storecredit|public)\s*\.|search_path\s*=", re.IGNORECASE)
    files = [path for path in SQL.glob("**/*.sql") if path.parent.name != "from_public"]
    assert len(files) > 20
    for path in files:
        assert not named.search(re.sub("--.*", "", path.read_text())), path
