"""At the very instant at which holds and grants end, many connections want what ends with them.

The database's clock alone decides: what begins after the instant finds it over, what is answered
before it does not. In between one wins, and all are told the same.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg

from storecredit.ledger.owners import Account
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from tests.passing_time import pass_time
from tests.sql.conftest import connect_as_app
from tests.sql.generations import CONTENT, Request, create_batch
from tests.sql.ledgers import add_ending, ledger, open_some

CALLERS, SWEEPS = 6, 2
ACCOUNTS, BATCH = 48, 4
HELD = 5
GRANTED = 10_000
"""More than anybody takes before it ends."""
HOUR = timedelta(hours=1)
EARLY = timedelta(milliseconds=40)
"""How long before the instant the callers begin, and after it the last of them."""
AHEAD = 2 * EARLY
HOLD = "SELECT outcomes FROM hold_credits($1, $2, $3, $4, $5, $6, $7, $8)"
END = "SELECT * FROM end_holds($1, $2, $3, array_fill(NULL::int, ARRAY[$4::int]))"
SPEND = "SELECT outcomes FROM spend_credits($1, $2, $3, $4, $5, $6)"
NOW = "SELECT clock_timestamp()"
WAIT = "SELECT pg_sleep_until($1)"


@asynccontextmanager
async def connections(url: str, count: int) -> AsyncIterator[list[Connection]]:
    async with AsyncExitStack() as stack:
        opened = [await connect_as_app(url) for _ in range(count)]
        for each in opened:
            stack.push_async_callback(each.close)
        yield opened


@asynccontextmanager
async def sweeping(url: str, accounts: list[Account]) -> AsyncIterator[None]:
    """As two processes do, but without a pause, for as long as the block lasts.

    Every other account is left alone: whoever comes has to find out for itself what has ended.
    """
    done = asyncio.Event()
    swept = [account.id for account in accounts[::2]]

    async def sweep(connection: Connection) -> None:
        while not done.is_set():
            await connection.execute("SELECT expire_credits($1)", swept)

    async with connections(url, SWEEPS) as opened, asyncio.TaskGroup() as group:
        for each in opened:
            group.create_task(sweep(each))
        try:
            yield
        finally:
            done.set()


async def nearly_over(admin: asyncpg.Connection, table: str) -> datetime:
    """Let all but a moment pass of the hour that is left of all of these; when they end."""
    last = f"SELECT max(expires_at) FROM {table}"
    await pass_time(admin, await admin.fetchval(last) - await admin.fetchval(NOW) - AHEAD)
    instant: datetime = await admin.fetchval(last)
    return instant


async def assert_books_are_right(database: Database, admin: asyncpg.Connection) -> None:
    await admin.execute("SELECT pg_stat_force_next_flush()")
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await admin.fetchval(deadlocks) == 0
    for every_row in (False, True):
        assert (await verify(database, every_row=every_row)).clean


@dataclass(frozen=True, slots=True)
class End:
    """What an attempt to end a hold was told, and the database's clock before it and after."""

    began: datetime
    outcome: str
    status: str
    ended_at: datetime
    done: datetime


async def ended(
    connection: Connection, holds: Sequence[tuple[Account, UUID]], action: str
) -> dict[Account, End]:
    """Capture some holds, or release them, in one batch."""
    accounts, hold_ids = zip(*holds, strict=True)
    ids, count = [each.id for each in accounts], len(holds)
    began = await connection.fetchval(NOW)
    row = await connection.fetchrow(END, ids, hold_ids, [action] * count, count)
    assert row is not None
    told = zip(row["outcomes"], row["statuses"], row["ended_ats"], strict=True)
    done = await connection.fetchval(NOW)
    ends = [End(began, outcome, status, ended_at, done) for outcome, status, ended_at in told]
    return dict(zip(accounts, ends, strict=True))


