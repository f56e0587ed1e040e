"""Group commit and time: nobody waits for long, and nothing waits when there is nothing to do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.group_commit import Bounds, GroupCommit
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from storecredit.telemetry import Metrics
from tests.postgres.commits import WAIT_MAX_SECONDS, Rows, stopped_clock

ACCOUNT = 0
DEADLINE_SECONDS = 0.2
BOUNDS = Bounds(lanes=1, batch_max=3, waiting_max=100, deadline_seconds=DEADLINE_SECONDS)
Settle = Callable[[Connection, Sequence[int]], Awaitable[Sequence[str]]]


@asynccontextmanager
async def serving(database: Database, settle: Settle) -> AsyncIterator[GroupCommit[int, str]]:
    commit = GroupCommit[int, str]("test", database, settle, BOUNDS, Metrics())
    await commit.start()
    try:
        async with asyncio.timeout(WAIT_MAX_SECONDS):
            yield commit
    finally:
        await commit.stop()


async def hand_in(commit: GroupCommit[int, str], *items: int) -> list[asyncio.Task[str]]:
    callers = [asyncio.create_task(commit.submit(ACCOUNT, item)) for item in items]
    await asyncio.sleep(0)
    return callers


async def test_what_waited_past_its_deadline_is_refused_and_never_sent(
    database: Database, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = stopped_clock(monkeypatch)
    rows = Rows(admin)
    await rows.make_table()
    rows.held = 1

    async with serving(database, rows.settle) as commit:
        (held,) = await hand_in(commit, 1)
        while not rows.batches:  # noqa: ASYNC110 - what is called sets no event
            await asyncio.sleep(0.01)
        late = await hand_in(commit, *range(2, 10))
        clock.now += 2 * DEADLINE_SECONDS
        rows.gate.set()

        assert await held == "outcome of 1"
        refusals = await asyncio.gather(*late, return_exceptions=True)
        assert await commit.submit(ACCOUNT, 10) == "outcome of 10"

    assert {type(refusal) for refusal in refusals} == {DatabaseUnavailable}
    assert rows.batches == [[1], [10]]
    assert await rows.transactions() == [[1], [10]]


async def test_a_batch_tried_one_by_one_is_not_tried_past_its_deadline(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = stopped_clock(monkeypatch)
    sent: list[list[int]] = []
    begun, gate = asyncio.Event(), asyncio.Event()

    async def settle(_connection: Connection, items: Sequence[int]) -> Sequence[str]:
        sent.append(list(items))
        if len(items) > 1:
            raise ValueError("one of them is bad")
        begun.set()
        await gate.wait()
        return [f"outcome of {item}" for item in items]

    async with serving(database, settle) as commit:
        callers = await hand_in(commit, 1, 2, 3)
        await begun.wait()
        clock.now += 2 * DEADLINE_SECONDS
        gate.set()
        first, *others = await asyncio.gather(*callers, return_exceptions=True)

    assert first == "outcome of 1"
    assert {type(other) for other in others} == {DatabaseUnavailable}
    assert sent == [[1, 2, 3], [1]]


async def test_an_idle_lane_sets_no_timer_and_takes_the_next_request_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[list[int]] = []

    async def settle(_connection: Connection, items: Sequence[int]) -> Sequence[str]:
        sent.append(list(items))
        return [f"outcome of {item}" for item in items]

    loop = asyncio.get_running_loop()
    set_timer, timers = loop.call_at, list[asyncio.TimerHandle]()

    def remember(*args: Any, **options: Any) -> asyncio.TimerHandle:
        timers.append(set_timer(*args, **options))
        return timers[-1]

    async with serving(database, settle) as commit:
        assert await commit.submit(ACCOUNT, 1) == "outcome of 1"
        with monkeypatch.context() as patched:
            patched.setattr(loop, "call_at", remember)
            assert await commit.submit(ACCOUNT, 2) == "outcome of 2"
            for _ in range(10):
                await asyncio.sleep(0)
        assert timers, "a batch under way has its time limits"
        assert [timer for timer in timers if not timer.cancelled()] == []
        assert await commit.submit(ACCOUNT, 3) == "outcome of 3"

    assert sent == [[1], [2], [3]]
