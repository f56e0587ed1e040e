"""Connections kept for single statements: when one is used again, and when another is made."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.kept_connections import KeptConnections
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import APP_ROLE

WHO = "SELECT pg_backend_pid() AS pid, current_user::text AS role"
LOCK = 7
WAITS = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'"""


@pytest.fixture
async def connections(database: Database) -> AsyncIterator[KeptConnections]:
    kept = KeptConnections(database)
    yield kept
    await kept.close()


async def pid(connections: KeptConnections) -> int:
    [row] = await connections.fetch(WHO)
    assert row["role"] == APP_ROLE
    return int(row["pid"])


async def test_statements_one_after_the_other_share_a_connection(
    connections: KeptConnections,
) -> None:
    assert await pid(connections) == await pid(connections)


async def test_statements_at_the_same_time_have_one_each(
    connections: KeptConnections, admin: asyncpg.Connection
) -> None:
    await admin.execute("SELECT pg_advisory_lock($1)", LOCK)
    waiting = asyncio.create_task(connections.fetch("SELECT pg_advisory_lock($1)", LOCK))
    while not await admin.fetchval(WAITS):
        pass
    first = await pid(connections)
    await admin.execute("SELECT pg_advisory_unlock($1)", LOCK)
    await waiting
    # Both are kept; the one that was given back last is the next.
    assert await pid(connections) != first


async def test_a_connection_that_was_cut_is_replaced(
    connections: KeptConnections, admin: asyncpg.Connection
) -> None:
    first = await pid(connections)
    await admin.execute("SELECT pg_terminate_backend($1, 10000)", first)
    # Whether the word of it has come by now or not: at most one statement pays for it.
    with contextlib.suppress(DatabaseUnavailable):
        await pid(connections)
    assert await pid(connections) != first


async def test_a_statement_that_fails_or_is_given_up_leaves_no_connection_behind(
    connections: KeptConnections, admin: asyncpg.Connection
) -> None:
    first = await pid(connections)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await connections.fetch("SELECT 1 / 0")
    second = await pid(connections)
    assert second != first
    await admin.execute("SELECT pg_advisory_lock($1)", LOCK)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await connections.fetch("SELECT pg_advisory_lock($1)", LOCK)
    assert await pid(connections) != second


async def test_closed_they_are_gone_from_the_server(
    connections: KeptConnections, admin: asyncpg.Connection
) -> None:
    mine = await pid(connections)
    await connections.close()
    async with asyncio.timeout(30):
        while await admin.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", mine):
            pass
