"""What accounts had at a moment, found by halves in their ledgers."""

import random
from datetime import UTC, datetime, timedelta

import asyncpg

from tests.sql.statement_costs import rows_read

START = datetime(2026, 1, 1, tzinfo=UTC)
MOVEMENTS = 1000
LOOK_UPS_MAX = 30
"""Of a thousand movements: ten halves, and the newest one where each function begins."""

LEDGER = """
INSERT INTO movements
    (account_id, seq, created_at, amount, balance_after, spent_after, type, request_id)
SELECT $1, i, $2::timestamptz + make_interval(mins => i), 1, 5000 - i, i, 'deduction', 'r' || i
FROM generate_series(1, $3::int) i"""


async def test_every_moment_of_a_ledger_is_found(admin: asyncpg.Connection) -> None:
    await admin.execute(LEDGER, 7, START, MOVEMENTS)
    chance = random.Random(12)
    minutes = [0.0, 0.9, 1.0, 1.5, MOVEMENTS - 0.1, MOVEMENTS, MOVEMENTS + 9]
    minutes += [chance.uniform(0, MOVEMENTS) for _ in range(50)]
    for minute in minutes:
        at = START + timedelta(minutes=minute)
        seq = min(int(minute), MOVEMENTS)
        found = await admin.fetchrow(
            "SELECT seq_at(7, $1), balance_at(7, $1), spent_since(7, $1)", at
        )
        assert found is not None
        assert tuple(found) == (seq, 5000 - seq if seq else 0, MOVEMENTS - seq), minute


async def test_an_account_that_nothing_moved_has_no_past(admin: asyncpg.Connection) -> None:
    found = await admin.fetchrow(
        "SELECT seq_at(8, $1), balance_at(8, $1), spent_since(8, $1)", START
    )
    assert found is not None
    assert tuple(found) == (0, 0, 0)


async def test_a_look_into_the_past_reads_few_rows_of_a_long_ledger(
    admin: asyncpg.Connection,
) -> None:
    await admin.execute(LEDGER, 7, START, MOVEMENTS)
    for function in ("seq_at", "balance_at", "spent_since"):
        for minute in (-1, 3, MOVEMENTS // 2, MOVEMENTS + 1):
            at = START + timedelta(minutes=minute)
            read = await rows_read(admin, f"SELECT {function}(7, $1)", at)
            assert read <= LOOK_UPS_MAX, (function, minute)
