"""Taking an end user's credits: deduct_credits, read back from the tables."""

from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.books import Row, sqlstate_of
from tests.sql.user_books import (
    assert_user_books_balance,
    open_user,
    user_credits_of,
    user_ledger,
    user_snapshot,
)

INT_MAX = 2**31 - 1
BIGINT_MAX = 2**63 - 1

DEDUCT = "SELECT deduct_credits($1, $2, $3)"


async def test_a_deduction_takes_the_credits_and_writes_one_row(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 10)

    assert await app.fetchval(DEDUCT, user_id, 3, "r1") is True

    assert await user_credits_of(books, user_id) == (7, 10, 3, 0, 2)
    assert await user_ledger(books, user_id) == [
        Row(1, "signup_bonus", 10, 10, "signup"),
        Row(2, "generation", 3, 7, "r1"),
    ]
    await assert_user_books_balance(books, user_id)


async def test_the_description_is_kept_and_has_a_default(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 10)

    await app.execute(
        "SELECT deduct_credits(p_request_id => 'named', p_amount => 1, p_user_id => $1)", user_id
    )
    await app.execute("SELECT deduct_credits($1, 1, 'positional', 'A render')", user_id)
    await app.execute("SELECT deduct_credits($1, 1, 'null', NULL)", user_id)

    rows = await books.fetch(
        "SELECT request_id, description, session_id FROM credit_transactions"
        " WHERE user_id = $1 AND type = 'generation' ORDER BY seq",
        user_id,
    )
    assert [tuple(row) for row in rows] == [
        ("named", "Credits deducted", None),
        ("positional", "A render", None),
        ("null", "", None),
    ]


async def test_every_movement_is_told_by_updated_at_and_nothing_else_is(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 10)
    long_ago = "UPDATE user_credits SET updated_at = 'epoch' WHERE user_id = $1"
    moved = """SELECT c.updated_at = t.created_at FROM user_credits c, credit_transactions t
               WHERE c.user_id = $1 AND t.user_id = $1 AND t.seq = c.last_seq"""
    for call in (
        "deduct_credits($1, 4, 'r')",
        "refund_credits($1, 4, 'r')",
        "add_credits($1, 4, 'grant', 'r')",
        "claw_back_credits($1, 4, 'r')",
    ):
        await books.execute(long_ago, user_id)
        await app.execute(f"SELECT {call}", user_id)
        assert await books.fetchval(moved, user_id) is True, call

        await books.execute(long_ago, user_id)
        await app.execute(f"SELECT {call}", user_id)
        assert await books.fetchval(moved, user_id) is False, f"{call} moved nothing again"


async def test_the_same_request_deducts_once(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 3)
    await app.fetchval(DEDUCT, user_id, 3, "r1")
    before = await user_snapshot(books, user_id)

    # Though nothing is left that it could take.
    assert await app.fetchval(DEDUCT, user_id, 3, "r1") is True

    assert await user_snapshot(books, user_id) == before


async def test_the_same_request_with_another_amount_is_refused(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 10)
    await app.fetchval(DEDUCT, user_id, 3, "r1")
    before = await user_snapshot(books, user_id)

    assert await sqlstate_of(app.fetchval(DEDUCT, user_id, 4, "r1")) == "SC004"
    # Also where the credits would not suffice: what the request is comes before what it costs.
    assert await sqlstate_of(app.fetchval(DEDUCT, user_id, 100, "r1")) == "SC004"

    assert await user_snapshot(books, user_id) == before


async def test_a_replay_after_the_refund_takes_nothing(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 3)
    await app.fetchval(DEDUCT, user_id, 1, "r1")
    await app.fetchval("SELECT refund_credits($1, 1, 'r1')", user_id)
    before = await user_snapshot(books, user_id)

    assert await app.fetchval(DEDUCT, user_id, 1, "r1") is True

    assert await user_snapshot(books, user_id) == before


async def test_too_few_credits_write_nothing_and_the_request_may_come_again(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 2)
    before = await user_snapshot(books, user_id)

    assert await app.fetchval(DEDUCT, user_id, 3, "r1") is False
    assert await user_snapshot(books, user_id) == before

    await app.execute("SELECT add_credits($1, 1, 'purchase', 'order')", user_id)
    assert await app.fetchval(DEDUCT, user_id, 3, "r1") is True
    assert await user_credits_of(books, user_id) == (0, 3, 3, 0, 3)
    await assert_user_books_balance(books, user_id)


async def test_a_user_without_credits_is_refused_the_first(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app)

    assert await app.fetchval(DEDUCT, user_id, 1, "r1") is False

    assert await user_credits_of(books, user_id) == (0, 0, 0, 0, 0)
    assert await user_ledger(books, user_id) == []


@pytest.mark.parametrize(
    "amount, request_id, sqlstate",
    [
        (0, "r1", "SC002"),
        (-1, "r1", "SC002"),
        (-INT_MAX, "r1", "SC002"),
        (None, "r1", "SC002"),
        (1, "", "SC003"),
        (1, "x" * 201, "SC003"),
        (1, None, "SC003"),
    ],
)
async def test_a_bad_argument_is_refused_with_its_own_code(
    app: asyncpg.Connection,
    books: asyncpg.Connection,
    amount: int | None,
    request_id: str | None,
    sqlstate: str,
) -> None:
    user_id = await open_user(app, 10)
    before = await user_snapshot(books, user_id)

    assert await sqlstate_of(app.fetchval(DEDUCT, user_id, amount, request_id)) == sqlstate

    assert await user_snapshot(books, user_id) == before


@pytest.mark.parametrize("user_id", [uuid4(), None])
async def test_an_unknown_user_is_refused(app: asyncpg.Connection, user_id: UUID | None) -> None:
    assert await sqlstate_of(app.fetchval(DEDUCT, user_id, 1, "r1")) == "SC008"


@pytest.mark.parametrize("letter", ["x", "€", "𝄞"])
async def test_a_request_id_has_up_to_200_characters(
    app: asyncpg.Connection, books: asyncpg.Connection, letter: str
) -> None:
    user_id = await open_user(app, 1)

    assert await app.fetchval(DEDUCT, user_id, 1, letter * 200) is True

    assert (await user_ledger(books, user_id))[-1] == Row(2, "generation", 1, 0, letter * 200)


async def test_users_do_not_share_request_ids_or_credits(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    one, other = await open_user(app, 5), await open_user(app, 5)

    assert await app.fetchval(DEDUCT, one, 2, "r1") is True
    assert await app.fetchval(DEDUCT, other, 3, "r1") is True

    assert await user_credits_of(books, one) == (3, 5, 2, 0, 2)
    assert await user_credits_of(books, other) == (2, 5, 3, 0, 2)


async def test_balances_beyond_an_int_are_counted(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app)
    await books.execute(
        """UPDATE user_credits SET balance = $2, total_earned = $2, last_seq = 1
           WHERE user_id = $1""",
        user_id,
        BIGINT_MAX,
    )
    await books.execute(
        """INSERT INTO credit_transactions (user_id, seq, type, amount, balance_after, request_id)
           VALUES ($1, 1, 'purchase', $2, $2, 'order')""",
        user_id,
        BIGINT_MAX,
    )

    for n in (1, 2, 3):
        assert await app.fetchval(DEDUCT, user_id, INT_MAX, f"r{n}") is True

    assert (await user_credits_of(books, user_id)).balance == BIGINT_MAX - 3 * INT_MAX
    await assert_user_books_balance(books, user_id)
