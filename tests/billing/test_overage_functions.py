"""The functions that let one session at a time charge a bill, and tell what it came to."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from storecredit.postgres.pool import Connection, connect
from tests.sql.books import open_store

MONTH = date(2026, 9, 1)
LOCK = "SELECT lock_store_overage_bill($1, $2)"
BEGIN = "SELECT begin_store_overage_charge($1, $2, $3, $4)"
ACCEPT = "SELECT accept_store_overage_charge($1, $2)"
RECORD = "SELECT record_store_overage_charge($1, $2, $3)"
NOTE = "SELECT note_store_overage_failure($1, $2, $3, $4, $5)"


@pytest.fixture
async def session(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Of one process, as the application's role."""
    connection = await connect(database_url)
    yield connection
    connection.terminate()


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Of another process."""
    connection = await connect(database_url)
    yield connection
    connection.terminate()


@pytest.fixture
async def store_id(admin: asyncpg.Connection) -> UUID:
    """A store with an open bill."""
    store_id = await open_store(admin)
    await open_bill(admin, store_id, MONTH)
    return store_id


async def open_bill(admin: asyncpg.Connection, store_id: UUID, month: date) -> None:
    await admin.execute(
        """INSERT INTO store_overage_bills
               (store_id, period, seq, credits, amount, currency, request_id)
           VALUES ($1, $2, 1, 10, 180, 'USD', $3)""",
        store_id,
        month,
        f"overage-{month:%Y-%m}",
    )


async def bill(admin: asyncpg.Connection, store_id: UUID) -> dict[str, Any]:
    row = await admin.fetchrow(
        "SELECT *, due_at - now() AS wait FROM store_overage_bills WHERE store_id = $1", store_id
    )
    assert row is not None
    return dict(row)


async def begin(session: Connection, store_id: UUID, attempts: int = 0) -> bool:
    begun: bool = await session.fetchval(BEGIN, store_id, MONTH, "sub_1", attempts)
    return begun


async def test_a_charge_begins_once_per_count_of_attempts(
    session: asyncpg.Connection, admin: asyncpg.Connection, store_id: UUID
) -> None:
    assert await session.fetchval(LOCK, store_id, MONTH)
    assert await begin(session, store_id)
    assert not await begin(session, store_id)
    assert await begin(session, store_id, 1)
    row = await bill(admin, store_id)
    assert (row["attempts"], row["paddle_subscription_id"]) == (2, "sub_1")
    assert row["charge_begun_at"] is not None


async def test_no_charge_begins_in_a_session_without_the_bills_lock(
    session: asyncpg.Connection,
    other: asyncpg.Connection,
    admin: asyncpg.Connection,
    store_id: UUID,
) -> None:
    assert not await begin(session, store_id)
    assert await other.fetchval(LOCK, store_id, MONTH)
    assert await session.fetchval(LOCK, store_id, date(2026, 8, 1)), "another bill's"
    assert not await begin(session, store_id)
    assert (await bill(admin, store_id))["attempts"] == 0


async def test_of_many_sessions_one_has_the_lock_until_it_ends(
    session: asyncpg.Connection, other: asyncpg.Connection, store_id: UUID
) -> None:
    assert await session.fetchval(LOCK, store_id, MONTH)
    assert not await other.fetchval(LOCK, store_id, MONTH)
    session.terminate()
    async with asyncio.timeout(20):
        # Another session's end announces itself to nobody.
        while not await other.fetchval(LOCK, store_id, MONTH):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await begin(other, store_id)


async def test_an_accepted_charge_is_never_begun_again(
    session: asyncpg.Connection, store_id: UUID
) -> None:
    assert await session.fetchval(LOCK, store_id, MONTH)
    assert not await session.fetchval(ACCEPT, store_id, MONTH), "none was begun"
    assert await begin(session, store_id)
    assert await session.fetchval(ACCEPT, store_id, MONTH)
    assert await session.fetchval(ACCEPT, store_id, MONTH)
    assert not await begin(session, store_id, 1)


async def test_a_recorded_charge_stands(
    session: asyncpg.Connection, admin: asyncpg.Connection, store_id: UUID
) -> None:
    assert await session.fetchval(LOCK, store_id, MONTH)
    assert await begin(session, store_id)
    assert await session.fetchval(RECORD, store_id, MONTH, "txn_1")
    charged = await bill(admin, store_id)
    assert await session.fetchval(RECORD, store_id, MONTH, "txn_1")
    assert not await session.fetchval(RECORD, store_id, MONTH, "txn_2")
    assert not await session.fetchval(RECORD, store_id, date(2026, 8, 1), "txn_1")
    assert not await begin(session, store_id, 1)
    assert not await session.fetchval(NOTE, store_id, MONTH, "late", timedelta(), True)
    assert await bill(admin, store_id) | {"wait": None} == charged | {"wait": None}


async def test_a_note_says_why_and_when_to_try_again(
    session: asyncpg.Connection, admin: asyncpg.Connection, store_id: UUID
) -> None:
    assert await session.fetchval(LOCK, store_id, MONTH)
    assert await begin(session, store_id)
    wait = timedelta(hours=1)
    assert await session.fetchval(NOTE, store_id, MONTH, "No answer.", wait, False)
    row = await bill(admin, store_id)
    assert row["last_error"] == "No answer."
    assert timedelta(minutes=59) < row["wait"] <= wait
    assert row["charge_begun_at"] is not None
    assert await session.fetchval(NOTE, store_id, MONTH, "Refused.", wait, True)
    row = await bill(admin, store_id)
    assert (row["last_error"], row["charge_begun_at"]) == ("Refused.", None)
    assert (row["attempts"], row["paddle_subscription_id"]) == (1, "sub_1")


async def test_two_bills_of_one_store_have_locks_and_transactions_of_their_own(
    session: asyncpg.Connection,
    other: asyncpg.Connection,
    admin: asyncpg.Connection,
    store_id: UUID,
) -> None:
    later = date(2026, 10, 1)
    await open_bill(admin, store_id, later)
    assert await session.fetchval(LOCK, store_id, MONTH)
    assert await other.fetchval(LOCK, store_id, later)
    assert await session.fetchval(RECORD, store_id, MONTH, "txn_1")
    with pytest.raises(asyncpg.UniqueViolationError):
        await other.fetchval(RECORD, store_id, later, "txn_1")
