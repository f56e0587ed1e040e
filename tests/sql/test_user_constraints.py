"""The end users' tables themselves refuse what cannot be, also from their owner."""

from uuid import uuid4

import asyncpg
import pytest

from tests.sql.books import sqlstate_of
from tests.sql.user_books import open_user
from tests.sql.user_generations import create_one

CHECK_VIOLATION = "23514"
UNIQUE_VIOLATION = "23505"
FOREIGN_KEY_VIOLATION = "23503"


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
    user_id = await open_user(app, 1)
    await create_one(app, user_id)

    update = f"UPDATE generation_sessions SET {change} WHERE user_id = $1"
    assert await sqlstate_of(books.execute(update, user_id)) == CHECK_VIOLATION


@pytest.mark.parametrize(
    "change",
    [
        "balance = balance + 1",
        "total_spent = total_spent + 1",
        "total_earned = total_earned - 1",
        "total_clawed_back = total_clawed_back + 1",
        "balance = -1, total_spent = total_earned + 1",
        "total_spent = -1, balance = total_earned + 1",
        "total_clawed_back = -1, balance = total_earned + 1",
        "total_earned = -1, total_spent = -1, balance = 0",
        "last_seq = -1",
    ],
)
async def test_the_table_refuses_impossible_credits(
    app: asyncpg.Connection, books: asyncpg.Connection, change: str
) -> None:
    user_id = await open_user(app, 10)

    update = f"UPDATE user_credits SET {change} WHERE user_id = $1"
    assert await sqlstate_of(books.execute(update, user_id)) == CHECK_VIOLATION


@pytest.mark.parametrize(
    "change",
    [
        "amount = 0",
        "amount = -1",
        "balance_after = -1",
        "seq = 0",
        "type = 'deduction'",
        "type = 'subscription'",
        "type = 'overage'",
        "request_id = ''",
        "request_id = repeat('x', 201)",
    ],
)
async def test_the_table_refuses_an_impossible_movement(
    app: asyncpg.Connection, books: asyncpg.Connection, change: str
) -> None:
    user_id = await open_user(app, 10)

    update = f"UPDATE credit_transactions SET {change} WHERE user_id = $1"
    assert await sqlstate_of(books.execute(update, user_id)) == CHECK_VIOLATION


@pytest.mark.parametrize("change", ["seq = 1", "type = 'signup_bonus', request_id = 'signup'"])
async def test_the_table_refuses_a_movement_that_is_there(
    app: asyncpg.Connection, books: asyncpg.Connection, change: str
) -> None:
    user_id = await open_user(app, 10)
    await app.execute("SELECT deduct_credits($1, 1, 'r1')", user_id)

    update = f"UPDATE credit_transactions SET {change} WHERE user_id = $1 AND seq = 2"
    assert await sqlstate_of(books.execute(update, user_id)) == UNIQUE_VIOLATION


async def test_nobody_is_a_user_or_has_a_session_without_a_credit_row(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 1)
    await create_one(app, user_id)

    for statement in (
        "INSERT INTO users (user_id) VALUES ($2)",
        "UPDATE generation_sessions SET user_id = $2 WHERE user_id = $1",
        "DELETE FROM user_credits WHERE user_id = $1 AND $2::uuid IS NOT NULL",
    ):
        refused = books.execute(
            statement.replace("$1", f"'{user_id}'").replace("$2", "$1"), uuid4()
        )
        assert await sqlstate_of(refused) == FOREIGN_KEY_VIOLATION, statement
