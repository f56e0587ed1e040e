"""No look-up reads more pages when an account has grown, whatever ANALYZE saw before it did.

A connection keeps its plans for as long as nothing tells it that they are outdated. In an empty
table every way to a row costs the same, and most of them cost the whole table later. And where
every account has one movement, both keys of the ledger promise one row: by one of them that
becomes the account's whole ledger.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import asyncpg
import pytest

from storecredit.generation.sessions import Sessions
from storecredit.ledger.balances import balances_of
from storecredit.ledger.credits import Credits, MovementFilter
from storecredit.ledger.grants import Grants
from storecredit.ledger.hold_records import HoldRecords, HoldStatus
from storecredit.ledger.owners import Owner
from storecredit.ledger.spend_records import read_spend
from storecredit.postgres.servers import connect
from tests.sql.ledger_doors import one_each, singular
from tests.sql.ledger_growth import (
    EVERY,
    TABLES,
    expect_ends,
    grow,
    hold_of,
    make_accounts,
    session_of,
)
from tests.sql.statement_costs import Call, Recorder, buffers_of_each, buffers_read, undone

CALLS_BETWEEN_VACUUMS = 20
BATCH = 10
PAGES_PER_ITEM_MAX = 30
"""Of one table or index: three levels, for at most eight look-ups of an item, and room. A plan that
walks through a grown account reads hundreds."""
PAGES_OF_ENDS_MAX = 60
"""Besides, where something of an account has ended: what is written of it, and what earlier calls,
which were undone, have left of the account's row."""
PAGE = 10
"""Rows of a list."""


class Statistics(NamedTuple):
    """What ANALYZE saw, if it ran: so many accounts of so many movements; one grows by so many."""

    accounts: int
    movements: int
    growth: int = 10_000
    is_analysed: bool = True


@pytest.fixture(
    params=[
        Statistics(0, 0, is_analysed=False),
        Statistics(0, 0),
        Statistics(1, 1),
        Statistics(100, 1),
        Statistics(2000, 1, growth=100_000),
        Statistics(200, 10),
        Statistics(5, 1000),
        Statistics(1, 100_000),
    ],
    ids=lambda seen: f"{seen.accounts} of {seen.movements}" if seen.is_analysed else "never",
)
def seen(request: pytest.FixtureRequest) -> Statistics:
    """What ANALYZE saw, and how much an account grows after it."""
    statistics: Statistics = request.param
    return statistics


@pytest.fixture
async def accounts(seen: Statistics, admin: asyncpg.Connection) -> list[int]:
    """Accounts of a database that was analysed as they stand, or never, and will not be again."""
    for table in TABLES:
        await admin.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    ids = await make_accounts(admin, seen.accounts)
    await grow(admin, ids, 1, seen.movements)
    if seen.is_analysed:
        await admin.execute("ANALYZE")
    missing = max(0, BATCH + 1 - len(ids))
    return sorted(ids + await make_accounts(admin, missing))


@pytest.fixture
async def early(database_url: str, accounts: list[int]) -> AsyncIterator[asyncpg.Connection]:
    """A connection that has planned everything before the account grew."""
    connection = await connect(database_url)
    for batch in (accounts[:BATCH], accounts[:1]):
        for query, arguments in (
            *one_each(batch, "early"),
            *singular(batch[0], accounts[BATCH], "early"),
        ):
            async with undone(connection):
                # What is not there yet is refused, and has been looked for all the same.
                with suppress(asyncpg.PostgresError):
                    await connection.fetch(query, *arguments)
    yield connection
    await connection.close()


