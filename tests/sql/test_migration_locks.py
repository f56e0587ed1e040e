"""What keeps a migration waiting is named, and whoever waits behind it waits for a moment only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest
from structlog.testing import capture_logs

from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.schema import migration_locks
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.schema.migration_locks import Onlooker, prepared, take_turn
from storecredit.postgres.servers import connect
from tests.sql.catalog import catalog

WAIT_MAX_SECONDS = 30.0
READ = "SELECT count(*) FROM public.stores"
RENEW = "UPDATE storecredit.schema_version SET fingerprint = 'of another version'"
IS_WAITED_FOR = """SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"""
STANDS_BEFORE_A_TABLE = """SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted
    AND mode = 'AccessExclusiveLock' AND relation = 'public.stores'::regclass
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"""
LIMITS = """SELECT name FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout',
    'transaction_timeout', 'idle_in_transaction_session_timeout')"""


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("LOOK_AFTER", 0.01), ("LOOK_INTERVAL", 0.01), ("PAUSE_FIRST", 0.01)):
        monkeypatch.setattr(migration_locks, f"{name}_SECONDS", seconds)


@asynccontextmanager
async def somebody(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, server_settings={"application_name": "a report"})
    try:
        yield connection
    finally:
        await connection.close()


async def until(onlooker: asyncpg.Connection, question: str) -> None:
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        # The server tells nobody when a session begins to wait.
        while not await onlooker.fetchval(question):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


async def refusal(url: str) -> str:
    with pytest.raises(DatabaseMisconfigured) as raised:
        await migrate(url)
    said = str(raised.value)
    assert "nothing was changed" in said
    assert said.endswith("migrate again.")
    assert "\n" not in said
    return said


async def test_a_forgotten_transaction_is_named_and_nothing_is_changed(
    database_url: str, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_locks, "TABLE_SECONDS", 0.2)
    monkeypatch.setattr(migration_locks, "TRIES_MAX", 2)
    await admin.execute(RENEW)
    before = await catalog(admin)
    async with somebody(database_url) as reader, reader.transaction():
        await reader.execute(READ)
        with capture_logs() as logs:
            said = await refusal(database_url)
        assert f"process {reader.get_server_pid()} (a report, idle in transaction, since " in said
    assert await catalog(admin) == before
    assert [line["attempt"] for line in logs if line["event"] == "migration_held_up"] == [1, 2]
    (waits,) = [line for line in logs if line["event"] == "migration_waits"]
    assert waits["blocker"] in said

    assert (await migrate(database_url)).changed


async def test_who_comes_after_a_migration_that_waits_is_served_although_it_goes_on_waiting(
    database_url: str, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_locks, "TABLE_SECONDS", 0.2)
    monkeypatch.setattr(migration_locks, "TRIES_MAX", 1000)
    await admin.execute(RENEW)
    async with somebody(database_url) as reader, somebody(database_url) as service:
        async with reader.transaction():
            await reader.execute(READ)
            migrating = asyncio.create_task(migrate(database_url))
            for _ in range(3):
                await until(admin, STANDS_BEFORE_A_TABLE)
                async with asyncio.timeout(WAIT_MAX_SECONDS):
                    assert await service.fetchval(READ) == 0
            assert not migrating.done()
        assert (await migrating).changed


async def test_a_migration_under_way_is_waited_for_and_named(
    database_url: str, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_locks, "TURN_SECONDS", 0.3)
    await admin.execute(RENEW)
    async with somebody(database_url) as other, other.transaction():
        await take_turn(other, Onlooker(database_url))
        said = await refusal(database_url)
    assert said.startswith("Another migration of this database is under way")
    assert f"process {other.get_server_pid()} (a report, idle in transaction, since " in said
    assert (await migrate(database_url)).changed


async def test_no_limit_of_the_login_holds_while_a_migration_does(
    empty_url: str, admin: asyncpg.Connection
) -> None:
    names = [row["name"] for row in await admin.fetch(LIMITS)]
    assert {"statement_timeout", "lock_timeout"} < set(names)
    database = urlsplit(empty_url).path[1:]
    for name in names:
        await admin.execute(f"ALTER DATABASE {database} SET {name} = '1h'")
    connection = await connect(empty_url, as_app=False)
    said = [(name, f"SELECT current_setting('{name}')") for name in names]
    async with prepared(connection):
        assert {name: await connection.fetchval(ask) for name, ask in said} == dict.fromkeys(
            names, "0"
        )
    assert {await connection.fetchval(ask) for _, ask in said} == {"1h"}
    await connection.close()


async def test_who_has_waited_sees_what_the_migration_before_has_made(empty_url: str) -> None:
    """Not what it knew of the catalog before it waited."""
    onlooker = Onlooker(empty_url)
    first, second = [await connect(empty_url, as_app=False) for _ in range(2)]
    there = "SELECT to_regclass('storecredit.made') IS NOT NULL"

    async def wait_and_look() -> bool:
        async with prepared(second):
            await take_turn(second, onlooker)
            return bool(await second.fetchval(there))

    assert not await second.fetchval(there)
    async with prepared(first):
        await take_turn(first, onlooker)
        await first.execute("CREATE SCHEMA storecredit; CREATE TABLE storecredit.made ()")
        looking = asyncio.create_task(wait_and_look())
        await until(first, IS_WAITED_FOR)
    assert await looking
    for each in (first, second):
        await each.close()


async def test_a_blocker_without_a_process_is_named(
    database_url: str, admin: asyncpg.Connection
) -> None:
    """As `pg_blocking_pids` tells of a prepared transaction, and of others' sessions less."""
    rows = await admin.fetch(
        """SELECT pid, NULL AS application_name, NULL AS state, NULL AS since
           FROM unnest(ARRAY[0, 7]) pid"""
    )
    assert [migration_locks.in_words(row) for row in rows] == [
        "a prepared transaction (pg_prepared_xacts)",
        "process 7",
    ]
