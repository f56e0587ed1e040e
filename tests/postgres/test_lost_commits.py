"""Group commit while connections are lost: what was asked for happens once, or is not claimed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import UUID

import asyncpg
import pytest

from storecredit.generation.lifecycle import (
    Created,
    CreateOutcome,
    GenerationInput,
    Lifecycle,
    Replayed,
)
from storecredit.ledger.credits import Credits
from storecredit.ledger.owners import Account, Owner
from storecredit.postgres.errors import DatabaseUnavailable, StatementRefused
from storecredit.postgres.group_commit import OutcomeUnknown
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from storecredit.stores.stores import Stores
from storecredit.telemetry import Metrics
from storecredit.users.users import Users
from tests.postgres.commits import Line, stopped_clock, until

OPENING = 1000
INPUT = GenerationInput(("https://images.example/a.png",), "a red hat")
UNDER_WAY = (
    "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'storecredit'"
    " AND pid <> pg_backend_pid()"
)

WAITS = f"{UNDER_WAY} AND wait_event_type = 'Lock'"


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    return Settings(data_dir=data_dir, commit_deadline_seconds=60)


@pytest.fixture
async def accounts(database: Database) -> list[Account]:
    """A store, an end user with its id, and another store."""
    credits = Credits(database)
    stores = [Owner.store(await _store(database, number)) for number in range(2)]
    namesake = Owner.user(stores[0].id)
    await Users(database, OPENING).ensure(namesake.id)
    owners = (stores[0], namesake, stores[1])
    return [Account(await credits.account_id(owner), owner) for owner in owners]


async def _store(database: Database, number: int) -> UUID:
    made = await Stores(database).create(
        name=f"Shop {number}",
        shop_domain=f"shop-{number}.example",
        credit_count=OPENING,
        request_id=f"opening-{number}",
    )
    return made.store_id


@asynccontextmanager
async def creating(database: Database, settings: Settings) -> AsyncIterator[Lifecycle]:
    lifecycle = Lifecycle(database, settings, Metrics())
    await lifecycle.open()
    try:
        yield lifecycle
    finally:
        await lifecycle.close()


@asynccontextmanager
async def creating_over(line: Line, settings: Settings) -> AsyncIterator[Lifecycle]:
    async with line.open():
        database = await Database.open(line.url)
        try:
            async with creating(database, settings) as lifecycle:
                yield lifecycle
        finally:
            await database.close()


async def create(lifecycle: Lifecycle, account: Account, *request_ids: str) -> list[CreateOutcome]:
    return await asyncio.gather(
        *(lifecycle.create(account, request_id, INPUT, None, 1) for request_id in request_ids)
    )


@dataclass(frozen=True, slots=True)
class Books:
    """What stands in the database about one account."""

    balance: int
    deducted: list[str]
    sessions: list[UUID]
    jobs: list[UUID]


async def read_back(admin: asyncpg.Connection, account: Account) -> Books:
    balance = await admin.fetchval(
        "SELECT balance_after FROM movements WHERE account_id = $1 ORDER BY seq DESC LIMIT 1",
        account.id,
    )
    deducted = await admin.fetch(
        """SELECT request_id FROM movements
           WHERE account_id = $1 AND type = 'deduction' AND amount = 1 ORDER BY request_id""",
        account.id,
    )
    sessions = await admin.fetch(
        """SELECT session_id FROM sessions
           WHERE account_id = $1 AND status = 'queued' ORDER BY session_id""",
        account.id,
    )
    jobs = await admin.fetch(
        """SELECT q.dedupe_key::uuid AS session_id FROM pgqueuer q
           JOIN sessions s ON s.session_id = q.dedupe_key::uuid
           WHERE s.account_id = $1 ORDER BY 1""",
        account.id,
    )
    return Books(
        balance,
        [row["request_id"] for row in deducted],
        [row["session_id"] for row in sessions],
        [row["session_id"] for row in jobs],
    )


async def expect_each_once(
    admin: asyncpg.Connection,
    account: Account,
    request_ids: Sequence[str],
    told: Sequence[CreateOutcome],
) -> None:
    """Every caller was told the session that its request made, and each made one."""
    assert all(isinstance(outcome, Created | Replayed) for outcome in told)
    sessions = sorted(
        outcome.session_id for outcome in told if isinstance(outcome, Created | Replayed)
    )
    assert await read_back(admin, account) == Books(
        OPENING - len(request_ids), sorted(request_ids), sessions, sessions
    )


async def test_backends_that_are_killed_again_and_again_under_load_lose_and_double_nothing(
    database: Database, settings: Settings, accounts: list[Account], admin: asyncpg.Connection
) -> None:
    killed = 0
    told: dict[Account, list[CreateOutcome]] = {account: [] for account in accounts}

    async def load(lifecycle: Lifecycle, account: Account) -> None:
        while killed < 15 and len(told[account]) < OPENING:
            names = [f"r-{len(told[account]) + place}" for place in range(5)]
            told[account] += await create(lifecycle, account, *names)

    async with creating(database, settings) as lifecycle:
        loads = [asyncio.create_task(load(lifecycle, account)) for account in accounts]
        while killed < 15:
            killed += len(await admin.fetch(f"SELECT pg_terminate_backend(pid) {UNDER_WAY}"))
            await asyncio.sleep(0.02)
        await asyncio.gather(*loads)

    for account, outcomes in told.items():
        names = [f"r-{place}" for place in range(len(outcomes))]
        await expect_each_once(admin, account, names, outcomes)


@pytest.mark.parametrize("ending", ["pg_terminate_backend", "pg_cancel_backend"])
async def test_a_batch_that_is_ended_halfway_several_times_is_settled_once(
    database: Database,
    database_url: str,
    settings: Settings,
    accounts: list[Account],
    admin: asyncpg.Connection,
    ending: str,
) -> None:
    names = ["a", "b", "c"]
    one_lane = settings.model_copy(update={"commit_lanes": 1})
    ended: set[object] = set()
    holder = await asyncpg.connect(database_url)
    await holder.execute("BEGIN; LOCK TABLE pgqueuer IN ACCESS EXCLUSIVE MODE")

    async def end_what_waits() -> bool:
        for row in await admin.fetch(f"SELECT pid, xact_start, {ending}(pid) {WAITS}"):
            ended.add((row["pid"], row["xact_start"]))
        return len(ended) >= 3

    async with creating(database, one_lane) as lifecycle:
        creates = [asyncio.create_task(create(lifecycle, each, *names)) for each in accounts]
        await until(end_what_waits)
        assert not any(each.done() for each in creates)
        await holder.close()
        for account, told in zip(accounts, await asyncio.gather(*creates), strict=True):
            await expect_each_once(admin, account, names, told)


@pytest.mark.parametrize("when, expected", [("before", Created), ("after", Replayed)])
async def test_a_connection_that_is_cut_around_commit_leaves_no_doubt(
    database_url: str,
    settings: Settings,
    accounts: list[Account],
    admin: asyncpg.Connection,
    tmp_path: Path,
    when: Literal["before", "after"],
    expected: type[Created | Replayed],
) -> None:
    line = Line(database_url, tmp_path)
    one_lane = settings.model_copy(update={"commit_lanes": 1})
    async with creating_over(line, one_lane) as lifecycle:
        (first,) = await create(lifecycle, accounts[0], "first")
        line.cut_around_commit = when
        told = await asyncio.gather(*(create(lifecycle, each, "a", "b") for each in accounts))
        assert line.cut.is_set()
    # Which of the two it is tells that the batch had been committed, or had not.
    assert {type(outcome) for outcomes in told for outcome in outcomes} == {expected}
    await expect_each_once(admin, accounts[0], ["first", "a", "b"], [first, *told[0]])
    for account, outcomes in zip(accounts[1:], told[1:], strict=True):
        await expect_each_once(admin, account, ["a", "b"], outcomes)


async def test_a_database_that_comes_back_in_time_keeps_nobody_in_doubt(
    database_url: str,
    settings: Settings,
    accounts: list[Account],
    admin: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    line = Line(database_url, tmp_path)
    line.is_away_after_the_cut = True
    async with creating_over(line, settings) as lifecycle:
        line.cut_around_commit = "after"
        first = asyncio.create_task(create(lifecycle, accounts[0], "a"))
        await line.cut.wait()
        meanwhile = asyncio.create_task(create(lifecycle, accounts[0], "b"))
        await asyncio.sleep(0.2)
        assert not first.done()
        assert not meanwhile.done()
        line.is_away = False
        told = [*await first, *await meanwhile]
    await expect_each_once(admin, accounts[0], ["a", "b"], told)


async def test_a_request_that_was_sent_to_a_database_that_stays_away_is_unknown(
    database_url: str,
    settings: Settings,
    accounts: list[Account],
    admin: asyncpg.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = stopped_clock(monkeypatch)
    line = Line(database_url, tmp_path)
    line.is_away_after_the_cut = True
    async with creating_over(line, settings) as lifecycle:
        line.cut_around_commit = "after"
        asked = asyncio.create_task(create(lifecycle, accounts[0], "a"))
        await line.cut.wait()
        clock.now += 2 * settings.commit_deadline_seconds
        with pytest.raises(OutcomeUnknown):
            await asked
        line.is_away = False
        told = await create(lifecycle, accounts[0], "a")
    assert isinstance(told[0], Replayed)
    await expect_each_once(admin, accounts[0], ["a"], told)


async def test_a_request_that_could_never_be_sent_is_unavailable_and_has_no_effect(
    database_url: str,
    settings: Settings,
    accounts: list[Account],
    admin: asyncpg.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = stopped_clock(monkeypatch)
    line = Line(database_url, tmp_path)
    async with creating_over(line, settings) as lifecycle:
        line.is_away = True
        asked = asyncio.create_task(create(lifecycle, accounts[0], "a"))
        await line.turned_away.wait()
        clock.now += 2 * settings.commit_deadline_seconds
        with pytest.raises(DatabaseUnavailable):
            await asked
        line.is_away = False
        told = await create(lifecycle, accounts[0], "b")
    await expect_each_once(admin, accounts[0], ["b"], told)


async def test_a_database_that_lets_nobody_in_for_a_while_is_waited_for(
    database: Database,
    database_url: str,
    server_url: str,
    settings: Settings,
    accounts: list[Account],
    admin: asyncpg.Connection,
) -> None:
    name = await admin.fetchval("SELECT current_database()")
    server = await asyncpg.connect(server_url)
    holder = await asyncpg.connect(database_url)
    await holder.execute("BEGIN; LOCK TABLE pgqueuer IN ACCESS EXCLUSIVE MODE")
    async with creating(database, settings) as lifecycle:
        creates = asyncio.create_task(create(lifecycle, accounts[0], "a", "b"))
        await until(lambda: admin.fetch(f"SELECT {WAITS}"))
        await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await admin.execute(f"SELECT pg_terminate_backend(pid) {WAITS}")
        await asyncio.sleep(0.2)
        assert not creates.done()
        await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await holder.close()
        await expect_each_once(admin, accounts[0], ["a", "b"], await creates)
    await server.close()


async def test_an_account_that_does_not_exist_is_refused_and_its_batch_mates_are_served(
    database: Database,
    database_url: str,
    settings: Settings,
    accounts: list[Account],
    admin: asyncpg.Connection,
) -> None:
    one_lane = settings.model_copy(update={"commit_lanes": 1})
    unknown = Account(0, Owner.store(UUID(int=7)))
    async with creating(database, one_lane) as lifecycle:
        first, refused, last, namesakes = await asyncio.gather(
            lifecycle.create(accounts[0], "a", INPUT, None, 1),
            lifecycle.create(unknown, "b", INPUT, None, 1),
            lifecycle.create(accounts[0], "c", INPUT, None, 1),
            lifecycle.create(accounts[1], "a", INPUT, None, 1),
            return_exceptions=True,
        )
    assert isinstance(refused, StatementRefused)
    assert isinstance(first, Created)
    assert isinstance(last, Created)
    assert isinstance(namesakes, Created)
    await expect_each_once(admin, accounts[0], ["a", "c"], [first, last])
    await expect_each_once(admin, accounts[1], ["a"], [namesakes])


async def test_stopping_does_not_wait_for_a_line_that_fell_silent(
    database_url: str,
    settings: Settings,
    accounts: list[Account],
    admin: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    line = Line(database_url, tmp_path)
    async with creating_over(line, settings) as lifecycle:
        told = await create(lifecycle, accounts[0], "a")
        line.speaks.clear()
    await expect_each_once(admin, accounts[0], ["a"], told)
