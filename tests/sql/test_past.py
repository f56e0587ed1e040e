"""What accounts had at a moment, found by halves in their ledgers."""

import random
from datetime import UTC, datetime, timedelta

import asyncpg

from storecredit.ledger.owners import OwnerKind
from tests.passing_time import pass_time
from tests.sql.full_grants import hold, spend
from tests.sql.ledgers import open_account
from tests.sql.statement_costs import rows_read

START = datetime(2026, 1, 1, tzinfo=UTC)
MOVEMENTS = 1000
MOMENT = timedelta(microseconds=1)
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


async def test_what_had_ended_by_a_moment_counts_as_ended_whenever_it_was_written(
    admin: asyncpg.Connection,
) -> None:
    account = await open_account(admin, OwnerKind.STORE, 10)
    for hours, kept in ((1, None), (2, 3), (30, None)):
        await admin.execute(
            """SELECT add_to_account($1, 5, 'purchase', 'r' || $2::int, p_expires_at =>
                   now() + make_interval(hours => $2), p_rollover_max => $3::int,
                   p_rollover_until => now() + make_interval(hours => 10 * $3::int))""",
            account.id,
            hours,
            kept,
        )
    await hold(admin, account, 2, "until 2:30", 9000)
    started_at = await admin.fetchval("SELECT now()")
    balances = {0.1: 23, 1.5: 20, 2.2: 18, 3.0: 20}
    await pass_time(admin, timedelta(hours=4), account.id)

    async def told(by: str) -> dict[float, int]:
        """The balances after so many hours."""
        return {
            after: await admin.fetchval(
                f"SELECT {by}", account.id, started_at + timedelta(hours=after - 4)
            )
            for after in balances
        }

    assert await told("(state_of_account($1, $2)).balance") == balances
    await admin.execute("SELECT expire_credits(ARRAY[$1::bigint])", account.id)
    assert await told("balance_at($1, $2)") == balances
    await spend(admin, account, 1, "work")
    assert await told("balance_at($1, $2)") == balances


async def test_what_ends_at_a_moment_has_ended_by_it(admin: asyncpg.Connection) -> None:
    account = await open_account(admin, OwnerKind.STORE, 10)
    await admin.execute(
        """SELECT add_to_account(
               $1, 5, 'purchase', 'r', p_expires_at => now() + interval '1 hour')""",
        account.id,
    )
    await pass_time(admin, timedelta(hours=2), account.id)
    await admin.execute("SELECT expire_credits(ARRAY[$1::bigint])", account.id)
    ends_at = await admin.fetchval("SELECT max(expires_at) FROM grants")
    for at, balance in ((ends_at - MOMENT, 15), (ends_at, 10)):
        found = await admin.fetchval("SELECT balance_at($1, $2)", account.id, at)
        assert found == balance
