"""A migration beside a service that is at work: neither waits for the other in a circle."""

import asyncio

import asyncpg
from uuid_utils.compat import uuid7

from storecredit.postgres.migrate import migrate
from storecredit.postgres.pool import Database
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
