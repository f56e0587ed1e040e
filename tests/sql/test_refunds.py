"""Giving credits back: refund_store_credits and its plural, read back from the tables."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from storecredit.postgres.pool import connect
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
RACES = 30

DEDUCT = "SELECT deduct_store_credits($1, $2, $3)"
REFUND = "SELECT refund_store_credits($1, $2, $3)"


async def refund_many(
    connection: asyncpg.Connection, store_id: UUID, items: list[tuple[int | None, str | None]]
) -> list[tuple[int, str, int]]:
    rows = await connection.fetch(
        "SELECT ord, outcome, balance FROM refund_store_credits_many($1, $2, $3, $4)",
        store_id,
        [amount for amount, _ in items],
        [request_id for _, request_id in items],
        [None] * len(items),
    )
    return [tuple(row) for row in rows]


async def test_a_refund_returns_the_credits_under_the_same_request(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)
    await app.fetchval(DEDUCT, store_id, 3, "r1")

    assert await app.fetchval(REFUND, store_id, 3, "r1") is True

    assert await credits_of(books, store_id) == (10, 10, 0, 3)
    assert (await ledger(books, store_id))[1:] == [
        Row(2, "deduction", 3, 7, "r1"),
        Row(3, "refund", 3, 10, "r1"),
    ]
    await assert_books_balance(books, store_id)


async def test_a_second_refund_answers_false_and_writes_nothing(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)
    await app.fetchval(DEDUCT, store_id, 3, "r1")
    await app.fetchval(REFUND, store_id, 3, "r1")
    before = await snapshot(books, store_id)

    assert await app.fetchval(REFUND, store_id, 3, "r1") is False

    assert await snapshot(books, store_id) == before


async def test_less_than_was_deducted_may_come_back_but_only_once(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)
    await app.fetchval(DEDUCT, store_id, 5, "r1")

    assert await app.fetchval(REFUND, store_id, 2, "r1") is True
    before = await snapshot(books, store_id)
    assert await app.fetchval(REFUND, store_id, 2, "r1") is False
    assert await app.fetchval(REFUND, store_id, 3, "r1") is False
    assert await app.fetchval(REFUND, store_id, 5, "r1") is False

    assert await snapshot(books, store_id) == before
    assert await credits_of(books, store_id) == (7, 10, 3, 3)
    await assert_books_balance(books, store_id)


async def test_the_description_is_kept_and_has_a_default(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)
    for request_id in ("named", "positional", "null"):
        await app.fetchval(DEDUCT, store_id, 1, request_id)

    await app.execute(
        "SELECT refund_store_credits(p_amount => 1, p_request_id => 'named', p_store_id => $1)",
        store_id,
    )
    await app.execute("SELECT refund_store_credits($1, 1, 'positional', 'Blocked')", store_id)
    await app.execute(
        """SELECT refund_store_credits(p_store_id => $1, p_amount => 1, p_request_id => 'null',
               p_description => NULL)""",
        store_id,
    )

    rows = await books.fetch(
        "SELECT request_id, description FROM store_credit_transactions"
        " WHERE store_id = $1 AND type = 'refund' ORDER BY seq",
        store_id,
    )
    assert [tuple(row) for row in rows] == [
        ("named", "Credits refunded"),
        ("positional", "Blocked"),
        ("null", ""),
    ]


async def test_a_refund_carries_the_session_of_its_deduction(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id, session_id = await open_store(app, 2), uuid4()
    await app.execute(
        "SELECT deduct_store_credits_many($1, '{1,1}', '{a,b}', '{NULL,NULL}', $2)",
        store_id,
        [None, session_id],
    )

    await refund_many(app, store_id, [(1, "b"), (1, "a")])

    rows = await books.fetch(
        "SELECT request_id, session_id FROM store_credit_transactions"
        " WHERE store_id = $1 AND type = 'refund' ORDER BY seq",
        store_id,
    )
    assert [tuple(row) for row in rows] == [("b", session_id), ("a", None)]


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
        (1, "opening", "SC005"),
        (1, "refused", "SC005"),
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
    store_id = await open_store(app, 10)
    await app.fetchval(DEDUCT, store_id, 3, "taken")
    await app.fetchval(DEDUCT, store_id, 2, "returned too")
    await app.fetchval(REFUND, store_id, 2, "returned too")
    await app.fetchval(DEDUCT, store_id, 100, "refused")
    before = await snapshot(books, store_id)

    assert await sqlstate_of(app.fetchval(REFUND, store_id, amount, request_id)) == sqlstate

    assert await snapshot(books, store_id) == before


async def test_another_stores_deduction_cannot_be_refunded(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    owner, other = await open_store(app, 5), await open_store(app, 5)
    await app.fetchval(DEDUCT, owner, 5, "r1")

    assert await sqlstate_of(app.fetchval(REFUND, other, 5, "r1")) == "SC005"

    assert (await credits_of(books, owner)).balance == 0
    assert (await credits_of(books, other)).balance == 5


@pytest.mark.parametrize("store_id", [uuid4(), None])
async def test_an_unknown_store_is_refused(app: asyncpg.Connection, store_id: UUID | None) -> None:
    assert await sqlstate_of(app.fetchval(REFUND, store_id, 1, "r1")) == "SC001"


async def test_a_batch_settles_each_item_in_order(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)
    for amount, request_id in [(1, "old"), (3, "a"), (2, "b")]:
        await app.fetchval(DEDUCT, store_id, amount, request_id)
    await app.fetchval(REFUND, store_id, 1, "old")

    outcomes = await refund_many(
        app,
        store_id,
        [
            (1, "old"),
            (5, "a"),  # too much does not use the request up
            (2, "a"),
            (3, "a"),
            (4, "a"),
            (1, "never"),
            (1, "never"),
            (2, "b"),
            (2, "b"),
        ],
    )

    assert outcomes == [
        (1, "already_refunded", 5),
        (2, "exceeds_deduction", 5),
        (3, "refunded", 7),
        (4, "already_refunded", 7),
        (5, "exceeds_deduction", 7),
        (6, "no_deduction", 7),
        (7, "no_deduction", 7),
        (8, "refunded", 9),
        (9, "already_refunded", 9),
    ]
    assert (await ledger(books, store_id))[-2:] == [
        Row(6, "refund", 2, 7, "a"),
        Row(7, "refund", 2, 9, "b"),
    ]
    await assert_books_balance(books, store_id)


async def test_one_bad_amount_refuses_the_whole_batch(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)
    await app.fetchval(DEDUCT, store_id, 3, "r1")
    before = await snapshot(books, store_id)

    assert await sqlstate_of(refund_many(app, store_id, [(3, "r1"), (0, "r1")])) == "SC002"

    assert await snapshot(books, store_id) == before


async def test_an_empty_batch_does_nothing(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 1)
    before = await snapshot(books, store_id)

    assert await refund_many(app, store_id, []) == []

    assert await snapshot(books, store_id) == before


async def test_an_array_that_does_not_count_from_one_refunds_what_it_says(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)
    await app.fetchval(DEDUCT, store_id, 1, "a")
    await app.fetchval(DEDUCT, store_id, 9, "b")

    rows = await app.fetch(
        """SELECT outcome, balance FROM refund_store_credits_many(
               $1, '[0:1]={1,10}', '[5:6]={a,b}', '[-1:0]={first,second}')""",
        store_id,
    )

    assert [tuple(row) for row in rows] == [("refunded", 1), ("exceeds_deduction", 1)]
    assert (await ledger(books, store_id))[-1] == Row(4, "refund", 1, 1, "a")
    await assert_books_balance(books, store_id)


async def test_of_twenty_refunds_at_once_one_is_made(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 5)
    await app.fetchval(DEDUCT, store_id, 5, "r1")
    connections = await asyncio.gather(*(connect(books_url) for _ in range(20)))

    answers = await asyncio.gather(
        *(connection.fetchval(REFUND, store_id, 5, "r1") for connection in connections)
    )
    await asyncio.gather(*(connection.close() for connection in connections))

    assert sorted(answers) == [False] * 19 + [True]
    assert await credits_of(books, store_id) == (5, 5, 0, 3)
    await assert_books_balance(books, store_id)


async def test_a_refund_that_races_its_deduction_comes_after_it_or_is_refused(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, RACES)
    other = await connect(books_url)
    refunds = 0

    for race in range(RACES):
        request_id = f"r{race}"
        answers: list[object] = await asyncio.gather(
            app.fetchval(DEDUCT, store_id, 1, request_id),
            other.fetchval(REFUND, store_id, 1, request_id),
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

    assert (await credits_of(books, store_id)).balance == refunds
    await assert_books_balance(books, store_id)
