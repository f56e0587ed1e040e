"""An end user's credits come in, and go when their payment does: add_credits, claw_back_credits."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from storecredit.ledger.outcomes import UserAdditionType, UserMovementType
from storecredit.postgres.pool import connect
from tests.sql.books import Row, sqlstate_of
from tests.sql.user_books import (
    SIGN,
    assert_user_books_balance,
    open_user,
    user_credits_of,
    user_ledger,
    user_snapshot,
)

INT_MAX = 2**31 - 1
BIGINT_MAX = 2**63 - 1

ADD = "SELECT add_credits($1, $2, $3, $4)"
CLAW_BACK = "SELECT claw_back_credits($1, $2, $3)"
DEDUCT = "SELECT deduct_credits($1, $2, $3)"


def test_sql_and_python_know_the_same_types() -> None:
    assert {type_.value for type_ in UserMovementType} == set(SIGN)


@pytest.mark.parametrize("type_", UserAdditionType)
async def test_added_credits_can_be_spent_and_stand_in_the_ledger(
    app: asyncpg.Connection, books: asyncpg.Connection, type_: UserAdditionType
) -> None:
    user_id = await open_user(app)

    assert await app.fetchval(ADD, user_id, 100, type_.value, "order") is True
    assert await app.fetchval(DEDUCT, user_id, 100, "r1") is True

    assert await user_credits_of(books, user_id) == (0, 100, 100, 0, 2)
    assert (await user_ledger(books, user_id))[0] == Row(1, type_.value, 100, 100, "order")
    await assert_user_books_balance(books, user_id)


async def test_the_descriptions_are_kept_and_have_defaults(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app)

    await app.execute(
        """SELECT add_credits(p_request_id => 'named', p_type => 'grant', p_amount => 1,
               p_user_id => $1)""",
        user_id,
    )
    await app.execute("SELECT add_credits($1, 1, 'grant', 'positional', 'Gift')", user_id)
    await app.execute("SELECT add_credits($1, 1, 'grant', 'null', NULL)", user_id)
    await app.execute(
        "SELECT claw_back_credits(p_request_id => 'named', p_amount => 1, p_user_id => $1)", user_id
    )
    await app.execute("SELECT claw_back_credits($1, 1, 'positional', 'Chargeback')", user_id)
    await app.execute("SELECT claw_back_credits($1, 1, 'null', NULL)", user_id)

    rows = await books.fetch(
        "SELECT type, request_id, description FROM credit_transactions"
        " WHERE user_id = $1 ORDER BY seq",
        user_id,
    )
    assert [tuple(row) for row in rows] == [
        ("grant", "named", "Credits added"),
        ("grant", "positional", "Gift"),
        ("grant", "null", ""),
        ("clawback", "named", "Credits clawed back"),
        ("clawback", "positional", "Chargeback"),
        ("clawback", "null", ""),
    ]


async def test_the_same_request_adds_once(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app)
    await app.fetchval(ADD, user_id, 100, "purchase", "order")
    before = await user_snapshot(books, user_id)

    assert await app.fetchval(ADD, user_id, 100, "purchase", "order") is False
    assert await sqlstate_of(app.fetchval(ADD, user_id, 99, "purchase", "order")) == "SC004"
    assert await sqlstate_of(app.fetchval(ADD, user_id, 100, "grant", "order")) == "SC004"

    assert await user_snapshot(books, user_id) == before


@pytest.mark.parametrize(
    "amount, type_, request_id, sqlstate",
    [
        (0, "grant", "order", "SC002"),
        (-5, "grant", "order", "SC002"),
        (None, "grant", "order", "SC002"),
        (1, "generation", "order", "SC007"),
        (1, "refund", "order", "SC007"),
        (1, "clawback", "order", "SC007"),
        (1, "subscription", "order", "SC007"),
        (1, "gift", "order", "SC007"),
        (1, "", "order", "SC007"),
        (1, None, "order", "SC007"),
        (1, "grant", "", "SC003"),
        (1, "grant", "x" * 201, "SC003"),
        (1, "grant", None, "SC003"),
    ],
)
async def test_a_bad_addition_is_refused_with_its_own_code(
    app: asyncpg.Connection,
    books: asyncpg.Connection,
    amount: int | None,
    type_: str | None,
    request_id: str | None,
    sqlstate: str,
) -> None:
    user_id = await open_user(app, 1)
    before = await user_snapshot(books, user_id)

    assert await sqlstate_of(app.fetchval(ADD, user_id, amount, type_, request_id)) == sqlstate

    assert await user_snapshot(books, user_id) == before


@pytest.mark.parametrize("user_id", [uuid4(), None])
async def test_an_unknown_user_is_refused(app: asyncpg.Connection, user_id: UUID | None) -> None:
    assert await sqlstate_of(app.fetchval(ADD, user_id, 1, "grant", "order")) == "SC008"
    assert await sqlstate_of(app.fetchval(CLAW_BACK, user_id, 1, "refunded")) == "SC008"


async def test_more_than_a_bigint_holds_is_refused_and_nothing_is_written(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app)
    await books.execute(
        "UPDATE user_credits SET balance = $2, total_earned = $2 WHERE user_id = $1",
        user_id,
        BIGINT_MAX - 10,
    )
    before = await user_snapshot(books, user_id)

    numeric_value_out_of_range = "22003"
    refused = await sqlstate_of(app.fetchval(ADD, user_id, 11, "grant", "order"))
    assert refused == numeric_value_out_of_range
    assert await user_snapshot(books, user_id) == before

    assert await app.fetchval(ADD, user_id, 10, "grant", "order") is True
    assert (await user_credits_of(books, user_id)).balance == BIGINT_MAX


async def test_a_clawback_takes_what_is_there_and_no_more(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 10)
    await app.fetchval(DEDUCT, user_id, 3, "r1")

    assert await app.fetchval(CLAW_BACK, user_id, 4, "part") == 4
    assert await app.fetchval(CLAW_BACK, user_id, INT_MAX, "rest") == 3

    assert await user_credits_of(books, user_id) == (0, 10, 3, 7, 4)
    assert (await user_ledger(books, user_id))[2:] == [
        Row(3, "clawback", 4, 3, "part"),
        Row(4, "clawback", 3, 0, "rest"),
    ]
    await assert_user_books_balance(books, user_id)


async def test_the_same_clawback_takes_once_and_answers_as_before(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 10)
    assert await app.fetchval(CLAW_BACK, user_id, 100, "refunded") == 10
    await app.fetchval(ADD, user_id, 50, "purchase", "order")
    before = await user_snapshot(books, user_id)

    # Credits that came later are not those of the payment that was given back.
    assert await app.fetchval(CLAW_BACK, user_id, 100, "refunded") == 10
    assert await app.fetchval(CLAW_BACK, user_id, 10, "refunded") == 10
    assert await sqlstate_of(app.fetchval(CLAW_BACK, user_id, 9, "refunded")) == "SC004"

    assert await user_snapshot(books, user_id) == before


async def test_a_clawback_of_nothing_leaves_no_trace_and_may_come_again(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app)
    before = await user_snapshot(books, user_id)

    assert await app.fetchval(CLAW_BACK, user_id, 5, "refunded") == 0
    assert await user_snapshot(books, user_id) == before

    await app.fetchval(ADD, user_id, 3, "purchase", "order")
    assert await app.fetchval(CLAW_BACK, user_id, 5, "refunded") == 3
    await assert_user_books_balance(books, user_id)


async def test_a_refund_after_a_clawback_gives_back_what_was_deducted(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 10)
    await app.fetchval(DEDUCT, user_id, 6, "r1")
    await app.fetchval(CLAW_BACK, user_id, 10, "r1")

    assert await app.fetchval("SELECT refund_credits($1, 6, 'r1')", user_id) is True

    assert await user_credits_of(books, user_id) == (6, 10, 0, 4, 4)
    await assert_user_books_balance(books, user_id)


@pytest.mark.parametrize(
    "amount, request_id, sqlstate",
    [
        (0, "refunded", "SC002"),
        (-1, "refunded", "SC002"),
        (None, "refunded", "SC002"),
        (1, "", "SC003"),
        (1, "x" * 201, "SC003"),
        (1, None, "SC003"),
    ],
)
async def test_a_bad_clawback_is_refused_with_its_own_code(
    app: asyncpg.Connection,
    books: asyncpg.Connection,
    amount: int | None,
    request_id: str | None,
    sqlstate: str,
) -> None:
    user_id = await open_user(app, 1)
    before = await user_snapshot(books, user_id)

    assert await sqlstate_of(app.fetchval(CLAW_BACK, user_id, amount, request_id)) == sqlstate

    assert await user_snapshot(books, user_id) == before


async def test_of_twenty_sendings_at_once_one_adds_and_one_takes_back(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    user_id = await open_user(app, 10)
    connections = await asyncio.gather(*(connect(books_url) for _ in range(20)))

    answers = await asyncio.gather(
        *(connection.fetchval(ADD, user_id, 7, "purchase", "order") for connection in connections)
    )
    assert sorted(answers) == [False] * 19 + [True]
    taken = await asyncio.gather(
        *(connection.fetchval(CLAW_BACK, user_id, 12, "refunded") for connection in connections)
    )
    await asyncio.gather(*(connection.close() for connection in connections))

    assert taken == [12] * 20
    assert await user_credits_of(books, user_id) == (5, 17, 0, 12, 3)
    await assert_user_books_balance(books, user_id)
