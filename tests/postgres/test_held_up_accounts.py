"""Somebody else holds what a batch needs: who asks for it waits, and nobody else does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from storecredit.generation.lifecycle import Created, GenerationInput, Lifecycle
from storecredit.ledger.credits import Credits
from storecredit.ledger.owners import Account, Owner
from storecredit.postgres import group_commit
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from storecredit.stores.stores import Stores
from storecredit.telemetry import Metrics
from tests.postgres.commits import WAIT_MAX_SECONDS, stopped_clock, until

OPENING = 100
INPUT = GenerationInput(("https://images.example/a.png",), "a red hat")
OURS = (
    "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'storecredit'"
)


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here holds a lock for a moment only."""
    monkeypatch.setattr(group_commit, "LOCK_WAIT_MS", 100)


@pytest.fixture
async def accounts(database: Database) -> list[Account]:
    """Four stores, which share the one lane."""
    return [await store(database, number) for number in range(4)]


async def store(database: Database, number: int) -> Account:
    made = await Stores(database).create(
        name=f"Shop {number}",
        shop_domain=f"shop-{number}.example",
        credit_count=OPENING,
        request_id=f"opening-{number}",
    )
    owner = Owner.store(made.store_id)
    return Account(await Credits(database).account_id(owner), owner)


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    return Settings(data_dir=data_dir, commit_lanes=1, commit_deadline_seconds=WAIT_MAX_SECONDS)


@asynccontextmanager
async def creating(database: Database, settings: Settings) -> AsyncIterator[Lifecycle]:
    lifecycle = Lifecycle(database, settings, Metrics())
    await lifecycle.open()
    try:
        async with asyncio.timeout(2 * WAIT_MAX_SECONDS):
            yield lifecycle
    finally:
        await lifecycle.close()


@asynccontextmanager
async def held(url: str, statement: str) -> AsyncIterator[None]:
    """A forgotten transaction of somebody else's."""
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(f"SET search_path = storecredit; {statement}")
    try:
        yield
    finally:
        await transaction.rollback()
        await connection.close()


def holding(accounts: Sequence[Account]) -> str:
    ids = ", ".join(str(account.id) for account in accounts)
    return f"SELECT FROM accounts WHERE account_id IN ({ids}) FOR UPDATE"


def ask(lifecycle: Lifecycle, account: Account, request_id: str) -> asyncio.Task[object]:
    return asyncio.create_task(lifecycle.create(account, request_id, INPUT, None, 1))


async def charged(admin: asyncpg.Connection, account: Account) -> list[str]:
    rows = await admin.fetch(
        """SELECT request_id FROM storecredit.movements
           WHERE account_id = $1 AND type = 'deduction' ORDER BY request_id""",
        account.id,
    )
    return [row["request_id"] for row in rows]


@pytest.mark.parametrize("count", [1, 2])
async def test_those_whose_accounts_are_free_are_served_beside_those_whose_are_not(
    database: Database,
    database_url: str,
    settings: Settings,
    accounts: list[Account],
    admin: asyncpg.Connection,
    count: int,
) -> None:
    blocked, free = accounts[:count], accounts[count:]
    async with creating(database, settings) as lifecycle:
        async with held(database_url, holding(blocked)):
            waiting = [ask(lifecycle, each, f"w-{n}") for each in blocked for n in range(3)]
            together = [ask(lifecycle, each, "together") for each in free]
            assert {type(each) for each in await asyncio.gather(*together)} == {Created}
            for turn in range(20):
                asked = [ask(lifecycle, each, f"r-{turn:02}") for each in free]
                waiting += [ask(lifecycle, each, f"w-{turn + 3}") for each in blocked]
                assert {type(each) for each in await asyncio.gather(*asked)} == {Created}
            assert not any(each.done() for each in waiting)
            # The pool's, the lane's and the siding's; what waits in the database is not given up
            # and asked again beside itself.
            assert await admin.fetchval(f"SELECT count(*) {OURS}") <= 4
        assert {type(each) for each in await asyncio.gather(*waiting)} == {Created}
    for account in blocked:
        assert await charged(admin, account) == sorted(f"w-{n}" for n in range(23))
    for account in free:
        assert await charged(admin, account) == [*(f"r-{n:02}" for n in range(20)), "together"]


async def test_who_is_held_up_past_the_deadline_is_told_that_nothing_was_done(
    database: Database,
    database_url: str,
    settings: Settings,
    accounts: list[Account],
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = stopped_clock(monkeypatch)
    async with creating(database, settings) as lifecycle:
        async with held(database_url, holding(accounts[:1])):
            for request_id in ("a", "b"):
                asked = ask(lifecycle, accounts[0], request_id)
                await until(lambda: admin.fetch(f"SELECT {OURS} AND wait_event_type = 'Lock'"))
                clock.now += 2 * WAIT_MAX_SECONDS
                with pytest.raises(DatabaseUnavailable):
                    await asked
            assert isinstance(await lifecycle.create(accounts[1], "c", INPUT, None, 1), Created)
        assert isinstance(await lifecycle.create(accounts[0], "d", INPUT, None, 1), Created)
    assert await charged(admin, accounts[0]) == ["d"]


async def test_an_account_that_is_free_again_shares_batches_as_before(
    database: Database, database_url: str, settings: Settings, accounts: list[Account]
) -> None:
    async with creating(database, settings) as lifecycle:
        async with held(database_url, holding(accounts[:1])):
            waiting = ask(lifecycle, accounts[0], "a")
            assert isinstance(await lifecycle.create(accounts[1], "b", INPUT, None, 1), Created)
        assert isinstance(await waiting, Created)
        async with held(database_url, holding(accounts[1:2])):
            # In the lane, which the first one is back in, and waits there for the second.
            others = [ask(lifecycle, each, "c") for each in accounts[:2]]
            assert isinstance(await others[0], Created)
        assert isinstance(await others[1], Created)


async def test_a_table_that_is_locked_as_a_whole_holds_everybody_up_and_loses_nobody(
    database: Database,
    database_url: str,
    settings: Settings,
    accounts: list[Account],
    admin: asyncpg.Connection,
) -> None:
    async with creating(database, settings) as lifecycle:
        async with held(database_url, "LOCK TABLE movements IN ACCESS EXCLUSIVE MODE"):
            asked = [ask(lifecycle, each, f"r-{n}") for each in accounts for n in range(5)]

            attempts: set[object] = set()

            async def several_were_made() -> bool:
                rows = await admin.fetch(f"SELECT xact_start {OURS} AND wait_event_type = 'Lock'")
                attempts.update(row["xact_start"] for row in rows)
                return len(attempts) >= 3

            await until(several_were_made)
            assert not any(each.done() for each in asked)
        assert {type(each) for each in await asyncio.gather(*asked)} == {Created}
    for account in accounts:
        assert await charged(admin, account) == [f"r-{n}" for n in range(5)]
