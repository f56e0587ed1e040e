"""Connections kept for single statements: when one is used again, and when another is made."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from storecredit.postgres import kept_connections
from storecredit.postgres.errors import DatabaseUnavailable, StatementCancelled
from storecredit.postgres.kept_connections import KeptConnections, KeptSnapshots
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


@pytest.fixture
async def snapshots(database: Database) -> AsyncIterator[KeptSnapshots]:
    kept = KeptSnapshots(database, statement_seconds=0.5)
    yield kept
    kept.close()


async def pid_of_one(snapshots: KeptSnapshots) -> int:
    async with snapshots.snapshot() as connection:
        [row] = await connection.fetch(WHO)
        assert row["role"] == APP_ROLE
        return int(row["pid"])


async def test_snapshots_one_after_the_other_share_a_session_and_see_a_moment_each(
    snapshots: KeptSnapshots, admin: asyncpg.Connection
) -> None:
    await admin.execute("CREATE TABLE storecredit.things (n int)")
    await admin.execute("GRANT SELECT ON storecredit.things TO storecredit_app")
    pids = set()
    for there in range(3):
        async with snapshots.snapshot() as connection:
            pids.add(await connection.fetchval("SELECT pg_backend_pid()"))
            assert await connection.fetchval("SELECT count(*) FROM things") == there
            await admin.execute("INSERT INTO storecredit.things VALUES (1)")
            assert await connection.fetchval("SELECT count(*) FROM things") == there
    assert len(pids) == 1


async def test_a_snapshot_writes_nothing_and_is_given_up_after_its_time(
    snapshots: KeptSnapshots,
) -> None:
    first = await pid_of_one(snapshots)
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        async with snapshots.snapshot() as connection:
            await connection.execute("SELECT create_store(gen_random_uuid(), 'A', 'a.example')")
    second = await pid_of_one(snapshots)
    with pytest.raises(StatementCancelled):
        async with snapshots.snapshot() as connection:
            await connection.fetch("SELECT pg_sleep(30)")
    assert len({first, second, await pid_of_one(snapshots)}) == 3, "neither session is used again"


async def test_snapshots_at_the_same_time_have_a_session_each_and_one_is_kept(
    snapshots: KeptSnapshots, admin: asyncpg.Connection
) -> None:
    async with snapshots.snapshot() as one, snapshots.snapshot() as other:
        pids = [await each.fetchval("SELECT pg_backend_pid()") for each in (one, other)]
    assert len(set(pids)) == 2
    assert await pid_of_one(snapshots) == pids[0], "which was given back last"
    await ended(admin, pids[1])


async def test_a_session_that_was_cut_is_replaced_and_nobody_notices(
    snapshots: KeptSnapshots, admin: asyncpg.Connection
) -> None:
    first = await pid_of_one(snapshots)
    await admin.execute("SELECT pg_terminate_backend($1, 10000)", first)
    assert await pid_of_one(snapshots) != first


async def test_a_session_that_nobody_needs_any_more_is_ended(
    snapshots: KeptSnapshots, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_connections, "IDLE_MAX_SECONDS", 0.0)
    first = await pid_of_one(snapshots)
    await ended(admin, first)
    assert await pid_of_one(snapshots) != first


async def ended(admin: asyncpg.Connection, backend_pid: int) -> None:
    """Wait until the session is over."""
    there = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)"
    while await admin.fetchval(there, backend_pid):
        pass
