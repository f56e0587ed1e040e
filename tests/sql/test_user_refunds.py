"""Giving an end user's credits back: refund_credits, read back from the tables."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from storecredit.postgres.pool import connect
from tests.sql.books import Row, sqlstate_of
from tests.sql.user_books import (
    assert_user_books_balance,
    open_user,
    user_credits_of,
    user_ledger,
    user_snapshot,
)
from tests.sql.user_generations import create_one

INT_MAX = 2**31 - 1
RACES = 30

DEDUCT = "SELECT deduct_credits($1, $2, $3)"
REFUND = "SELECT refund_credits($1, $2, $3)"


async def test_a_refund_returns_the_credits_under_the_same_request(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 10)
    await app.fetchval(DEDUCT, user_id, 3, "r1")

    assert await app.fetchval(REFUND, user_id, 3, "r1") is True

    assert await user_credits_of(books, user_id) == (10, 10, 0, 0, 3)
    assert (await user_ledger(books, user_id))[1:] == [
        Row(2, "generation", 3, 7, "r1"),
        Row(3, "refund", 3, 10, "r1"),
    ]
    await assert_user_books_balance(books, user_id)


async def test_less_than_was_deducted_may_come_back_but_only_once(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 10)
    await app.fetchval(DEDUCT, user_id, 5, "r1")

    assert await app.fetchval(REFUND, user_id, 2, "r1") is True
    before = await user_snapshot(books, user_id)
    for amount in (2, 3, 5):
        assert await app.fetchval(REFUND, user_id, amount, "r1") is False

    assert await user_snapshot(books, user_id) == before
    assert await user_credits_of(books, user_id) == (7, 10, 3, 0, 3)
    await assert_user_books_balance(books, user_id)


async def test_a_refund_carries_its_description_and_the_session_of_its_deduction(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 10)
    session_id = await create_one(app, user_id, "made")
    for request_id in ("named", "positional", "null"):
        await app.fetchval(DEDUCT, user_id, 1, request_id)

    await app.fetchval(REFUND, user_id, 1, "made")
    await app.execute(
        "SELECT refund_credits(p_amount => 1, p_request_id => 'named', p_user_id => $1)", user_id
    )
    await app.execute("SELECT refund_credits($1, 1, 'positional', 'Blocked')", user_id)
    await app.execute("SELECT refund_credits($1, 1, 'null', NULL)", user_id)

    rows = await books.fetch(
        "SELECT request_id, description, session_id FROM credit_transactions"
        " WHERE user_id = $1 AND type = 'refund' ORDER BY seq",
        user_id,
    )
    assert [tuple(row) for row in rows] == [
        ("made", "Credits refunded", session_id),
        ("named", "Credits refunded", None),
        ("positional", "Blocked", None),
        ("null", "", None),
    ]


@pytest.mark.parametrize(
    "amount, request_id, sqlstate",
    [
        (0, "taken", "SC002"),
        (-1, "taken", "SC002"),
        (None, "taken", "SC002"),
        (4, "taken", "SC006"),
        (INT_MAX, "taken", "SC006"),
        (3, "returned too", "SC006"),
        (1, "never", "SC005"),
        (1, "signup", "SC005"),
        (1, "refused", "SC005"),
        (1, "clawed back", "SC005"),
        (1, None, "SC005"),
        (1, "", "SC005"),
        (1, "x" * 300, "SC005"),
    ],
)
async def test_what_cannot_be_refunded_is_refused_with_its_own_code(
    app: asyncpg.Connection,
    books: asyncpg.Connection,
    amount: int | None,
    request_id: str | None,
    sqlstate: str,
) -> None:
    user_id = await open_user(app, 10)
    await app.fetchval(DEDUCT, user_id, 3, "taken")
    await app.fetchval(DEDUCT, user_id, 2, "returned too")
    await app.fetchval(REFUND, user_id, 2, "returned too")
    await app.fetchval(DEDUCT, user_id, 100, "refused")
    await app.fetchval("SELECT claw_back_credits($1, 1, 'clawed back')", user_id)
    before = await user_snapshot(books, user_id)

    assert await sqlstate_of(app.fetchval(REFUND, user_id, amount, request_id)) == sqlstate

    assert await user_snapshot(books, user_id) == before


async def test_another_users_deduction_cannot_be_refunded(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    owner, other = await open_user(app, 5), await open_user(app, 5)
    await app.fetchval(DEDUCT, owner, 5, "r1")

    assert await sqlstate_of(app.fetchval(REFUND, other, 5, "r1")) == "SC005"

    assert (await user_credits_of(books, owner)).balance == 0
    assert (await user_credits_of(books, other)).balance == 5


@pytest.mark.parametrize("user_id", [uuid4(), None])
async def test_an_unknown_user_is_refused(app: asyncpg.Connection, user_id: UUID | None) -> None:
    assert await sqlstate_of(app.fetchval(REFUND, user_id, 1, "r1")) == "SC008"


async def test_of_twenty_refunds_at_once_one_is_made(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 5)
    await app.fetchval(DEDUCT, user_id, 5, "r1")
    connections = await asyncio.gather(*(connect(books_url) for _ in range(20)))

    answers = await asyncio.gather(
        *(connection.fetchval(REFUND, user_id, 5, "r1") for connection in connections)
    )
    await asyncio.gather(*(connection.close() for connection in connections))

    assert sorted(answers) == [False] * 19 + [True]
    assert await user_credits_of(books, user_id) == (5, 5, 0, 0, 3)
    await assert_user_books_balance(books, user_id)


async def test_a_refund_that_races_its_deduction_comes_after_it_or_is_refused(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, RACES)
    other = await connect(books_url)
    refunds = 0

    for race in range(RACES):
        request_id = f"r{race}"
        answers: list[object] = await asyncio.gather(
            app.fetchval(DEDUCT, user_id, 1, request_id),
            other.fetchval(REFUND, user_id, 1, request_id),
            return_exceptions=True,
        )
        deducted, refunded = answers
        assert deducted is True
        if isinstance(refunded, asyncpg.PostgresError):
            assert refunded.sqlstate == "SC005"
        else:
            assert refunded is True
            refunds += 1
    await other.close()

    assert (await user_credits_of(books, user_id)).balance == refunds
    await assert_user_books_balance(books, user_id)
