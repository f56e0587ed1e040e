"""Reads of holds, grants and what expires use their indexes; without any they cost nothing."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from storecredit.ledger.balances import balances_of
from storecredit.ledger.grants import Grants
from storecredit.ledger.hold_records import HoldRecords, HoldStatus
from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.servers import connect
from tests.passing_time import pass_time
from tests.sql.ledgers import open_account
from tests.sql.statement_costs import Recorder, rows_read

PAGE = 10
MANY = 20_000
FEW = 300
"""Accounts with a hold or two each, beside the one with many."""
pytestmark = pytest.mark.asyncio(loop_scope="module")

LARGE = 1_000_000
# Of the account with many all are captured but one in a thousand; the first three are still alive.
LOAD = f"""
    INSERT INTO holds (account_id, hold_id, seq, amount, expires_at, request_id, fingerprint,
            status, captured, ended_at)
        SELECT a, lpad(to_hex(i), 32, '0')::uuid, i, 1,
            now() + CASE WHEN i <= 3 THEN interval '1 hour' ELSE '-1 hour' END, 'r' || i, '',
            status, CASE status WHEN 'captured' THEN 1 WHEN 'held' THEN NULL ELSE 0 END,
            CASE WHEN status <> 'held' THEN now() END
        FROM (SELECT {LARGE} AS a, i FROM generate_series(1, {MANY}) i
              UNION ALL SELECT {LARGE} + n, i
              FROM generate_series(1, {FEW}) n, generate_series(1, 2) i) h,
            LATERAL (SELECT CASE WHEN i <= 6 THEN 'held' WHEN i % 1000 = 7 THEN 'released'
                WHEN i % 1000 = 8 THEN 'expired' ELSE 'captured' END AS status) s;
    ANALYZE holds;
"""


@pytest.fixture(scope="module")
def loaded_url(books_url: str) -> str:
    """The module's database, filled once."""

    async def load() -> None:
        connection = await connect(books_url, as_app=False)
        await connection.execute("ALTER TABLE holds SET (autovacuum_enabled = off)")
        await connection.execute(LOAD)
        await connection.close()

    asyncio.run(load())
    return books_url


@pytest_asyncio.fixture(loop_scope="module")
async def recorder(loaded_url: str) -> AsyncIterator[Recorder]:
    recorder = await Recorder.open(loaded_url)
    yield recorder
    await recorder.close()


async def read_by_last(recorder: Recorder) -> int:
    """The rows that the last statement reads, on a connection that has made up its mind."""
    query, args = recorder.sent
    async with recorder.acquire() as connection, connection.transaction():
        for _ in range(7):
            await connection.fetch(query, LARGE + 1, *args[1:])
        return await rows_read(connection, query, *args)


async def test_a_hold_is_found_by_its_id(recorder: Recorder) -> None:
    assert await HoldRecords(recorder).get(LARGE, UUID(int=MANY)) is not None
    assert await read_by_last(recorder) == 1


@pytest.mark.parametrize(
    "status, count",
    [(None, PAGE), (HoldStatus.HELD, 3), (HoldStatus.RELEASED, PAGE), (HoldStatus.EXPIRED, PAGE)],
)
async def test_a_page_of_holds_reads_no_more_than_it_has(
    recorder: Recorder, status: HoldStatus | None, count: int
) -> None:
    page = await HoldRecords(recorder).list(LARGE, status=status, limit=PAGE)
    assert len(page.items) == count
    # Of those that are open, all are read.
    assert await read_by_last(recorder) <= PAGE + 1 + 6


async def test_a_balance_of_which_nothing_ends_is_one_statement(
    recorder: Recorder, books: asyncpg.Connection
) -> None:
    plain, ending = [await open_account(books, OwnerKind.STORE, 10) for _ in range(2)]
    await balances_of(recorder, [plain.id])
    assert len(recorder.statements) == 1
    query, args = recorder.sent
    async with recorder.acquire() as connection, connection.transaction():
        assert await rows_read(connection, query, *args) == 2
    await books.execute(
        """SELECT add_to_account($1, 5, 'purchase', 'month',
               p_expires_at => now() + interval '1 month')""",
        ending.id,
    )
    both = await balances_of(recorder, [plain.id, ending.id])
    assert [len(both[account.id].expiring) for account in (plain, ending)] == [0, 1]
    query, args = recorder.sent
    assert args == ([ending.id],), "the other account is not looked at again"
    await pass_time(books, timedelta(days=32), ending.id)
    assert (await balances_of(recorder, [ending.id]))[ending.id].balance == 10


async def test_a_page_of_grants_reads_what_is_left_and_not_what_is_used_up(
    recorder: Recorder, books: asyncpg.Connection
) -> None:
    account = await open_account(books, OwnerKind.STORE)
    await books.execute(
        "SELECT add_to_account($1, 1, 'purchase', 'r' || i) FROM generate_series(1, 100) i",
        account.id,
    )
    await books.execute(
        "SELECT FROM deduct_from_accounts(ARRAY[$1::bigint], ARRAY[95], ARRAY['all'], ARRAY[''])",
        account.id,
    )
    await books.execute(
        "SELECT add_to_account($1, 1, 'purchase', 'last', p_priority => 1)", account.id
    )
    page = await Grants(recorder).list(account.id, limit=PAGE)
    assert [grant.request_id for grant in page.items] == [
        "last",
        *(f"r{number}" for number in range(96, 101)),
    ]
    query, args = recorder.sent
    async with recorder.acquire() as connection, connection.transaction():
        assert await rows_read(connection, query, *args) <= 50
