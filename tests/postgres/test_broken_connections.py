"""A connection of the pool breaks while it is used: whoever used it is told how, in words."""

import asyncio

import asyncpg
import pytest

from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pool import Database
from tests.crash.waiting import until_true

ASLEEP = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
)
WAIT_MAX_SECONDS = 60.0


async def sleep(database: Database) -> None:
    async with database.acquire() as connection:
        await connection.execute("SELECT pg_sleep(60)")


async def test_it_is_told_how_a_connection_broke(
    database: Database, admin: asyncpg.Connection
) -> None:
    async def is_asleep() -> bool:
        return await admin.fetchval(ASLEEP) is not None

    sleeping = asyncio.create_task(sleep(database))
    await until_true(is_asleep, "it is asleep", WAIT_MAX_SECONDS, str)
    await admin.execute(f"SELECT pg_terminate_backend(pid) FROM ({ASLEEP}) a")
    with pytest.raises(DatabaseUnavailable, match="terminating connection due to administrator"):
        await sleeping
    assert await database.fetchval("SELECT 1") == 1
