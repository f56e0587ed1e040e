"""Callers whose transactions see an older snapshot: nothing is written on it, and they are told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import asyncpg
import pytest
import pytest_asyncio

from storecredit.ledger.owners import Owner
from storecredit.postgres.servers import connect
from tests.conftest import connect_as_superuser
from tests.sql.ledgers import account_of, assert_books_balance, ledger, open_store, sqlstate_of

SERIALIZATION_FAILURE = "40001"
Level = Literal["repeatable_read", "serializable"]
LEVELS: tuple[Level, ...] = ("repeatable_read", "serializable")
CALLS = (
    "deduct_store_credits($1, 1, 'mine')",
    "add_store_credits($1, 1, 'grant', 'mine')",
    "claw_back_store_credits($1, 1, 'mine')",
    "refund_store_credits($1, 1, 'before')",
)


@pytest_asyncio.fixture(loop_scope="module")
async def other(books_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect_as_superuser(books_url)
    yield connection
    await connection.close()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("level", LEVELS)
async def test_a_movement_on_an_older_snapshot_is_to_be_tried_again(
    books: asyncpg.Connection, other: asyncpg.Connection, level: Level, call: str
) -> None:
    store_id = await open_store(books, 10)
    await books.execute("SELECT deduct_store_credits($1, 1, 'before')", store_id)
    transaction = other.transaction(isolation=level)
    await transaction.start()
    await other.fetch("SELECT * FROM store_credits WHERE store_id = $1", store_id)
    await books.execute("SELECT deduct_store_credits($1, 1, 'theirs')", store_id)

    refused = await sqlstate_of(other.fetch(f"SELECT {call}", store_id))

    assert refused == SERIALIZATION_FAILURE
    await transaction.rollback()
    account = await account_of(books, Owner.store(store_id))
    assert [row.request_id for row in await ledger(books, account)] == [
        "opening",
        "before",
        "theirs",
    ]
    async with other.transaction(isolation=level):
        await other.fetch(f"SELECT {call}", store_id)
    await assert_books_balance(books, Owner.store(store_id))


@pytest.mark.parametrize(
    "call",
    [
        "add_to_account($1, 1, 'grant', 'mine')",
        "set_grant_expiry($1, 1, now() + interval '1 hour', '', 'admin')",
    ],
)
@pytest.mark.parametrize("level", LEVELS)
async def test_a_grant_on_an_older_snapshot_is_to_be_tried_again(
    books: asyncpg.Connection, other: asyncpg.Connection, level: Level, call: str
) -> None:
    account = await account_of(books, Owner.store(await open_store(books, 10)))
    transaction = other.transaction(isolation=level)
    await transaction.start()
    await other.fetch("SELECT FROM movements WHERE account_id = $1", account.id)
    await books.execute("SELECT add_to_account($1, 1, 'grant', 'theirs')", account.id)

    refused = await sqlstate_of(other.fetch(f"SELECT {call}", account.id))

    assert refused == SERIALIZATION_FAILURE
    await transaction.rollback()
    assert (
        await books.fetchval("SELECT sum(amount) FROM grants WHERE account_id = $1", account.id)
        == 11
    )


async def test_the_services_sessions_read_what_is_committed_whatever_the_database_says(
    database_url: str, admin: asyncpg.Connection
) -> None:
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(
        f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'"
    )

    session = await connect(database_url)

    assert await session.fetchval("SHOW transaction_isolation") == "read committed"
    await session.close()


async def test_a_booking_that_was_not_made_is_not_said_to_be(
    books: asyncpg.Connection, other: asyncpg.Connection
) -> None:
    store_id = await open_store(books, 10)
    book = """SELECT (b.payment).account_id, b.outcome FROM book_by_hand(
        'paddle', $1, NULL, 'store', $2, 5, 90, 'USD', now(), 'By hand') b"""
    async with books.transaction():
        await books.execute("SELECT deduct_store_credits($1, 1, 'holds')", store_id)
        booking = other.transaction(isolation="repeatable_read")
        await booking.start()
        waiting = asyncio.create_task(sqlstate_of(other.fetch(book, "txn_rr", store_id)))
        blocked = "SELECT cardinality(pg_blocking_pids($1)) > 0"
        async with asyncio.timeout(60):
            # Locks of a database set no event.
            while not await books.fetchval(blocked, other.get_server_pid()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    assert await waiting == SERIALIZATION_FAILURE
    await booking.rollback()
    assert await books.fetchval("SELECT count(*) FROM payments WHERE request_id ~ 'txn_rr'") == 0
