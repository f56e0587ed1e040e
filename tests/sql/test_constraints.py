"""The tables themselves refuse what cannot be, also from their owner."""

import asyncpg
import pytest

from tests.sql.books import (
    open_store,
    open_store_beyond,
    sqlstate_of,
)
from tests.sql.generations import (
    create_one,
)

CHECK_VIOLATION = "23514"


@pytest.mark.parametrize(
    "change",
    [
        "status = 'completed'",
        "status = 'failed', completed_at = now()",
        "error_code = 'E'",
        "completed_at = now()",
        "status = 'done'",
        "status = 'completed', completed_at = now()",  # with its input kept
        "attempts = -1",
        "request_id = ''",
        "request_id = repeat('x', 201)",
        "fingerprint = 'short'",
    ],
)
async def test_the_table_refuses_an_impossible_session(
    app: asyncpg.Connection, books: asyncpg.Connection, change: str
) -> None:
    store_id = await open_store(app, 1)
    await create_one(app, store_id)

    update = f"UPDATE store_generation_sessions SET {change} WHERE store_id = $1"
    assert await sqlstate_of(books.execute(update, store_id)) == CHECK_VIOLATION


@pytest.mark.parametrize(
    "change",
    [
        "balance = balance + 1",
        "total_spent = total_spent + 1",
        "total_purchased = total_purchased - 1",
        "balance = -1, total_spent = total_purchased + 1",
        "total_spent = -1, balance = total_purchased + 1",
        "last_seq = -1",
        "total_clawed_back = total_clawed_back + 1",
        "total_clawed_back = -1, balance = balance + 1",
        "overage_limit = -1",
        "overage_used = -1",
    ],
)
async def test_the_table_refuses_impossible_credits(
    app: asyncpg.Connection, books: asyncpg.Connection, change: str
) -> None:
    store_id = await open_store(app, 10)

    update = f"UPDATE store_credits SET {change} WHERE store_id = $1"
    assert await sqlstate_of(books.execute(update, store_id)) == CHECK_VIOLATION


@pytest.mark.parametrize(
    "change",
    [
        "amount = 0",
        "amount = -1",
        "balance_after = -1",
        "seq = 0",
        "type = 'gift'",
        "type = 'generation'",  # a movement of the end users' ledger
        "request_id = ''",
        "request_id = repeat('x', 201)",
    ],
)
async def test_the_table_refuses_an_impossible_movement(
    app: asyncpg.Connection, books: asyncpg.Connection, change: str
) -> None:
    store_id = await open_store(app, 10)

    update = f"UPDATE store_credit_transactions SET {change} WHERE store_id = $1"
    assert await sqlstate_of(books.execute(update, store_id)) == CHECK_VIOLATION


@pytest.mark.parametrize(
    "change",
    [
        "period = '2026-03-02'",
        "credits = 0",
        "amount = 0",
        "currency = 'usd'",
        "charged_at = now()",
        "paddle_transaction_id = 'txn_1'",
    ],
)
async def test_the_table_refuses_an_impossible_bill(
    app: asyncpg.Connection, books: asyncpg.Connection, change: str
) -> None:
    store_id = await open_store_beyond(app, limit=5)
    await app.execute("SELECT deduct_store_credits($1, 5, 'r1')", store_id)
    await app.execute("SELECT close_store_overage($1, '2026-03-01', 16, 'USD')", store_id)

    update = f"UPDATE store_overage_bills SET {change} WHERE store_id = $1"
    assert await sqlstate_of(books.execute(update, store_id)) == CHECK_VIOLATION
