"""Group commit on real PostgreSQL: who shares a transaction, and who is told what."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from storecredit.postgres import group_commit
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.group_commit import (
    Bounds,
    GroupCommit,
    OutcomeUnknown,
    WaitingLineFull,
)
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from storecredit.telemetry import Metrics
from tests.conftest import Databases
from tests.postgres.commits import WAIT_MAX_SECONDS, Rows, stopped_clock

ACCOUNT = 0
NEXT_LANES_ACCOUNT = 1
BOUNDS = Bounds(lanes=1, batch_max=100, waiting_max=1000, deadline_seconds=30)
Commit = GroupCommit[int, str]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is held up on purpose must not be given up on a slow machine."""
    monkeypatch.setattr(group_commit, "BATCH_TIMEOUT_SECONDS", WAIT_MAX_SECONDS)


@pytest.fixture(scope="module")
def database_url(databases: Databases, template: str) -> Iterator[str]:
    """One fresh database for all tests here: each makes its table anew, and uses no other."""
    with databases.copied(template) as url:
        yield url


@pytest.fixture
async def rows(admin: asyncpg.Connection) -> Rows:
    made = Rows(admin)
    await made.make_table()
    return made


@asynccontextmanager
async def serving(database: Database, rows: Rows, bounds: Bounds = BOUNDS) -> AsyncIterator[Commit]:
    commit = Commit("test", database, rows.settle, bounds, Metrics())
    await commit.start()
    try:
        async with asyncio.timeout(WAIT_MAX_SECONDS):
            yield commit
    finally:
        rows.gate.set()
        await commit.stop()


async def hand_in(
    commit: Commit, items: Iterable[int], account_id: int = ACCOUNT
) -> list[asyncio.Task[str]]:
    """Submit the items, each by a caller of its own, and return once all of them stand in line."""
    callers = [asyncio.create_task(commit.submit(account_id, item)) for item in items]
    await asyncio.sleep(0)
    return callers


async def hold_up(commit: Commit, rows: Rows, item: int = 1) -> asyncio.Task[str]:
    """Hand in one item and keep its transaction open until the gate opens."""
    rows.held = item
    (caller,) = await hand_in(commit, [item])
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        while [item] not in rows.batches:  # noqa: ASYNC110  # what is called sets no event
            await asyncio.sleep(0.01)
    return caller


def outcomes(items: Iterable[int]) -> list[str]:
    return [f"outcome of {item}" for item in items]


async def test_every_caller_gets_the_outcome_of_its_own_item(
    database: Database, rows: Rows
) -> None:
    items = range(1, 201)
    async with serving(database, rows, replace(BOUNDS, lanes=3, batch_max=7)) as commit:
        callers = [commit.submit(item, item) for item in items]
        assert await asyncio.gather(*callers) == outcomes(items)
    written = [item for items in await rows.transactions() for item in items]
    assert sorted(written) == list(items)


async def test_requests_that_arrive_while_a_batch_is_under_way_share_the_next_transaction(
    database: Database, rows: Rows
) -> None:
    async with serving(database, rows) as commit:
        first = await hold_up(commit, rows)
        others = await hand_in(commit, range(2, 7))
        rows.gate.set()
        assert await asyncio.gather(*[first, *others]) == outcomes(range(1, 7))
    assert await rows.transactions() == [[1], [2, 3, 4, 5, 6]]


async def test_a_batch_is_never_larger_than_its_maximum(database: Database, rows: Rows) -> None:
    async with serving(database, rows, replace(BOUNDS, batch_max=3)) as commit:
        first = await hold_up(commit, rows)
        others = await hand_in(commit, range(2, 9))
        rows.gate.set()
        await asyncio.gather(*[first, *others])
    assert await rows.transactions() == [[1], [2, 3, 4], [5, 6, 7], [8]]


