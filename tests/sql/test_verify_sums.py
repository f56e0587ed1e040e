"""`storecredit verify` recomputes the sums of hours and days, and names what does not agree."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import asyncpg
import pytest
import pytest_asyncio

from storecredit.ledger import verify as module
from storecredit.ledger.discrepancies import DiscrepancyKind, Report
from storecredit.ledger.owners import Account, OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from tests.conftest import connect_as_superuser
from tests.operator.random_ledger import make_ledger
from tests.passing_time import pass_time
from tests.sql.full_accounts import open_with_everything
from tests.sql.interface import deduct
from tests.sql.sound_books import ONE_LOOP, Opener, SoundBooks, filled_in, named
from tests.sql.tampering_with_sums import IN_SUMS, IN_SUMS_OF_ACCOUNTS

MONEY = """
    INSERT INTO storecredit.payments (provider, provider_transaction_id, account_id, paid_at, kind,
        credits, amount, currency, request_id, created_at)
    SELECT 'paddle', 'txn ' || n, account_id, now(), 'overage', 0, 100 * n, currency, 'txn ' || n,
        now() - make_interval(days => n)
    FROM (SELECT min(account_id) AS account_id FROM accounts) a, generate_series(0, 9) n,
        unnest(ARRAY['EUR', 'USD']) WITH ORDINALITY c (currency, place)
    WHERE n % 2 = place % 2;
    INSERT INTO storecredit.clawbacks (provider, adjustment_id, provider_transaction_id, action,
        amount, credits, taken, created_at)
    VALUES ('paddle', 'adj', 'txn 9', 'refund', 30, 0, 0, now() - interval '4 days')
"""


async def sum_all(connection: Connection) -> None:
    while await connection.fetchval("SELECT is_behind FROM sum_up('0', 1000, 50000)"):
        pass


async def open_summed(superuser: asyncpg.Connection) -> Sequence[Account]:
    """Owners with everything, long ago and now, money of some days, and all of it counted."""
    accounts = [await open_with_everything(superuser, kind) for kind in (*OwnerKind, *OwnerKind)]
    await pass_time(superuser, timedelta(days=3), accounts[0].id)
    await superuser.execute(MONEY)
    await sum_all(superuser)
    # Of one account something is not counted yet.
    assert await deduct(superuser, accounts[1], 1, "not counted")
    return accounts


@pytest.fixture(scope="module")
def opener() -> Opener:
    return open_summed


def kinds(report: Report) -> list[DiscrepancyKind]:
    return [found.kind for found in report.discrepancies]


@ONE_LOOP
@pytest.mark.parametrize("what", IN_SUMS)
async def test_tampering_with_sums_is_named(what: str, sound_books: SoundBooks) -> None:
    statement, expected = IN_SUMS[what]
    await sound_books.superuser.execute(statement)

    report = await verify(sound_books.database)

    assert kinds(report) == expected
    assert not report.clean
    assert all(found.detail for found in report.discrepancies)


@ONE_LOOP
@pytest.mark.parametrize("kind", OwnerKind)
@pytest.mark.parametrize("what", IN_SUMS_OF_ACCOUNTS)
async def test_tampering_with_what_is_counted_of_an_account_is_named(
    what: str, kind: OwnerKind, sound_books: SoundBooks
) -> None:
    account = next(each for each in sound_books.accounts[2:] if each.owner.kind is kind)
    statement, expected = IN_SUMS_OF_ACCOUNTS[what]
    await sound_books.superuser.execute(filled_in(statement, account))

    report = await verify(sound_books.database)

    assert set(kinds(report)) == expected
    if expected == {DiscrepancyKind.SUMMED_TOO_FAR}:
        assert named(report, account) == {(DiscrepancyKind.SUMMED_TOO_FAR, 99, None)}


@ONE_LOOP
async def test_what_differs_is_told_with_its_numbers(sound_books: SoundBooks) -> None:
    hour = await sound_books.superuser.fetchval(
        """UPDATE hourly_sums SET credits = credits + 5, generations = 7
           WHERE ctid = (SELECT ctid FROM hourly_sums WHERE type = 'refund' AND cause <> ''
                           AND owner_kind = 'user' ORDER BY hour LIMIT 1)
           RETURNING to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"')"""
    )
    (found,) = (await verify(sound_books.database)).discrepancies

    assert found.detail.startswith(f"the sums of the hour from {hour} say of refund of users for ")
    assert "movements, 7 of generations, " in found.detail
    assert (found.store_id, found.user_id, found.seq) == (None, None, None)


@ONE_LOOP
async def test_more_discrepancies_than_are_named_are_told_of(
    sound_books: SoundBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DISCREPANCIES_MAX", 3)
    await sound_books.superuser.execute("UPDATE hourly_sums SET movements = movements + 1")

    report = await verify(sound_books.database)

    assert kinds(report) == [DiscrepancyKind.SUM_MISMATCH] * 3
    assert report.truncated


@ONE_LOOP
async def test_recent_money_is_left_to_the_next_pass(sound_books: SoundBooks) -> None:
    tampered = "UPDATE daily_money SET paid = 1 WHERE day >= (now() AT TIME ZONE 'UTC')::date"
    assert await sound_books.superuser.execute(tampered) == "UPDATE 1"
    assert (await verify(sound_books.database)).clean
    await sum_all(sound_books.superuser)
    assert (
        await sound_books.superuser.fetchval("SELECT count(*) FROM daily_money WHERE paid = 1") == 0
    )


@pytest_asyncio.fixture
async def caller(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect_as_superuser(database_url)
    yield connection
    await connection.close()


async def test_nothing_is_named_while_movements_are_counted_and_made(
    database: Database, admin: asyncpg.Connection, caller: asyncpg.Connection
) -> None:
    seed = random.randrange(2**32)
    await make_ledger(admin, random.Random(seed))
    proven = asyncio.Event()

    async def go_on() -> int:
        """Movements that are made and counted, a few at a time, for as long as it is proven."""
        number = 0
        while not proven.is_set():
            number += 1
            await caller.execute(
                "SELECT FROM accounts a, deduct_from_accounts("
                "ARRAY[a.account_id], '{1}', ARRAY[$1], '{\"\"}')",
                f"on {number}",
            )
            await caller.fetch("SELECT * FROM sum_up('0', 2, 11)")
        return number

    going_on = asyncio.create_task(go_on())
    reports = [await verify(database) for _ in range(8)]
    proven.set()
    assert await going_on > 1
    # Its moments are drawn, which is no discrepancy but of what is made after it.
    of_sums = {DiscrepancyKind.SUM_MISMATCH, DiscrepancyKind.SUMMED_TOO_FAR}
    assert [set(kinds(report)) & of_sums for report in reports] == [set()] * 8, seed