async def test_of_captures_releases_and_the_end_of_its_time_one_ends_a_hold(
    database: Database, database_url: str, admin: asyncpg.Connection
) -> None:
    accounts = await open_some(admin, *[HELD] * ACCOUNTS)
    ids, hold_ids = [account.id for account in accounts], [uuid4() for _ in accounts]
    same = [[each] * ACCOUNTS for each in (HELD, "h", b"h", 3600, "", None)]
    await admin.execute(HOLD, ids, hold_ids, *same)
    holds = list(zip(accounts, hold_ids, strict=True))
    batches = [holds[place : place + BATCH] for place in range(0, ACCOUNTS, BATCH)]
    told: dict[Account, list[End]] = {account: [] for account in accounts}

    async def contest(connection: Connection, place: int, begin: datetime, some: slice) -> None:
        """One batch after the other, each with all other callers."""
        for turn, batch in enumerate(batches[some]):
            await connection.execute(WAIT, begin + turn * 2 * EARLY / len(batches))
            action = ("capture", "release")[(place + turn) % 2]
            for account, end in (await ended(connection, batch, action)).items():
                told[account].append(end)

    async with sweeping(database_url, accounts), connections(database_url, CALLERS) as opened:
        # A few long before the instant, the others around it.
        long_ago = await admin.fetchval(NOW)
        await asyncio.gather(
            *(contest(each, place, long_ago, slice(1)) for place, each in enumerate(opened))
        )
        instant = await nearly_over(admin, "holds")
        begin = instant - EARLY
        await asyncio.gather(
            *(contest(each, place, begin, slice(1, None)) for place, each in enumerate(opened))
        )

    statuses = {await assert_ended_once(admin, each, told[each], instant) for each in accounts}
    assert "expired" in statuses
    assert statuses & {"captured", "released"}
    await assert_books_are_right(database, admin)


async def assert_ended_once(
    admin: asyncpg.Connection, account: Account, told: list[End], instant: datetime
) -> str:
    """How it ended: as all were told."""
    [(status, ended_at)] = {(each.status, each.ended_at) for each in told}
    first = [each for each in told if each.outcome == "ended"]
    assert (
        await admin.fetchval("SELECT status FROM holds WHERE account_id = $1", account.id)
    ) == status
    last = {"captured": "capture", "released": "release", "expired": "hold_expiry"}[status]
    rows = (await ledger(admin, account))[1:]
    assert [(row.type, row.amount) for row in rows] == [("hold", HELD), (last, HELD)]
    if status == "expired":
        assert (first, ended_at) == ([], instant)
        assert all(each.done >= instant for each in told), "it was over before its time"
    else:
        [winner] = first
        assert winner.began < instant
        assert ended_at < instant, "it was over"
    return str(status)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one request of each account, and the clock before all of them and after."""

    began: datetime
    outcomes: list[str]
    done: datetime


async def taken(connection: Connection, accounts: list[Account], name: str) -> Taken:
    """Take one credit of each account: for spends, or, by every other name, for generations."""
    began = await connection.fetchval(NOW)
    if len(name) % 2:
        requests: list[Request] = [(account, name, CONTENT) for account in accounts]
        outcomes = [each.outcome for each in await create_batch(connection, requests)]
    else:
        same = [[each] * len(accounts) for each in (1, name, CONTENT, None, None)]
        outcomes = await connection.fetchval(SPEND, [each.id for each in accounts], *same)
    return Taken(began, outcomes, await connection.fetchval(NOW))


async def test_of_spends_creates_and_the_end_of_the_only_grant_each_credit_goes_one_way(
    database: Database, database_url: str, admin: asyncpg.Connection
) -> None:
    accounts = await open_some(admin, *[0] * ACCOUNTS)
    await add_ending(admin, accounts, GRANTED, HOUR)

    async def contest(connection: Connection, place: int, instant: datetime) -> list[Taken]:
        """One batch after the other, from before the instant to after it."""
        told: list[Taken] = []
        await connection.execute(WAIT, instant - EARLY)
        while not told or told[-1].began < instant:
            told.append(await taken(connection, accounts, f"{place}" + "." * len(told)))
        return told

    async with sweeping(database_url, accounts), connections(database_url, CALLERS) as opened:
        first = [await taken(each, accounts, f"first {n}") for n, each in enumerate(opened)]
        instant = await nearly_over(admin, "grants")
        others = await asyncio.gather(
            *(contest(each, place, instant) for place, each in enumerate(opened))
        )

    paid: Counter[Account] = Counter()
    for each in itertools.chain(first, *others):
        for account, outcome in zip(accounts, each.outcomes, strict=True):
            is_over = outcome == "insufficient"
            assert is_over or outcome in {"spent", "created"}
            assert each.done >= instant if is_over else each.began < instant, (outcome, each)
            paid[account] += not is_over
    for account in accounts:
        _, *taking, last = await ledger(admin, account)
        assert [(row.type, row.amount) for row in taking] == [("deduction", 1)] * paid[account]
        assert (last.type, last.amount, last.balance_after) == ("expiry", GRANTED - len(taking), 0)
    early = "SELECT count(*) FROM movements WHERE type = 'expiry' AND created_at < $1"
    assert await admin.fetchval(early, instant) == 0
    await assert_books_are_right(database, admin)
