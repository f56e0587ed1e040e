"""The functions that let one connection at a time charge a bill, and tell what it came to."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import asyncpg
import pytest

from storecredit.ledger.owners import Owner
from storecredit.postgres.servers import Connection, connect
from tests.billing.sql_sales import account_of
from tests.sql.ledgers import open_store

MONTH = "overage-2026-09"
LOCK = "SELECT lock_subscription_charge($1, $2)"
BEGIN = "SELECT begin_subscription_charge($1, $2, $3, $4)"
ACCEPT = "SELECT accept_subscription_charge($1, $2)"
RECORD = "SELECT record_subscription_charge($1, $2, $3)"
NOTE = "SELECT note_subscription_charge_failure($1, $2, $3, $4, $5)"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Of one process, as the application's role."""
    opened = await connect(database_url)
    yield opened
    opened.terminate()


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Of another process."""
    connection = await connect(database_url)
    yield connection
    connection.terminate()


@pytest.fixture
async def account_id(admin: asyncpg.Connection) -> int:
    """The account of a store with an open bill."""
    account_id = await account_of(admin, Owner.store(await open_store(admin)))
    assert account_id is not None
    await open_bill(admin, account_id, MONTH)
    return account_id


async def open_bill(admin: asyncpg.Connection, account_id: int, month: str) -> None:
    await admin.execute(
        """INSERT INTO subscription_charges
               (account_id, period, seq, credits, amount, currency, request_id, provider)
           VALUES ($1, $2, 1, 10, 180, 'USD', $3, 'paddle')""",
        account_id,
        date.fromisoformat(f"{month.removeprefix('overage-')}-01"),
        month,
    )


async def bill(admin: asyncpg.Connection, account_id: int) -> dict[str, Any]:
    row = await admin.fetchrow(
        "SELECT *, due_at - now() AS wait FROM subscription_charges WHERE account_id = $1",
        account_id,
    )
    assert row is not None
    return dict(row)


async def begin(connection: Connection, account_id: int, attempts: int = 0) -> bool:
    begun: bool = await connection.fetchval(BEGIN, account_id, MONTH, "sub_1", attempts)
    return begun


async def test_a_charge_begins_once_per_count_of_attempts(
    connection: asyncpg.Connection, admin: asyncpg.Connection, account_id: int
) -> None:
    assert await connection.fetchval(LOCK, account_id, MONTH)
    assert await begin(connection, account_id)
    assert not await begin(connection, account_id)
    assert await begin(connection, account_id, 1)
    row = await bill(admin, account_id)
    assert (row["attempts"], row["provider_subscription_id"]) == (2, "sub_1")
    assert row["charge_begun_at"] is not None


async def test_no_charge_begins_on_a_connection_without_the_bills_lock(
    connection: asyncpg.Connection,
    other: asyncpg.Connection,
    admin: asyncpg.Connection,
    account_id: int,
) -> None:
    assert not await begin(connection, account_id)
    assert await other.fetchval(LOCK, account_id, MONTH)
    assert await connection.fetchval(LOCK, account_id, "overage-2026-08"), "another bill's"
    assert not await begin(connection, account_id)
    assert (await bill(admin, account_id))["attempts"] == 0


async def test_of_many_connections_one_has_the_lock_until_it_ends(
    connection: asyncpg.Connection, other: asyncpg.Connection, account_id: int
) -> None:
    assert await connection.fetchval(LOCK, account_id, MONTH)
    assert not await other.fetchval(LOCK, account_id, MONTH)
    connection.terminate()
    async with asyncio.timeout(20):
        # Another connection's end announces itself to nobody.
        while not await other.fetchval(LOCK, account_id, MONTH):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await begin(other, account_id)


async def test_an_accepted_charge_is_never_begun_again(
    connection: asyncpg.Connection, account_id: int
) -> None:
    assert await connection.fetchval(LOCK, account_id, MONTH)
    assert not await connection.fetchval(ACCEPT, account_id, MONTH), "none was begun"
    assert await begin(connection, account_id)
    assert await connection.fetchval(ACCEPT, account_id, MONTH)
    assert await connection.fetchval(ACCEPT, account_id, MONTH)
    assert not await begin(connection, account_id, 1)


async def test_a_recorded_charge_stands(
    connection: asyncpg.Connection, admin: asyncpg.Connection, account_id: int
) -> None:
    assert await connection.fetchval(LOCK, account_id, MONTH)
    assert await begin(connection, account_id)
    assert await connection.fetchval(RECORD, account_id, MONTH, "txn_1")
    charged = await bill(admin, account_id)
    assert await connection.fetchval(RECORD, account_id, MONTH, "txn_1")
    assert not await connection.fetchval(RECORD, account_id, MONTH, "txn_2")
    assert not await connection.fetchval(RECORD, account_id, "overage-2026-08", "txn_1")
    assert not await begin(connection, account_id, 1)
    assert not await connection.fetchval(NOTE, account_id, MONTH, "late", timedelta(), True)
    assert await bill(admin, account_id) | {"wait": None} == charged | {"wait": None}


async def test_a_note_says_why_and_when_to_try_again(
    connection: asyncpg.Connection, admin: asyncpg.Connection, account_id: int
) -> None:
    assert await connection.fetchval(LOCK, account_id, MONTH)
    assert await begin(connection, account_id)
    wait = timedelta(hours=1)
    assert await connection.fetchval(NOTE, account_id, MONTH, "No answer.", wait, False)
    row = await bill(admin, account_id)
    assert row["last_error"] == "No answer."
    assert timedelta(minutes=59) < row["wait"] <= wait
    assert row["charge_begun_at"] is not None
    assert await connection.fetchval(NOTE, account_id, MONTH, "Refused.", wait, True)
    row = await bill(admin, account_id)
    assert (row["last_error"], row["charge_begun_at"]) == ("Refused.", None)
    assert (row["attempts"], row["provider_subscription_id"]) == (1, "sub_1")


async def test_two_bills_of_one_store_have_locks_and_transactions_of_their_own(
    connection: asyncpg.Connection,
    other: asyncpg.Connection,
    admin: asyncpg.Connection,
    account_id: int,
) -> None:
    later = "overage-2026-10"
    await open_bill(admin, account_id, later)
    assert await connection.fetchval(LOCK, account_id, MONTH)
    assert await other.fetchval(LOCK, account_id, later)
    assert await connection.fetchval(RECORD, account_id, MONTH, "txn_1")
    with pytest.raises(asyncpg.UniqueViolationError):
        await other.fetchval(RECORD, account_id, later, "txn_1")
