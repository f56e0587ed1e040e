"""The function that books a subscription's payments: what it writes, and whatever meets it."""

import asyncio
from datetime import datetime

import asyncpg
import pytest

from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from tests.billing.everywhere import tamper
from tests.billing.sql_sales import MONTH, NOON, balance_of, everything, open_owner, subscribe


async def begun(database: Database) -> Owner:
    """A store that has subscribed to starter, for 350 credits and 49 dollars."""
    owner = await open_owner(database, OwnerKind.STORE)
    await subscribe(database, owner, "txn_0", "starter", credits=350, amount=4900)
    await database.fetchval(
        """SELECT apply_subscription_state(
               'paddle', 'sub_1', 'txn_0', NULL, NULL, 'active', $1, $1, $2, '{}')""",
        NOON,
        NOON + MONTH,
    )
    booked = await database.fetchval(
        "SELECT book_checkout('paddle', 'txn_0', 'sub_1', $1, 4900, 'USD', $1)", NOON
    )
    assert booked == "booked"
    return owner


async def pay(
    database: Database,
    transaction_id: str,
    credits: int,
    amount: int = 0,
    period: datetime | None = None,
) -> str:
    outcome: str = await database.fetchval(
        """SELECT book_subscription_payment(
               'paddle', $1, 'sub_1', $2, 'scale', $3, $4, 'USD', now())""",
        *(transaction_id, period, credits, amount),
    )
    return outcome


async def refund(database: Database, adjustment_id: str, transaction_id: str) -> str:
    outcome: str = await database.fetchval(
        "SELECT outcome FROM book_adjustment('paddle', $1, $2, 'refund', true, 0, 'USD')",
        *(adjustment_id, transaction_id),
    )
    return outcome


async def test_whatever_is_booked_at_once_is_booked_once_and_holds_nobody_up(
    database: Database, admin: asyncpg.Connection
) -> None:
    owner = await begun(database)
    calls = [
        *(pay(database, "txn_up", 1450, 15000) for _ in range(3)),
        *(pay(database, "txn_down", -1450) for _ in range(3)),
        *(pay(database, f"txn_{place}", 350, 4900, NOON + MONTH) for place in (1, 2, 1)),
        *(refund(database, "adj_1", "txn_0") for _ in range(3)),
    ]

    outcomes = await asyncio.gather(*calls)

    assert set(outcomes) == {"booked", "already_booked", "period_paid"}
    # 350 came and were refunded, 350 came for the next month, 1,450 came and went.
    assert await balance_of(admin, owner) == 350
    assert await admin.fetchval("SELECT sum(credits - taken) FROM clawbacks") == 0
    assert (await verify(database, every_row=True)).discrepancies == ()


async def test_a_change_that_is_worth_no_credit_is_a_payment_all_the_same(
    database: Database, admin: asyncpg.Connection
) -> None:
    owner = await begun(database)

    assert await pay(database, "txn_1", 0, 3) == "booked"
    assert await pay(database, "txn_1", 0, 3) == "already_booked"
    assert await refund(database, "adj_1", "txn_1") == "booked"

    assert await balance_of(admin, owner) == 350
    assert (await verify(database, every_row=True)).discrepancies == ()
    await tamper(admin, "UPDATE payments SET credits = 1 WHERE provider_transaction_id = 'txn_1'")
    [found] = (await verify(database)).discrepancies
    assert found.kind == "payment_not_booked"


async def test_what_a_downgrade_takes_is_the_newest_payments_and_no_more_than_is_kept_of_each(
    database: Database, admin: asyncpg.Connection
) -> None:
    owner = await begun(database)
    await pay(database, "txn_1", 450, 5000)
    await pay(database, "txn_2", 1000, 10000)
    await database.fetchval("SELECT public.deduct_store_credits($1, 600, 'spent')", owner.id)

    assert await pay(database, "txn_down", -1300) == "booked"

    rows = await admin.fetch(
        """SELECT provider_transaction_id, amount, credits, taken FROM clawbacks
           ORDER BY adjustment_id"""
    )
    assert [tuple(row) for row in rows] == [
        ("txn_2", 10000, 1000, 1000),
        ("txn_1", 3333, 300, 200),
    ]
    # What is left of a payment is what its refund takes.
    await pay(database, "txn_3", 500, 5000)
    assert await balance_of(admin, owner) == 400, "100 were missing"
    assert await refund(database, "adj_1", "txn_1") == "booked"
    assert await refund(database, "adj_2", "txn_2") == "booked"
    assert await refund(database, "adj_3", "txn_down") == "booked"
    assert await balance_of(admin, owner) == 250
    assert (await verify(database, every_row=True)).discrepancies == ()


async def test_credits_that_a_ledger_cannot_hold_are_not_booked(
    database: Database, admin: asyncpg.Connection
) -> None:
    await begun(database)
    before = await everything(admin)
    for credits in (2**31, -(2**63)):
        with pytest.raises(asyncpg.DataError):
            await pay(database, "txn_1", credits)
    assert await everything(admin) == before
