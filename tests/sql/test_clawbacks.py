"""Taking credits back: claw_back_store_credits, read back from the tables."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from storecredit.postgres.pool import connect
from tests.sql.books import (
    Beyond,
    Row,
    assert_books_balance,
    beyond,
    credits_of,
    ledger,
    open_store,
    snapshot,
    sqlstate_of,
)

INT_MAX = 2**31 - 1

CLAW_BACK = "SELECT claw_back_store_credits($1, $2, $3)"
DEDUCT = "SELECT deduct_store_credits($1, $2, $3)"


async def test_a_clawback_takes_the_credits_and_writes_one_row(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)

    assert await app.fetchval(CLAW_BACK, store_id, 4, "adj_1") == 4

    assert (await ledger(books, store_id))[1:] == [Row(2, "clawback", 4, 6, "adj_1")]
    assert await credits_of(books, store_id) == (6, 10, 0, 2)
    assert await beyond(books, store_id) == Beyond(4, 0, 0)
    await assert_books_balance(books, store_id)


async def test_a_clawback_takes_what_is_there_and_no_more(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)
    await app.execute(DEDUCT, store_id, 7, "r1")

    assert await app.fetchval(CLAW_BACK, store_id, INT_MAX, "adj_1") == 3

    assert (await ledger(books, store_id))[-1] == Row(3, "clawback", 3, 0, "adj_1")
    assert await credits_of(books, store_id) == (0, 10, 7, 3)
    await assert_books_balance(books, store_id)


async def test_a_clawback_of_nothing_leaves_no_trace_and_may_come_again(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app)
    before = await snapshot(books, store_id)

    assert await app.fetchval(CLAW_BACK, store_id, 4, "adj_1") == 0
    assert await snapshot(books, store_id) == before

    await app.execute("SELECT add_store_credits($1, 9, 'purchase', 'order')", store_id)
    assert await app.fetchval(CLAW_BACK, store_id, 4, "adj_1") == 4
    await assert_books_balance(books, store_id)


@pytest.mark.parametrize("credits, taken", [(10, 4), (3, 3)])
async def test_the_same_request_takes_once(
    app: asyncpg.Connection, books: asyncpg.Connection, credits: int, taken: int
) -> None:
    store_id = await open_store(app, credits)
    await app.execute(CLAW_BACK, store_id, 4, "adj_1")
    # What was missing the first time is not taken later: it was recorded as missing.
    await app.execute("SELECT add_store_credits($1, 50, 'purchase', 'order')", store_id)
    before = await snapshot(books, store_id)

    assert await app.fetchval(CLAW_BACK, store_id, 4, "adj_1") == taken

    assert await snapshot(books, store_id) == before


async def test_the_same_request_for_less_than_it_took_is_refused(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)
    await app.execute(CLAW_BACK, store_id, 4, "adj_1")
    before = await snapshot(books, store_id)

    assert await sqlstate_of(app.fetchval(CLAW_BACK, store_id, 3, "adj_1")) == "SC004"

    assert await snapshot(books, store_id) == before


async def test_a_clawback_may_bear_the_request_id_of_its_purchase(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app)
    await app.execute("SELECT add_store_credits($1, 9, 'purchase', 'order')", store_id)

    assert await app.fetchval(CLAW_BACK, store_id, 9, "order") == 9
    # And the purchase stays made.
    add = "SELECT add_store_credits($1, 9, 'purchase', 'order')"
    assert await app.fetchval(add, store_id) is False

    assert (await credits_of(books, store_id)).balance == 0
    await assert_books_balance(books, store_id)


async def test_the_description_is_kept_and_has_a_default(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)

    await app.execute(
        "SELECT claw_back_store_credits(p_request_id => 'a', p_amount => 1, p_store_id => $1)",
        store_id,
    )
    await app.execute("SELECT claw_back_store_credits($1, 1, 'b', 'Charged back')", store_id)
    await app.execute("SELECT claw_back_store_credits($1, 1, 'c', NULL)", store_id)

    rows = await books.fetch(
        "SELECT description, session_id FROM store_credit_transactions"
        " WHERE store_id = $1 AND type = 'clawback' ORDER BY seq",
        store_id,
    )
    assert [tuple(row) for row in rows] == [
        ("Credits clawed back", None),
        ("Charged back", None),
        ("", None),
    ]


@pytest.mark.parametrize(
    "amount, request_id, sqlstate",
    [
        (0, "a", "SC002"),
        (-1, "a", "SC002"),
        (None, "a", "SC002"),
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

    assert await sqlstate_of(app.fetchval(CLAW_BACK, store_id, amount, request_id)) == sqlstate

    assert await snapshot(books, store_id) == before


@pytest.mark.parametrize("store_id", [uuid4(), None])
async def test_an_unknown_store_is_refused(app: asyncpg.Connection, store_id: UUID | None) -> None:
    assert await sqlstate_of(app.fetchval(CLAW_BACK, store_id, 1, "a")) == "SC001"


async def test_clawbacks_and_deductions_at_once_never_take_more_than_there_is(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 50)
    connections = await asyncio.gather(*(connect(books_url) for _ in range(20)))

    answers = await asyncio.gather(
        *(
            connection.fetchval(CLAW_BACK, store_id, 7, f"adj_{n // 4}")
            if n % 2
            else connection.fetchval(DEDUCT, store_id, 3, f"r{n}")
            for n, connection in enumerate(connections)
        )
    )
    await asyncio.gather(*(connection.close() for connection in connections))

    spent = 3 * answers[::2].count(True)
    clawed_back = (await beyond(books, store_id)).total_clawed_back
    assert await credits_of(books, store_id) == (
        50 - spent - clawed_back,
        50,
        spent,
        len(await ledger(books, store_id)),
    )
    # Each request was sent twice, and either sending answers what the one movement took.
    by_request = {row.request_id: row.amount for row in await ledger(books, store_id)}
    for n, answer in list(enumerate(answers))[1::2]:
        assert answer == by_request.get(f"adj_{n // 4}", 0)
    await assert_books_balance(books, store_id)