async def test_none_of_several_accounts_has_more_than_its_share_of_a_batch(
    database: Database, rows: Rows
) -> None:
    async with serving(database, rows, replace(BOUNDS, batch_max=8)) as commit:
        first = await hold_up(commit, rows)
        many = await hand_in(commit, range(2, 16))
        few = await hand_in(commit, [21, 22, 23], NEXT_LANES_ACCOUNT)
        another = await hand_in(commit, [31], 2)
        rows.gate.set()
        told = await asyncio.gather(first, *many, *few, *another)
        assert told == outcomes([1, *range(2, 16), 21, 22, 23, 31])
    assert await rows.transactions() == [
        [1],
        [2, 21, 31, 3, 22],
        [4, 23, 5],
        [6, 7],
        # The others have their outcomes: who is alone has all of the batch.
        [8, 9, 10, 11, 12, 13, 14, 15],
    ]


async def test_one_lane_works_on_one_connection(database: Database, rows: Rows) -> None:
    async with serving(database, rows) as commit:
        for item in range(1, 6):
            await commit.submit(ACCOUNT, item)
    assert len(await rows.transactions()) == 5
    assert await rows.backends() == 1


async def test_a_bad_item_fails_alone(database: Database, rows: Rows) -> None:
    async with serving(database, rows) as commit:
        first = await hold_up(commit, rows)
        good, bad, other = await hand_in(commit, [2, -3, 4])
        rows.gate.set()
        assert await asyncio.gather(*[first, good, other]) == outcomes([1, 2, 4])
        with pytest.raises(asyncpg.CheckViolationError):
            await bad
        assert await commit.submit(ACCOUNT, 5) == "outcome of 5"
    assert rows.batches[1] == [2, -3, 4]
    assert await rows.transactions() == [[1], [2], [4], [5]]


async def test_a_settle_function_that_leaves_an_outcome_out_is_a_defect_and_ends_nobody_else(
    database: Database, admin: asyncpg.Connection
) -> None:
    class Forgetful(Rows):
        async def settle(self, connection: Connection, items: Sequence[int]) -> Sequence[str]:
            return [said for said in await super().settle(connection, items) if "13" not in said]

    rows = Forgetful(admin)
    await rows.make_table()
    async with serving(database, rows) as commit:
        with pytest.raises(AssertionError):
            await commit.submit(ACCOUNT, 13)
        assert await commit.submit(ACCOUNT, 14) == "outcome of 14"
    assert await rows.transactions() == [[13], [14]]


async def test_a_full_waiting_line_refuses_at_once_and_sends_nothing(
    database: Database, rows: Rows
) -> None:
    async with serving(database, rows, replace(BOUNDS, waiting_max=3)) as commit:
        first = await hold_up(commit, rows)
        others = await hand_in(commit, [2, 3])
        for account_id in (ACCOUNT, NEXT_LANES_ACCOUNT):
            with pytest.raises(WaitingLineFull):
                await commit.submit(account_id, 4)
        rows.gate.set()
        await asyncio.gather(*[first, *others])
        assert await commit.submit(ACCOUNT, 5) == "outcome of 5"
    assert await rows.transactions() == [[1], [2, 3], [5]]


async def test_a_lane_that_is_held_up_holds_up_its_own_accounts_only(
    database: Database, rows: Rows
) -> None:
    async with serving(database, rows, replace(BOUNDS, lanes=2)) as commit:
        first = await hold_up(commit, rows)
        (behind,) = await hand_in(commit, [2])
        assert await commit.submit(NEXT_LANES_ACCOUNT, 3) == "outcome of 3"
        assert not first.done()
        assert not behind.done()
        rows.gate.set()
        assert await asyncio.gather(*[first, behind]) == outcomes([1, 2])
    assert await rows.backends() == 2


async def test_the_requests_of_a_cancelled_caller_and_of_others_are_settled_alike(
    database: Database, rows: Rows
) -> None:
    async with serving(database, rows, replace(BOUNDS, waiting_max=4)) as commit:
        under_way = await hold_up(commit, rows)
        in_line, *others = await hand_in(commit, [2, 3, 4])
        under_way.cancel()
        in_line.cancel()
        rows.gate.set()
        assert await asyncio.gather(*others) == outcomes([3, 4])
        # Nobody's place in the line is lost with its caller.
        again = await hand_in(commit, range(5, 9))
        assert await asyncio.gather(*again) == outcomes(range(5, 9))
        assert under_way.cancelled()
        assert in_line.cancelled()
    assert await rows.transactions() == [[1], [2, 3, 4], [5, 6, 7, 8]]


