"""A migration beside a service that is at work: neither waits for the other's money."""

import asyncio

import asyncpg

from storecredit.postgres.migrate import migrate
from storecredit.postgres.pool import Database
from tests.sql.books import open_store

RENEWALS = 3
WAITS_MAX_SECONDS = 30.0
SPEND = "SELECT public.deduct_store_credits($1, 1, $2)"


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
