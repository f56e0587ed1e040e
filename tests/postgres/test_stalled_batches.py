"""A batch that has no answer: it is waited for while the server works on it, and then only."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from storecredit.postgres import group_commit
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.group_commit import Bounds, GroupCommit, OutcomeUnknown
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from storecredit.telemetry import Metrics
from tests.postgres.commits import WAIT_MAX_SECONDS, Line, Rows, stopped_clock, until

GATE = 7
BOUNDS = Bounds(lanes=1, batch_max=10, waiting_max=100, deadline_seconds=WAIT_MAX_SECONDS)
IMPATIENT = Bounds(lanes=1, batch_max=10, waiting_max=100, deadline_seconds=0.2)
AT_THE_GATE = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'storecredit'
      AND wait_event = 'advisory'"""
Commit = GroupCommit[int, str]


@pytest.fixture(autouse=True)
def looked_at_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "BATCH_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(group_commit, "LATE_CHECK_SECONDS", 0.01)
    # The gate is a lock, and stands for a wait of another kind.
    monkeypatch.setattr(group_commit, "LOCK_WAIT_MS", 0)


@pytest.fixture
async def looks(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Waits until a batch was looked at so often; it is no more then, and never off the gate.

    A batch that has not come to the server yet, or whose answer is on its way, is taken for lost.
    """
    seen: list[bool] = []
    is_at_work = Database.is_at_work
    watching = await asyncpg.connect(database_url)
    enough = 1

    async def look(database: Database, backend_pid: int) -> bool:
        if len(seen) >= enough:
            return True
        await until(lambda: watching.fetchval(AT_THE_GATE))
        seen.append(await is_at_work(database, backend_pid))
        return seen[-1]

    async def looked(count: int) -> None:
        nonlocal enough
        enough = count
        while len(seen) < count:  # noqa: ASYNC110 - what is called sets no event
            await asyncio.sleep(0.01)
        assert seen == [True] * count

    monkeypatch.setattr(Database, "is_at_work", look)
    yield looked
    watching.terminate()


class Gated(Rows):
    """Its transactions wait in the server, behind a gate that is no lock of theirs."""

    async def settle(self, connection: Connection, items: Sequence[int]) -> Sequence[str]:
        self.batches.append(list(items))
        # One statement, as the service's: between two the server would not be at work.
        await connection.execute(
            """WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared($2) AS passed)
               INSERT INTO effects (item, backend)
               SELECT item, pg_backend_pid() FROM gate, unnest($1::int[]) AS given (item)
               WHERE passed IS NOT NULL""",
            items,
            GATE,
        )
        return [f"outcome of {item}" for item in items]


@pytest.fixture
async def rows(admin: asyncpg.Connection) -> Gated:
    made = Gated(admin)
    await made.make_table()
    return made


@asynccontextmanager
async def serving(database: Database, rows: Rows, bounds: Bounds) -> AsyncIterator[Commit]:
    commit = Commit("test", database, rows.settle, bounds, Metrics())
    await commit.start()
    try:
        async with asyncio.timeout(WAIT_MAX_SECONDS):
            yield commit
    finally:
        await commit.stop()


@asynccontextmanager
async def shut(admin: asyncpg.Connection) -> AsyncIterator[None]:
    await admin.execute("SELECT pg_advisory_lock($1)", GATE)
    try:
        yield
    finally:
        await admin.execute("SELECT pg_advisory_unlock($1)", GATE)


async def test_a_batch_that_the_server_works_on_is_waited_for_on_its_one_connection(
    database: Database,
    rows: Gated,
    admin: asyncpg.Connection,
    looks: Callable[[int], Awaitable[None]],
) -> None:
    async with serving(database, rows, BOUNDS) as commit:
        async with shut(admin):
            waiting = [asyncio.create_task(commit.submit(0, item)) for item in range(1, 4)]
            await looks(3)
            assert not any(each.done() for each in waiting)
            assert await admin.fetchval(AT_THE_GATE) == 1
        told = await asyncio.gather(*waiting)
    assert told == [f"outcome of {item}" for item in range(1, 4)]
    assert await rows.transactions() == [[1, 2, 3]]
    assert rows.batches == [[1, 2, 3]]


async def test_who_waits_past_the_deadline_is_told_what_is_known_while_the_batch_goes_on(
    database: Database,
    rows: Gated,
    admin: asyncpg.Connection,
    looks: Callable[[int], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = stopped_clock(monkeypatch)
    async with serving(database, rows, IMPATIENT) as commit:
        async with shut(admin):
            sent = asyncio.create_task(commit.submit(0, 1))
            await looks(1)
            in_line = [asyncio.create_task(commit.submit(0, item)) for item in (2, 3)]
            await asyncio.sleep(0)
            clock.now += 2 * IMPATIENT.deadline_seconds
            with pytest.raises(OutcomeUnknown):
                await sent
            for each in in_line:
                with pytest.raises(DatabaseUnavailable):
                    await each
        # What was sent is done, as the caller may find out; what was in line never was sent.
        await until(rows.transactions)
        assert await commit.submit(0, 4) == "outcome of 4"
    assert await rows.transactions() == [[1], [4]]
    assert await rows.backends() == 1


async def test_a_batch_whose_answer_was_lost_is_sent_again_and_leaves_no_session_behind(
    database_url: str,
    rows: Rows,
    admin: asyncpg.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_at_work = Database.is_at_work

    async def look_once(database: Database, backend_pid: int) -> bool:
        # What is sent again is no answer late, however slow the machine is.
        monkeypatch.setattr(group_commit, "BATCH_TIMEOUT_SECONDS", WAIT_MAX_SECONDS)
        return await is_at_work(database, backend_pid)

    monkeypatch.setattr(Database, "is_at_work", look_once)
    monkeypatch.setattr(group_commit, "BATCH_TIMEOUT_SECONDS", WAIT_MAX_SECONDS)
    line = Line(database_url, tmp_path)
    async with line.open():
        database = await Database.open(line.url)
        async with serving(database, rows, BOUNDS) as commit:
            assert await commit.submit(0, 1) == "outcome of 1"
            lost = await admin.fetchval("SELECT backend FROM storecredit.effects")
            monkeypatch.setattr(group_commit, "BATCH_TIMEOUT_SECONDS", 0.05)
            line.swallow()
            assert await commit.submit(0, 2) == "outcome of 2"
        await database.close()
    assert await rows.transactions() == [[1], [2]]
    assert not await admin.fetch("SELECT FROM pg_stat_activity WHERE pid = $1", lost)