async def test_no_door_reads_more_when_an_account_has_grown(
    early: asyncpg.Connection,
    accounts: list[int],
    seen: Statistics,
    admin: asyncpg.Connection,
    database_url: str,
) -> None:
    first = accounts[0]
    await grow_by(admin, first, seen.growth)
    # The others have what the doors look for.
    for account in accounts[1:BATCH]:
        await grow_by(admin, account, 2 * EVERY)
    late = await connect(database_url)
    one = list(one_each([first] * BATCH, "one"))
    many = list(one_each(accounts[:BATCH], "many"))
    alone = [*one_each([first], "alone"), *singular(first, accounts[BATCH], "alone")]
    for connection in (early, late):
        await assert_few_of_each(admin, connection, [*one, *many], BATCH * PAGES_PER_ITEM_MAX)
        await assert_few_of_each(admin, connection, alone, PAGES_PER_ITEM_MAX)
    # As long as nothing ends by itself, much is never asked for.
    await expect_ends(admin)
    for connection in (early, late):
        await assert_few_of_each(admin, connection, alone, PAGES_PER_ITEM_MAX + PAGES_OF_ENDS_MAX)
    await late.close()


async def assert_few_of_each(
    admin: asyncpg.Connection, connection: asyncpg.Connection, calls: Sequence[Call], most: int
) -> None:
    for begin in range(0, len(calls), CALLS_BETWEEN_VACUUMS):
        # A call that was undone leaves a dead version of its account, which others would read.
        await admin.execute("VACUUM accounts")
        await admin.execute("SELECT pg_stat_force_next_flush()")
        few = calls[begin : begin + CALLS_BETWEEN_VACUUMS]
        async for call, read in buffers_of_each(connection, few):
            assert_few(read, most, str(call))


async def grow_by(admin: asyncpg.Connection, account: int, count: int) -> None:
    has = await admin.fetchval("SELECT count(*) FROM movements WHERE account_id = $1", account)
    await grow(admin, [account], has + 1, has + count)


def assert_few(read: dict[str, int], most: int, query: str) -> None:
    """No table or index had more of its pages read than that, and some were."""
    assert not {name: pages for name, pages in read.items() if pages > most}, query
    assert sum(read.values()) > 0, query


async def sent_by(database_url: str, read: Callable[[Recorder], Awaitable[None]]) -> list[Call]:
    """The statements that reading sends."""
    recorder = await Recorder.open(database_url)
    await read(recorder)
    await recorder.close()
    return recorder.statements


async def test_no_look_up_reads_more_when_an_account_has_grown(
    accounts: list[int], seen: Statistics, admin: asyncpg.Connection, database_url: str
) -> None:
    first = accounts[0]
    owner_id = await admin.fetchval("SELECT owner_id FROM accounts WHERE account_id = $1", first)

    async def look_up(recorder: Recorder) -> None:
        await balances_of(recorder, [first])
        await Credits(recorder).balance(Owner.store(owner_id))
        await Sessions(recorder).get(first, session_of(first, "r2"))
        await Sessions(recorder).list(first, status=None, limit=PAGE, request_id="r2")
        wanted = MovementFilter(request_id="r2")
        await Credits(recorder).movements(Owner.store(owner_id), wanted, limit=PAGE)
        await read_spend(recorder, first, "r3")
        await HoldRecords(recorder).get(first, hold_of(first, "r4"))
        for status in HoldStatus:
            await HoldRecords(recorder).list(first, status=status, limit=PAGE)
        await Grants(recorder).list(first, limit=PAGE)

    statements = await sent_by(database_url, look_up)
    early, late = await connect(database_url), await connect(database_url)
    # After five executions PostgreSQL may keep a plan for any arguments.
    for query, arguments in statements * 7:
        await early.fetch(query, *arguments)
    await grow_by(admin, first, seen.growth)
    for connection in (early, late):
        for query, arguments in statements:
            assert_few(await buffers_read(connection, query, *arguments), PAGES_PER_ITEM_MAX, query)
    await early.close()
    await late.close()


async def test_no_plan_is_compiled_whatever_it_is_said_to_cost(database_url: str) -> None:
    """Before 18, what reads a whole table although it should not is dear enough to be compiled."""
    compiling = f"{database_url}{'&' if '?' in database_url else '?'}jit=on"
    connection = await connect(compiling)
    await connection.execute("CREATE TEMP TABLE without_index AS SELECT 1")
    plan = await connection.fetch("EXPLAIN (ANALYZE) SELECT count(*) FROM without_index")
    await connection.close()
    assert [row[0] for row in plan if "JIT" in row[0]] == []
