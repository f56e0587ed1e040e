"""What a pass and the reads of the sums cost does not grow with the ledger.

Also by plans that were made while it was empty: PostgreSQL may keep them for a session's life.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg

from storecredit.ledger.owners import OwnerKind
from storecredit.operator.running_dry import RunningDry
from storecredit.operator.sums import Sums
from storecredit.postgres.servers import connect
from tests.sql.ledgers import open_account, open_some
from tests.sql.statement_costs import Recorder, buffers_read

TABLES: Final = ("accounts", "movements", "hourly_sums", "summed_accounts", "summing")
ACCOUNTS, LENGTH = 300, 400
MARGIN: Final = 512
"""Pages that a pass looks at behind the newest."""
GROW: Final = """
    INSERT INTO storecredit.accounts (owner_id, owner_kind)
        SELECT gen_random_uuid(), 'store' FROM generate_series(1, $1::int);
"""
FILL: Final = """
    INSERT INTO storecredit.movements
        (account_id, seq, type, amount, balance_after, spent_after, request_id)
    SELECT a.account_id, n, 'deduction', 1, 1, n, 'r' || n
    FROM storecredit.accounts a, generate_series(2, $1::int) n ORDER BY n"""
PASS: Final = "SELECT * FROM sum_up('0', 20, 50000)"
HOURS: Final = 20_000


async def test_a_pass_reads_the_newest_pages_and_the_next_accounts(
    admin: asyncpg.Connection, database_url: str
) -> None:
    for table in TABLES:
        await admin.execute(f"ALTER TABLE storecredit.{table} SET (autovacuum_enabled = off)")
    (account,) = await open_some(admin, 10)
    early = await connect(database_url)
    for _ in range(7):
        await early.fetch(PASS)
    await admin.execute(GROW, ACCOUNTS)
    await admin.execute(FILL, LENGTH)
    while await early.fetchval("SELECT is_behind FROM sum_up('0', 1000, 50000)"):
        pass
    for _ in range(3):  # until nobody's estimate is due
        await early.fetch(PASS)
    pages = await admin.fetchval(
        "SELECT pg_relation_size('movements') / current_setting('block_size')::int"
    )
    assert pages > 2 * MARGIN
    await admin.execute(
        "SELECT FROM deduct_from_accounts(ARRAY[$1::bigint], '{1}', '{new}', '{\"\"}')", account.id
    )

    late = await connect(database_url)
    for connection in (early, late):
        read = await buffers_read(connection, PASS)
        assert MARGIN < read["movements"] < MARGIN + 400
        # Per account of the walk, and of those in the newest pages: what is counted of them.
        assert read["movements_pkey"] < 200
        assert read["summed_accounts"] < 3 * ACCOUNTS
        assert read["hourly_sums"] < 50
        await connection.close()


async def test_an_hour_is_read_by_its_key(admin: asyncpg.Connection, database_url: str) -> None:
    recorder = await Recorder.open(database_url)
    sums = Sums(recorder)
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    day = begin + timedelta(days=100)
    await sums.hours(day, day + timedelta(days=1))
    await sums.days(day, day + timedelta(days=1))
    await sums.money_by_day(day.date(), day.date() + timedelta(days=1))
    await recorder.close()
    reads = [sent for sent in recorder.statements if "movement_types" not in sent[0]]
    assert len(reads) == 3
    early = await connect(database_url)
    for query, arguments in reads * 7:
        await early.fetch(query, *arguments)
    await admin.execute(
        """INSERT INTO storecredit.hourly_sums
           SELECT $1::timestamptz + n * interval '1 hour', 1, 1, 1, 'store', 'deduction'
           FROM generate_series(0, $2::int - 1) n""",
        begin,
        HOURS,
    )
    await admin.execute(
        """INSERT INTO storecredit.daily_money
           SELECT date '2000-01-01' + n, 1, 1, 'USD' FROM generate_series(1, $1::int) n""",
        HOURS,
    )
    late = await connect(database_url)
    for connection in (early, late):
        for query, arguments in reads:
            read = await buffers_read(connection, query, *arguments)
            assert read["hourly_sums"] + read["hourly_sums_pkey"] < 40
            assert read["daily_money"] + read["daily_money_pkey"] < 40
        await connection.close()


async def test_who_runs_dry_is_found_by_an_index(
    admin: asyncpg.Connection, database_url: str
) -> None:
    recorder = await Recorder.open(database_url)
    await RunningDry(recorder).list(1)
    await recorder.close()
    [(query, arguments)] = [sent for sent in recorder.statements if "runs_dry_at" in sent[0]]
    early = await connect(database_url)
    for _ in range(7):
        await early.fetch(query, *arguments)
    for _ in range(20):
        await open_account(admin, OwnerKind.STORE)
    await admin.execute(GROW, 5000)
    await admin.execute(
        """INSERT INTO storecredit.summed_accounts
               (account_id, owner_kind, owner_id, seq, runs_dry_at)
           SELECT account_id, owner_kind, owner_id, 1, now() + account_id * interval '1 day'
           FROM storecredit.accounts
           ON CONFLICT (account_id) DO UPDATE SET runs_dry_at = excluded.runs_dry_at"""
    )
    late = await connect(database_url)
    for connection in (early, late):
        read = await buffers_read(connection, query, *arguments)
        assert read["accounts_that_run_dry"] < 10
        assert read["summed_accounts"] < 40
        assert read["accounts"] + read["accounts_pkey"] < 100
        await connection.close()
