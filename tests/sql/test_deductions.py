"""Taking credits: deduct_store_credits and deduct_store_credits_many, read back from the tables."""

from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.books import (
    Row,
    assert_books_balance,
    credits_of,
    ledger,
    open_store,
    snapshot,
    sqlstate_of,
)

INT_MAX = 2**31 - 1
BIGINT_MAX = 2**63 - 1

DEDUCT = "SELECT deduct_store_credits($1, $2, $3)"
DEDUCT_MANY = "SELECT outcome, balance FROM deduct_store_credits_many($1, $2, $3, $4, $5)"


async def deduct_many(
    connection: asyncpg.Connection, store_id: UUID, items: list[tuple[int | None, str | None]]
) -> list[tuple[str, int]]:
    amounts = [amount for amount, _ in items]
    request_ids = [request_id for _, request_id in items]
    nothing = [None] * len(items)
    rows = await connection.fetch(DEDUCT_MANY, store_id, amounts, request_ids, nothing, nothing)
    return [tuple(row) for row in rows]


async def test_a_deduction_takes_the_credits_and_writes_one_row(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)

    assert await app.fetchval(DEDUCT, store_id, 3, "r1") is True

    assert await credits_of(books, store_id) == (7, 10, 3, 2)
    assert await ledger(books, store_id) == [
        Row(1, "grant", 10, 10, "opening"),
        Row(2, "deduction", 3, 7, "r1"),
    ]
    await assert_books_balance(books, store_id)


async def test_the_description_is_kept_and_has_a_default(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)

    await app.execute(
        "SELECT deduct_store_credits(p_request_id => 'named', p_amount => 1, p_store_id => $1)",
        store_id,
    )
    await app.execute("SELECT deduct_store_credits($1, 1, 'positional', 'A render')", store_id)
    await app.execute(
        """SELECT deduct_store_credits(p_store_id => $1, p_amount => 1, p_request_id => 'null',
               p_description => NULL)""",
        store_id,
    )

    rows = await books.fetch(
        "SELECT request_id, description, session_id FROM store_credit_transactions"
        " WHERE store_id = $1 AND type = 'deduction' ORDER BY seq",
        store_id,
    )
    assert [tuple(row) for row in rows] == [
        ("named", "Credits deducted", None),
        ("positional", "A render", None),
        ("null", "", None),
    ]


async def test_the_same_request_deducts_once(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)
    await app.fetchval(DEDUCT, store_id, 3, "r1")
    before = await snapshot(books, store_id)

    assert await app.fetchval(DEDUCT, store_id, 3, "r1") is True

    assert await snapshot(books, store_id) == before


async def test_the_same_request_with_another_amount_is_refused(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)
    await app.fetchval(DEDUCT, store_id, 3, "r1")
    before = await snapshot(books, store_id)

    assert await sqlstate_of(app.fetchval(DEDUCT, store_id, 4, "r1")) == "SC004"
    # Also where the credits would not suffice: what the request is comes before what it costs.
    assert await sqlstate_of(app.fetchval(DEDUCT, store_id, 100, "r1")) == "SC004"

    assert await snapshot(books, store_id) == before


async def test_a_replay_answers_true_when_nothing_is_left(app: asyncpg.Connection) -> None:
    store_id = await open_store(app, 3)
    await app.fetchval(DEDUCT, store_id, 3, "r1")

    assert await app.fetchval(DEDUCT, store_id, 3, "r1") is True


async def test_a_replay_after_the_refund_takes_nothing(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 3)
    await app.fetchval(DEDUCT, store_id, 1, "r1")
    await app.fetchval("SELECT refund_store_credits($1, 1, 'r1')", store_id)
    before = await snapshot(books, store_id)

    assert await app.fetchval(DEDUCT, store_id, 1, "r1") is True

    assert await snapshot(books, store_id) == before
    assert (await credits_of(books, store_id)).balance == 3


async def test_too_few_credits_write_nothing_and_the_request_may_come_again(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 2)
    before = await snapshot(books, store_id)

    assert await app.fetchval(DEDUCT, store_id, 3, "r1") is False
    assert await snapshot(books, store_id) == before

    await app.execute("SELECT add_store_credits($1, 1, 'purchase', 'order')", store_id)
    assert await app.fetchval(DEDUCT, store_id, 3, "r1") is True
    assert await credits_of(books, store_id) == (0, 3, 3, 3)
    await assert_books_balance(books, store_id)


async def test_a_store_without_credits_is_refused_the_first(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app)

    assert await app.fetchval(DEDUCT, store_id, 1, "r1") is False

    assert await credits_of(books, store_id) == (0, 0, 0, 0)
    assert await ledger(books, store_id) == []


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
    store_id = await open_store(app, 10)
    before = await snapshot(books, store_id)

    assert await sqlstate_of(app.fetchval(DEDUCT, store_id, amount, request_id)) == sqlstate
    # One bad item refuses its whole batch: the good ones before and after it write nothing.
    batch = [(1, "good"), (amount, request_id), (1, "also good")]
    assert await sqlstate_of(deduct_many(app, store_id, batch)) == sqlstate

    assert await snapshot(books, store_id) == before


