"""The sweep of the ledger: it writes what has ended where nobody else comes by."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from storecredit.ledger.balances import balances_of
from storecredit.ledger.expiry import ExpirySweep
from storecredit.ledger.owners import Account, OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from storecredit.telemetry import Metrics
from tests.passing_time import pass_time
from tests.sql.ledgers import ledger, open_account

HOUR = timedelta(hours=1)


@pytest.fixture
async def sweeps(database: Database) -> AsyncIterator[list[ExpirySweep]]:
    """As two processes have one each."""
    opened = [ExpirySweep(database, Settings(), Metrics()) for _ in range(2)]
    for sweep in opened:
        await sweep.open()
    yield opened
    for sweep in opened:
        await sweep.close()


async def ending(admin: asyncpg.Connection, *, grants: int = 1, holds: int = 0) -> Account:
    """An account whose grants and holds end in an hour."""
    account = await open_account(admin, OwnerKind.STORE, 100)
    for number in range(grants):
        await admin.execute(
            "SELECT add_to_account($1, 10, 'purchase', $2, p_expires_at => now() + $3::interval)",
            account.id,
            f"grant {number}",
            HOUR,
        )
    for number in range(holds):
        await admin.execute(
            """SELECT * FROM hold_credits(ARRAY[$1::bigint], ARRAY[$2::uuid], ARRAY[5], ARRAY[$3],
                   ARRAY['\\x00'::bytea], ARRAY[3600], ARRAY[''], ARRAY[NULL::json])""",
            account.id,
            uuid4(),
            f"hold {number}",
        )
    return account


async def types_of(admin: asyncpg.Connection, account: Account) -> list[str]:
    return [row.type for row in await ledger(admin, account)]


async def test_what_has_ended_is_written_once_and_what_has_not_is_not(
    sweeps: list[ExpirySweep], database: Database, admin: asyncpg.Connection
) -> None:
    accounts = [await ending(admin, grants=2, holds=1) for _ in range(3)]
    assert [await sweep.sweep() for sweep in sweeps] == [0, 0]
    await pass_time(admin, HOUR, *(account.id for account in accounts[:2]))
    told = await balances_of(database, [account.id for account in accounts])
    # At once, as two processes do.
    settled = await asyncio.gather(*(sweep.sweep() for sweep in sweeps))
    assert sum(settled) >= 2
    for account in accounts[:2]:
        ended = (await types_of(admin, account))[4:]
        assert sorted(ended) == ["expiry", "expiry", "hold_expiry"]
    assert "expiry" not in await types_of(admin, accounts[2])
    read = await balances_of(database, [account.id for account in accounts])
    for account in accounts:
        now, before = read[account.id], told[account.id]
        assert (now.balance, now.held, now.total_expired, now.total_added) == (
            before.balance,
            before.held,
            before.total_expired,
            before.total_added,
        )
    assert await sweeps[0].sweep() == 0
    assert await admin.fetchval("SELECT count(*) FROM accounts WHERE next_expiry <= now()") == 0
    assert (await verify(database)).clean


async def test_an_account_that_somebody_holds_up_keeps_no_other_waiting(
    sweeps: list[ExpirySweep], database_url: str, admin: asyncpg.Connection
) -> None:
    accounts = [await ending(admin) for _ in range(3)]
    await pass_time(admin, HOUR)
    somebody = await asyncpg.connect(database_url)
    try:
        async with somebody.transaction():
            await somebody.execute(
                "SELECT FROM storecredit.accounts WHERE account_id = $1 FOR UPDATE", accounts[1].id
            )
            assert await sweeps[0].sweep() == 2
        for account, is_free in zip(accounts, (True, False, True), strict=True):
            assert ("expiry" in await types_of(admin, account)) == is_free
    finally:
        await somebody.close()
    assert await sweeps[0].sweep() == 1


async def test_an_account_that_cannot_be_settled_keeps_no_other_from_it(
    sweeps: list[ExpirySweep], admin: asyncpg.Connection
) -> None:
    accounts = [await ending(admin) for _ in range(3)]
    await pass_time(admin, HOUR)
    # The expiry of its grant stands there already, and changed nothing: it cannot be written again.
    await admin.execute(
        """INSERT INTO movements (account_id, seq, amount, balance_after, spent_after, type,
               request_id, grants_after)
           SELECT account_id, 3, 10, balance_after, 0, 'expiry', 'grant:2', grants_after
           FROM movements WHERE account_id = $1 AND seq = 2""",
        accounts[1].id,
    )
    assert await sweeps[0].sweep() == 2
    for account in (accounts[0], accounts[2]):
        assert (await types_of(admin, account))[2:] == ["expiry"]
    assert len(await types_of(admin, accounts[1])) == 3
