"""A migration beside a service that is at work: neither waits for the other in a circle."""

import asyncio

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.pool import Database
from storecredit.postgres.schema import public_tables
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.schema.schema_version import SchemaState, schema_state
from tests.sql.catalog import catalog
from tests.sql.earlier_build import load_earlier_build
from tests.sql.ledgers import open_store

RENEWALS = 3
WAITS_MAX_SECONDS = 30.0
SPEND = "SELECT public.deduct_store_credits($1, 1, $2)"


WAITS_FOR_A_LOCK = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def until_somebody_waits(onlooker: asyncpg.Connection) -> None:
    async with asyncio.timeout(WAITS_MAX_SECONDS):
        # The server tells nobody when a session begins to wait.
        while not await onlooker.fetchval(WAITS_FOR_A_LOCK):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


async def test_the_upgrade_waits_for_a_create_under_way_and_the_create_never_for_it(
    empty_url: str, template: str
) -> None:
    """A create of that build holds its credit row and then writes its session."""
    await load_earlier_build(empty_url)
    service, onlooker = [await asyncpg.connect(empty_url) for _ in range(2)]
    store_id = await service.fetchval("SELECT store_id FROM public.store_credits LIMIT 1")
    async with service.transaction():
        await service.execute(
            "SELECT FROM public.store_credits WHERE store_id = $1 FOR UPDATE", store_id
        )
        migrating = asyncio.create_task(migrate(empty_url))
        await until_somebody_waits(onlooker)
        await service.execute(
            "SELECT public.create_store_generations($1, $2, $3, $4, $5, $6)",
            store_id,
            [uuid7()],
            ["under way"],
            [bytes(32)],
            ["{}"],
            [None],
        )
    assert (await migrating).changed
    moved = "SELECT count(*) FROM storecredit.sessions WHERE request_id = 'under way'"
    assert await onlooker.fetchval(moved) == 1
    await service.close()
    await onlooker.close()


STORE = "(SELECT store_id FROM public.stores LIMIT 1)"
DOORS = [
    ("store_credits", "public.create_store(gen_random_uuid(), 'Hats', 'hats.example')"),
    ("store_credits", f"public.close_store_overage({STORE}, '2026-01-01', 1, 'USD')"),
    ("user_credits", "public.ensure_user(gen_random_uuid(), 3)"),
    (
        "paddle_events",
        f"""public.open_checkout(gen_random_uuid(), {STORE}, NULL, 'credits', 'small', 5,
            100, 'USD', 'under way')""",
    ),
    ("payments", "public.reopen_foreign_paddle_events()"),
    ("store_subscriptions", "public.reopen_foreign_paddle_events()"),
    (
        "pgqueuer_log",
        "public.enqueue_jobs('paddle_event', ARRAY['evt_new'], ARRAY['evt_new'::bytea])",
    ),
]


@pytest.mark.parametrize("held, door", DOORS)
async def test_no_door_of_the_earlier_build_ends_with_a_deadlock(
    empty_url: str, template: str, held: str, door: str
) -> None:
    await load_earlier_build(empty_url)
    service, onlooker = [await asyncpg.connect(empty_url) for _ in range(2)]
    async with service.transaction():
        await service.execute(f"LOCK TABLE public.{held} IN ROW SHARE MODE")
        migrating = asyncio.create_task(migrate(empty_url))
        await until_somebody_waits(onlooker)
        await service.execute(f"SELECT {door}")
    assert (await migrating).changed
    await service.close()
    await onlooker.close()


async def test_an_upgrade_that_never_gets_the_tables_says_so_and_changes_nothing(
    empty_url: str, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await load_earlier_build(empty_url)
    monkeypatch.setattr(public_tables, "LOCK_TRIES_MAX", 2)
    dump = await asyncpg.connect(empty_url)
    before = await catalog(dump)
    async with dump.transaction():
        await dump.execute("LOCK TABLE public.users IN ACCESS SHARE MODE")
        with pytest.raises(DatabaseMisconfigured, match="all the time, and nothing was changed"):
            await migrate(empty_url)
    assert await catalog(dump) == before
    await dump.close()


async def test_a_migration_that_stands_in_a_circle_is_tried_again(
    database_url: str, admin: asyncpg.Connection
) -> None:
    report = await asyncpg.connect(database_url)
    # So that the migration is the one whom the server ends.
    await report.execute("SET deadlock_timeout = '1h'")
    await admin.execute("UPDATE schema_version SET fingerprint = 'of another version'")
    async with report.transaction():
        await report.execute("SELECT FROM public.users")
        migrating = asyncio.create_task(migrate(database_url))
        await until_somebody_waits(admin)
        await report.execute("SELECT FROM public.stores")
    assert (await migrating).changed
    await report.close()


async def test_a_migration_that_always_stands_in_a_circle_says_so(
    database_url: str, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        """CREATE FUNCTION public.deadlock() RETURNS event_trigger LANGUAGE plpgsql AS $$
           BEGIN
               RAISE EXCEPTION 'deadlock detected' USING ERRCODE = 'deadlock_detected';
           END;
           $$;
           CREATE EVENT TRIGGER deadlock ON ddl_command_end WHEN TAG IN ('CREATE VIEW')
               EXECUTE FUNCTION public.deadlock();
           UPDATE schema_version SET fingerprint = 'of another version'"""
    )
    before = await catalog(admin)
    with pytest.raises(DatabaseMisconfigured, match="5 times") as raised:
        await migrate(database_url)
    assert "\n" not in str(raised.value)
    assert await catalog(admin) == before
    assert await schema_state(admin) is SchemaState.CURRENT


async def test_functions_are_renewed_while_a_transaction_holds_an_account(
    database_url: str, database: Database, admin: asyncpg.Connection
) -> None:
    store_id = await open_store(admin, 2)
    async with database.acquire() as connection, connection.transaction():
        assert await connection.fetchval(SPEND, store_id, "before")
        await admin.execute("UPDATE schema_version SET fingerprint = 'of another version'")
        async with asyncio.timeout(WAITS_MAX_SECONDS):
            assert (await migrate(database_url)).changed
        assert await connection.fetchval(SPEND, store_id, "after")
    assert await admin.fetchval("SELECT balance FROM store_credits") == 0


async def test_a_service_that_is_at_work_meets_one_version_or_the_other(
    database_url: str, database: Database, admin: asyncpg.Connection
) -> None:
    store_id = await open_store(admin, 1_000_000)
    migrated = asyncio.Event()

    async def spend(name: str) -> int:
        taken = 0
        async with database.acquire() as connection:
            while not migrated.is_set():
                assert await connection.fetchval(SPEND, store_id, f"{name} {taken}")
                taken += 1
        return taken

    spending = [asyncio.create_task(spend(name)) for name in ("a", "b", "c")]
    for _ in range(RENEWALS):
        await admin.execute("UPDATE schema_version SET fingerprint = 'of another version'")
        assert (await migrate(database_url)).changed
    migrated.set()
    taken = sum(await asyncio.gather(*spending))

    assert taken > 0
    assert await admin.fetchval("SELECT total_spent FROM store_credits") == taken
    assert await admin.fetchval("SELECT count(*) FROM movements") == taken + 1