@pytest.mark.parametrize("store_id", [uuid4(), None])
async def test_an_unknown_store_is_refused(app: asyncpg.Connection, store_id: UUID | None) -> None:
    assert await sqlstate_of(app.fetchval(DEDUCT, store_id, 1, "r1")) == "SC001"


@pytest.mark.parametrize("letter", ["x", "€", "𝄞"])
async def test_a_request_id_has_up_to_200_characters(
    app: asyncpg.Connection, books: asyncpg.Connection, letter: str
) -> None:
    store_id = await open_store(app, 1)

    assert await app.fetchval(DEDUCT, store_id, 1, letter * 200) is True

    assert (await ledger(books, store_id))[-1] == Row(2, "deduction", 1, 0, letter * 200)


async def test_request_ids_differ_by_letter_case_and_space(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 3)

    for request_id in ("r", "R", "r "):
        assert await app.fetchval(DEDUCT, store_id, 1, request_id) is True

    assert (await credits_of(books, store_id)).balance == 0


async def test_stores_do_not_share_request_ids_or_credits(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    one, other = await open_store(app, 5), await open_store(app, 5)

    assert await app.fetchval(DEDUCT, one, 2, "r1") is True
    assert await app.fetchval(DEDUCT, other, 3, "r1") is True

    assert await credits_of(books, one) == (3, 5, 2, 2)
    assert await credits_of(books, other) == (2, 5, 3, 2)


async def test_a_batch_settles_each_item_in_order(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 6)
    await app.fetchval(DEDUCT, store_id, 1, "old")

    outcomes = await deduct_many(
        app,
        store_id,
        [
            (1, "old"),
            (2, "old"),
            (2, "a"),
            (2, "a"),
            (3, "a"),
            (9, "b"),
            (1, "b"),  # its first sending was refused: decided once per batch
            (3, "c"),
            (1, "d"),
            (1, "old"),
        ],
    )

    assert outcomes == [
        ("already_deducted", 5),
        ("conflict", 5),
        ("deducted", 3),
        ("already_deducted", 3),
        ("conflict", 3),
        ("insufficient", 3),
        ("insufficient", 3),
        ("deducted", 0),
        ("insufficient", 0),
        ("already_deducted", 0),
    ]
    assert await ledger(books, store_id) == [
        Row(1, "grant", 6, 6, "opening"),
        Row(2, "deduction", 1, 5, "old"),
        Row(3, "deduction", 2, 3, "a"),
        Row(4, "deduction", 3, 0, "c"),
    ]
    await assert_books_balance(books, store_id)


async def test_a_batch_keeps_each_items_description_and_session(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 2)
    sessions = [uuid4(), uuid4(), uuid4()]

    rows = await app.fetch(
        "SELECT ord, outcome FROM deduct_store_credits_many($1, $2, $3, $4, $5)",
        store_id,
        [1, 5, 1],
        ["a", "refused", "b"],
        ["first", "second", "third"],
        sessions,
    )

    assert [tuple(row) for row in rows] == [(1, "deducted"), (2, "insufficient"), (3, "deducted")]
    written = await books.fetch(
        "SELECT request_id, description, session_id FROM store_credit_transactions"
        " WHERE store_id = $1 AND type = 'deduction' ORDER BY seq",
        store_id,
    )
    assert [tuple(row) for row in written] == [
        ("a", "first", sessions[0]),
        ("b", "third", sessions[2]),
    ]


async def test_an_empty_batch_does_nothing(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 1)
    before = await snapshot(books, store_id)

    assert await deduct_many(app, store_id, []) == []

    assert await snapshot(books, store_id) == before


async def test_an_array_that_does_not_count_from_one_deducts_what_it_says(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)

    rows = await app.fetch(
        """SELECT outcome, balance FROM deduct_store_credits_many(
               $1, '[0:1]={1,500}', '[5:6]={a,b}', '[-1:0]={first,second}', '{NULL,NULL}')""",
        store_id,
    )

    assert [tuple(row) for row in rows] == [("deducted", 9), ("insufficient", 9)]
    assert (await ledger(books, store_id))[1:] == [Row(2, "deduction", 1, 9, "a")]
    await assert_books_balance(books, store_id)


async def test_amounts_add_up_beyond_an_int(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app)
    await books.execute(
        """UPDATE store_credits SET balance = $2, total_purchased = $2, last_seq = 1
           WHERE store_id = $1""",
        store_id,
        BIGINT_MAX,
    )
    await books.execute(
        """INSERT INTO store_credit_transactions
               (store_id, seq, type, amount, balance_after, request_id)
           VALUES ($1, 1, 'purchase', $2, $2, 'order')""",
        store_id,
        BIGINT_MAX,
    )

    outcomes = await deduct_many(app, store_id, [(INT_MAX, f"r{n}") for n in range(3)])

    assert outcomes == [("deducted", BIGINT_MAX - INT_MAX * n) for n in (1, 2, 3)]
    await assert_books_balance(books, store_id)
