"""Ids are a provider's own: those of another one that read the same are other things."""

from typing import Any

import asyncpg
import pytest

from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.errors import StatementRefused
from storecredit.postgres.pool import Database
from tests.billing.sql_sales import MONTH, NOON, account_of, balance_of, open_owner

PROVIDERS = ("paddle", "other")
INVALID_TYPE = "SC007"
OPEN = """SELECT (o.checkout).checkout_id FROM open_checkout(
              gen_random_uuid(), $1, $2, $3, 'growth', 100, 1800, 'USD', $4) o"""
ATTACH = "SELECT attach_checkout($1, 'txn_1', 'https://pay.example')"
APPLY = """SELECT apply_subscription_state(
               $1, 'sub_1', 'txn_1', NULL, NULL, 'active', $2, $2, $3, '{growth}')"""
BOOK = "SELECT book_checkout($1, 'txn_1', 'sub_1', $2, 1800, 'USD', $2)"
RENEW = """SELECT book_subscription_payment(
               $1, 'txn_2', 'sub_1', $2, 'growth', 100, 1800, 'USD', $2)"""
REFUND = "SELECT outcome FROM book_adjustment($1, 'adj_1', 'txn_1', 'refund', true, 1800, 'USD')"
RECEIVE = """SELECT receive_provider_event(
                 $1, 'evt_1', 'transaction.completed', $2, '{"id": "txn_9"}')"""
BOOK_BY_HAND = """SELECT outcome FROM book_by_hand(
                      $1, 'txn_9', NULL, 'store', $2, 7, 70, 'USD', $3, 'By hand')"""
STATUSES = "SELECT provider, status FROM provider_events ORDER BY provider"


async def subscribed(database: Database, provider: str) -> Any:
    """A store that has subscribed and paid its first period through the provider."""
    owner = await open_owner(database, OwnerKind.STORE)
    account_id = await account_of(database, owner)
    checkout = await database.fetchval(OPEN, account_id, provider, "subscription", "order")
    await database.fetchval(ATTACH, checkout)
    assert await database.fetchval(APPLY, provider, NOON, NOON + MONTH) == "applied"
    assert await database.fetchval(BOOK, provider, NOON) == "booked"
    return owner


async def test_what_one_provider_tells_moves_nothing_that_another_one_sold(
    database: Database, admin: asyncpg.Connection
) -> None:
    ours, others = [await subscribed(database, provider) for provider in PROVIDERS]

    assert await database.fetchval(RENEW, "paddle", NOON + MONTH) == "booked"
    assert (await balance_of(admin, ours), await balance_of(admin, others)) == (200, 100)

    assert await database.fetchval(REFUND, "other") == "booked"
    assert (await balance_of(admin, ours), await balance_of(admin, others)) == (200, 0)
    assert await database.fetchval(REFUND, "paddle") == "booked"
    assert (await balance_of(admin, ours), await balance_of(admin, others)) == (100, 0)
    assert (await verify(database, every_row=True)).discrepancies == ()


async def test_a_payment_booked_by_hand_settles_its_own_providers_event(
    database: Database, admin: asyncpg.Connection
) -> None:
    owner = await open_owner(database, OwnerKind.STORE)
    for provider in PROVIDERS:
        assert await database.fetchval(RECEIVE, provider, NOON)
        assert not await database.fetchval(RECEIVE, provider, NOON)

    assert await database.fetchval(BOOK_BY_HAND, "paddle", owner.id, NOON) == "booked"

    statuses = [tuple(row) for row in await admin.fetch(STATUSES)]
    assert statuses == [("other", "received"), ("paddle", "processed")]
    assert await database.fetchval(BOOK_BY_HAND, "paddle", owner.id, NOON) == "replayed"


async def test_no_user_subscribes(database: Database, admin: asyncpg.Connection) -> None:
    account_id = await account_of(database, await open_owner(database, OwnerKind.USER))

    with pytest.raises(StatementRefused) as refused:
        await database.fetchval(OPEN, account_id, "paddle", "subscription", "order")

    assert refused.value.sqlstate == INVALID_TYPE
    assert await admin.fetchval("SELECT count(*) FROM checkouts") == 0
