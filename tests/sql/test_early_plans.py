"""No look-up reads more pages when an account has grown, whatever ANALYZE saw before it did.

A connection keeps its plans for as long as nothing tells it that they are outdated. In an empty
table every way to a row costs the same, and most of them cost the whole table later. And where
every account has one movement, both keys of the ledger promise one row: by one of them that
becomes the account's whole ledger.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import asyncpg
import pytest
import pytest_asyncio

from storecredit.generation.sessions import Sessions
from storecredit.ledger.balances import balances_of
from storecredit.ledger.credits import Credits, MovementFilter
from storecredit.ledger.grants import Grants
from storecredit.ledger.hold_records import HoldRecords, HoldStatus
from storecredit.ledger.owners import Owner
from storecredit.ledger.spend_records import read_spend
from storecredit.postgres.servers import connect
from tests.conftest import SEARCH_PATH, Databases, connect_as_superuser
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
    scope="module",
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


@pytest.fixture(scope="module")
def seen_url(seen: Statistics, databases: Databases, template: str) -> Iterator[str]:
    """A database of its own for each of these."""
    with databases.copied(template, search_path=SEARCH_PATH) as url:
        yield url


class Grown(NamedTuple):
    """Accounts of which the first has grown, and connections that had planned everything before."""

    superuser: asyncpg.Connection
    accounts: list[int]
    calling: asyncpg.Connection
    """By the doors."""
    looking: asyncpg.Connection
    """With `look_ups`."""
    look_ups: list[Call]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grown(seen: Statistics, seen_url: str) -> AsyncIterator[Grown]:
    superuser = await connect_as_superuser(seen_url)
    accounts = await analysed(superuser, seen)
    calling, looking = await connect(seen_url), await connect(seen_url)
    await plan_doors(calling, accounts)
    look_ups = await looked_up(superuser, seen_url, accounts[0])
    # After five executions PostgreSQL may keep a plan for any arguments.
    for query, arguments in look_ups * 7:
        await looking.fetch(query, *arguments)
    await grow_by(superuser, accounts[0], seen.growth)
    yield Grown(superuser, accounts, calling, looking, look_ups)
    for connection in (superuser, calling, looking):
        await connection.close()


async def analysed(superuser: asyncpg.Connection, seen: Statistics) -> list[int]:
    """Accounts of a database that was analysed as they stand, or never, and will not be again."""
    for table in TABLES:
        await superuser.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    ids = await make_accounts(superuser, seen.accounts)
    await grow(superuser, ids, 1, seen.movements)
    if seen.is_analysed:
        await superuser.execute("ANALYZE")
    missing = max(0, BATCH + 1 - len(ids))
    return sorted(ids + await make_accounts(superuser, missing))


async def plan_doors(connection: asyncpg.Connection, accounts: list[int]) -> None:
    for batch in (accounts[:BATCH], accounts[:1]):
        for query, arguments in (
            *one_each(batch, "early"),
            *singular(batch[0], accounts[BATCH], "early"),
        ):
            async with undone(connection):
                # What is not there yet is refused, and has been looked for all the same.
                with suppress(asyncpg.PostgresError):
                    await connection.fetch(query, *arguments)


async def looked_up(superuser: asyncpg.Connection, url: str, account: int) -> list[Call]:
    """The statements that look an account's things up."""
    owner_id = await superuser.fetchval(
        "SELECT owner_id FROM accounts WHERE account_id = $1", account
    )
    recorder = await Recorder.open(url)
    await balances_of(recorder, [account])
    await Credits(recorder).balance(Owner.store(owner_id))
    await Sessions(recorder).get(account, session_of(account, "r2"))
    await Sessions(recorder).list(account, status=None, limit=PAGE, request_id="r2")
    wanted = MovementFilter(request_id="r2")
    await Credits(recorder).movements(Owner.store(owner_id), wanted, limit=PAGE)
    await read_spend(recorder, account, "r3")
    await HoldRecords(recorder).get(account, hold_of(account, "r4"))
    for status in HoldStatus:
        await HoldRecords(recorder).list(account, status=status, limit=PAGE)
    await Grants(recorder).list(account, limit=PAGE)
    await recorder.close()
    return recorder.statements


@pytest.mark.asyncio(loop_scope="module")
async def test_no_look_up_reads_more_when_an_account_has_grown(grown: Grown, seen_url: str) -> None:
    late = await connect(seen_url)
    for connection in (grown.looking, late):
        for query, arguments in grown.look_ups:
            assert_few(await buffers_read(connection, query, *arguments), PAGES_PER_ITEM_MAX, query)
    await late.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_no_door_reads_more_when_an_account_has_grown(grown: Grown, seen_url: str) -> None:
    admin, accounts = grown.superuser, grown.accounts
    first = accounts[0]
    # The others have what the doors look for.
    for account in accounts[1:BATCH]:
        await grow_by(admin, account, 2 * EVERY)
    late = await connect(seen_url)
    one = list(one_each([first] * BATCH, "one"))
    many = list(one_each(accounts[:BATCH], "many"))
    alone = [*one_each([first], "alone"), *singular(first, accounts[BATCH], "alone")]
    for connection in (grown.calling, late):
        await assert_few_of_each(admin, connection, [*one, *many], BATCH * PAGES_PER_ITEM_MAX)
        await assert_few_of_each(admin, connection, alone, PAGES_PER_ITEM_MAX)
    # As long as nothing ends by itself, much is never asked for.
    await expect_ends(admin)
    for connection in (grown.calling, late):
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


async def test_no_plan_is_compiled_whatever_it_is_said_to_cost(database_url: str) -> None:
    """Before 18, what reads a whole table although it should not is dear enough to be compiled."""
    compiling = f"{database_url}{'&' if '?' in database_url else '?'}jit=on"
    connection = await connect(compiling)
    await connection.execute("CREATE TEMP TABLE without_index AS SELECT 1")
    plan = await connection.fetch("EXPLAIN (ANALYZE) SELECT count(*) FROM without_index")
    await connection.close()
    assert [row[0] for row in plan if "JIT" in row[0]] == []