async def test_stopping_finishes_what_waits_and_takes_nothing_new(
    database: Database, rows: Rows
) -> None:
    async with serving(database, rows, replace(BOUNDS, batch_max=2)) as commit:
        first = await hold_up(commit, rows)
        others = await hand_in(commit, range(2, 6))
        stopping = asyncio.create_task(commit.stop())
        await asyncio.sleep(0)
        with pytest.raises(WaitingLineFull):
            await commit.submit(ACCOUNT, 6)
        rows.gate.set()
        await stopping
        assert [caller.result() for caller in (first, *others)] == outcomes(range(1, 6))
        with pytest.raises(WaitingLineFull):
            await commit.submit(ACCOUNT, 7)
    assert await rows.transactions() == [[1], [2, 3], [4, 5]]


async def test_stopping_gives_up_a_batch_that_does_not_end_and_says_that_it_is_unknown(
    database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_clock(monkeypatch)
    bounds = replace(BOUNDS, deadline_seconds=0.01)
    async with serving(database, rows, bounds) as commit:
        first = await hold_up(commit, rows)
        (in_line,) = await hand_in(commit, [2])
        await commit.stop()
        for caller in (first, in_line):
            with pytest.raises(OutcomeUnknown):
                await caller
    assert await rows.transactions() == []


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
async def test_a_transaction_that_may_succeed_now_is_tried_again_as_it_was(
    database: Database, rows: Rows, sqlstate: str
) -> None:
    async with serving(database, rows) as commit:
        first = await hold_up(commit, rows)
        rows.errors = [sqlstate, sqlstate]
        others = await hand_in(commit, [2, 3])
        rows.gate.set()
        assert await asyncio.gather(*[first, *others]) == outcomes([1, 2, 3])
    assert rows.batches == [[1], [1], [1], [2, 3]]
    assert await rows.transactions() == [[1], [2, 3]]


async def test_a_transaction_that_never_succeeds_is_given_up_at_its_deadline(
    database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = stopped_clock(monkeypatch)
    async with serving(database, rows, replace(BOUNDS, deadline_seconds=0.2)) as commit:
        rows.errors = ["40001"] * 10_000
        (caller,) = await hand_in(commit, [1])
        while len(rows.batches) < 3:  # noqa: ASYNC110 - what is called sets no event
            await asyncio.sleep(0.01)
        clock.now += 1
        with pytest.raises(DatabaseUnavailable):
            await caller
        rows.errors = []
        assert await commit.submit(ACCOUNT, 2) == "outcome of 2"
    assert await rows.transactions() == [[2]]


async def test_of_two_transactions_in_a_deadlock_both_are_settled_in_the_end(
    database: Database, admin: asyncpg.Connection
) -> None:
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '50ms'")
    both_hold_one = asyncio.Barrier(2)

    begun: list[int] = []

    class Crossing(Rows):
        async def settle(self, connection: Connection, items: Sequence[int]) -> Sequence[str]:
            (item,) = items
            one, other = (1, 2) if item == 1 else (2, 1)
            begun.append(item)
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", one)
                if begun.count(item) == 1:
                    await both_hold_one.wait()
                await connection.execute("SELECT pg_advisory_xact_lock($1)", other)
                return await super().settle(connection, items)

    rows = Crossing(admin)
    await rows.make_table()
    async with serving(database, rows, replace(BOUNDS, lanes=2)) as commit:
        first, second = commit.submit(ACCOUNT, 1), commit.submit(NEXT_LANES_ACCOUNT, 2)
        assert await asyncio.gather(*[first, second]) == outcomes([1, 2])
    assert len(begun) == 3, "there was no deadlock"
    assert sorted(await rows.transactions()) == [[1], [2]]
