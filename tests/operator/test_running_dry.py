"""Who runs dry is found by estimates, and told as the ledger is now."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.ledger.summing import Summing
from storecredit.operator.running_dry import RunningDry, StoreRunningDry
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from tests.sql.ledgers import open_account

ALWAYS = Settings(sums_interval_seconds=1e-6)
LONG_AGO = """
    UPDATE storecredit.movements SET created_at = created_at - interval '8 days'
    WHERE account_id = $1
"""
ESTIMATES_ARE_OLD = """
    UPDATE storecredit.summed_accounts
    SET estimated_at = estimated_at - interval '1 day', runs_dry_at = runs_dry_at - interval '1 day'
"""


async def opened(
    admin: asyncpg.Connection, *histories: tuple[int, int], kind: OwnerKind = OwnerKind.STORE
) -> list[Account]:
    """Owners who were given so many credits, and have spent so many."""
    accounts = []
    for given, spent in histories:
        accounts.append(await open_account(admin, kind, given))
        if spent:
            await spend(admin, accounts[-1], spent, "spent")
    return accounts


async def spend(admin: asyncpg.Connection, account: Account, credits: int, request_id: str) -> None:
    await admin.execute(
        "SELECT FROM deduct_from_accounts(ARRAY[$1::bigint], ARRAY[$2::int], ARRAY[$3], ARRAY[''])",
        account.id,
        credits,
        request_id,
    )


def days(told: Sequence[StoreRunningDry], accounts: Sequence[Account]) -> list[tuple[int, float]]:
    places: dict[UUID, int] = {each.owner.id: place for place, each in enumerate(accounts)}
    return [(places[each.store_id], each.days_left) for each in told]


async def test_the_first_to_run_dry_come_first_and_who_does_not_is_left_out(
    database: Database, admin: asyncpg.Connection
) -> None:
    accounts = await opened(
        admin, (100, 50), (100, 90), (100, 0), (100, 100), (1000, 1), (80, 20), (0, 0)
    )
    await opened(admin, (100, 90), kind=OwnerKind.USER)
    await Summing(database, ALWAYS).sum_up()

    told = await RunningDry(database).list(10)

    assert days(told, accounts) == [(1, 0.8), (0, 7.0), (5, 21.0)]
    assert [each.balance for each in told] == [10, 50, 60]
    assert {each.name for each in told} == {"Test"}
    assert days(await RunningDry(database).list(1), accounts) == [(1, 0.8)]


async def test_what_is_told_is_as_the_ledger_is_now(
    database: Database, admin: asyncpg.Connection
) -> None:
    accounts = await opened(admin, (100, 90), (100, 80), (100, 70))
    await Summing(database, ALWAYS).sum_up()
    await admin.execute("SELECT add_to_account($1, 10_000, 'purchase', 'new')", accounts[0].id)
    await spend(admin, accounts[2], 28, "more")

    told = await RunningDry(database).list(10)

    assert days(told, accounts) == [(2, 0.1), (1, 1.8)]


async def test_who_has_stopped_spending_is_forgotten_by_the_walk(
    database: Database, admin: asyncpg.Connection
) -> None:
    accounts = await opened(admin, (100, 90), (100, 80))
    summing, estimated = Summing(database, ALWAYS), "SELECT count(runs_dry_at) FROM summed_accounts"
    await summing.sum_up()
    assert await admin.fetchval(estimated) == 2
    await admin.execute(LONG_AGO, accounts[0].id)
    await summing.sum_up()
    assert await admin.fetchval(estimated) == 2, "it is not due yet"
    await admin.execute(ESTIMATES_ARE_OLD)
    await summing.sum_up()
    assert await admin.fetchval(estimated) == 1
    assert days(await RunningDry(database).list(10), accounts) == [(1, 1.8)]


async def test_the_largest_balance_is_estimated_like_any(
    database: Database, admin: asyncpg.Connection
) -> None:
    accounts = await opened(admin, (2, 1))
    await admin.execute(
        "UPDATE storecredit.movements SET balance_after = $2 WHERE account_id = $1",
        accounts[0].id,
        2**63 - 1,
    )
    await Summing(database, ALWAYS).sum_up()
    assert await RunningDry(database).list(10) == []
