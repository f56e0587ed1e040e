"""Credits come in: add_store_credits and the opening credits, read back from the tables."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from storecredit.ledger.outcomes import Addition, AdditionType
from storecredit.ledger.store_credits import AMOUNT_MAX, CreditRowMissing, StoreCredits
from storecredit.postgres.pool import Database, connect
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
TYPES = ("purchase", "subscription", "grant")

ADD = "SELECT add_store_credits($1, $2, $3, $4)"


@pytest.mark.parametrize("type_", TYPES)
async def test_added_credits_can_be_spent_and_stand_in_the_ledger(
    app: asyncpg.Connection, books: asyncpg.Connection, type_: str
) -> None:
    store_id = await open_store(app)

    assert await app.fetchval(ADD, store_id, 100, type_, "order") is True
    assert await app.fetchval("SELECT deduct_store_credits($1, 100, 'r1')", store_id) is True

    assert await credits_of(books, store_id) == (0, 100, 100, 2)
    assert (await ledger(books, store_id))[0] == Row(1, type_, 100, 100, "order")
    await assert_books_balance(books, store_id)


async def test_the_description_is_kept_and_has_a_default(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app)

    await app.execute(
        """SELECT add_store_credits(p_request_id => 'named', p_type => 'grant', p_amount => 1,
               p_store_id => $1)""",
        store_id,
    )
    await app.execute("SELECT add_store_credits($1, 1, 'grant', 'positional', 'Gift')", store_id)
    await app.execute("SELECT add_store_credits($1, 1, 'grant', 'null', NULL)", store_id)

    rows = await books.fetch(
        "SELECT request_id, description FROM store_credit_transactions"
        " WHERE store_id = $1 ORDER BY seq",
        store_id,
    )
    assert [tuple(row) for row in rows] == [
        ("named", "Credits added"),
        ("positional", "Gift"),
        ("null", ""),
    ]


async def test_the_same_request_adds_once(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app)
    await app.fetchval(ADD, store_id, 100, "purchase", "order")
    before = await snapshot(books, store_id)

    assert await app.fetchval(ADD, store_id, 100, "purchase", "order") is False
    assert await sqlstate_of(app.fetchval(ADD, store_id, 99, "purchase", "order")) == "SC004"
    assert await sqlstate_of(app.fetchval(ADD, store_id, 100, "grant", "order")) == "SC004"

    assert await snapshot(books, store_id) == before


async def test_stores_do_not_share_request_ids(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    one, other = await open_store(app), await open_store(app)

    assert await app.fetchval(ADD, one, 1, "grant", "order") is True
    assert await app.fetchval(ADD, other, 2, "purchase", "order") is True

    assert (await credits_of(books, one)).balance == 1
    assert (await credits_of(books, other)).balance == 2


@pytest.mark.parametrize(
    "amount, type_, request_id, sqlstate",
    [
        (0, "grant", "order", "SC002"),
        (-5, "grant", "order", "SC002"),
        (None, "grant", "order", "SC002"),
        (1, "deduction", "order", "SC007"),
        (1, "refund", "order", "SC007"),
        (1, "gift", "order", "SC007"),
        (1, "", "order", "SC007"),
        (1, None, "order", "SC007"),
        (1, "grant", "", "SC003"),
        (1, "grant", "x" * 201, "SC003"),
        (1, "grant", None, "SC003"),
    ],
)
async def test_a_bad_argument_is_refused_with_its_own_code(
    app: asyncpg.Connection,
    books: asyncpg.Connection,
    amount: int | None,
    type_: str | None,
    request_id: str | None,
    sqlstate: str,
) -> None:
    store_id = await open_store(app, 1)
    before = await snapshot(books, store_id)

    assert await sqlstate_of(app.fetchval(ADD, store_id, amount, type_, request_id)) == sqlstate

    assert await snapshot(books, store_id) == before


@pytest.mark.parametrize("store_id", [uuid4(), None])
async def test_an_unknown_store_is_refused(app: asyncpg.Connection, store_id: UUID | None) -> None:
    assert await sqlstate_of(app.fetchval(ADD, store_id, 1, "grant", "order")) == "SC001"


async def test_a_request_id_has_up_to_200_characters(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app)

    assert await app.fetchval(ADD, store_id, INT_MAX, "grant", "€" * 200) is True

    assert await ledger(books, store_id) == [Row(1, "grant", INT_MAX, INT_MAX, "€" * 200)]


async def test_more_than_a_bigint_holds_is_refused_and_nothing_is_written(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app)
    await books.execute(
        "UPDATE store_credits SET balance = $2, total_purchased = $2 WHERE store_id = $1",
        store_id,
        BIGINT_MAX - 10,
    )
    before = await snapshot(books, store_id)

    numeric_value_out_of_range = "22003"
    refused = await sqlstate_of(app.fetchval(ADD, store_id, 11, "grant", "order"))
    assert refused == numeric_value_out_of_range
    assert await snapshot(books, store_id) == before

    assert await app.fetchval(ADD, store_id, 10, "grant", "order") is True
    assert (await credits_of(books, store_id)).balance == BIGINT_MAX


async def test_of_twenty_sendings_at_once_one_adds(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app)
    connections = await asyncio.gather(*(connect(books_url) for _ in range(20)))

    answers = await asyncio.gather(
        *(connection.fetchval(ADD, store_id, 7, "purchase", "order") for connection in connections)
    )
    await asyncio.gather(*(connection.close() for connection in connections))

    assert sorted(answers) == [False] * 19 + [True]
    assert await credits_of(books, store_id) == (7, 7, 0, 1)


async def test_additions_and_deductions_at_once_all_count(
    books_url: str, app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 10)
    connections = await asyncio.gather(*(connect(books_url) for _ in range(20)))

    await asyncio.gather(
        *(
            connection.fetchval(ADD, store_id, 3, "grant", f"order {n}")
            if n % 2
            else connection.fetchval("SELECT deduct_store_credits($1, 1, $2)", store_id, f"r{n}")
            for n, connection in enumerate(connections)
        )
    )
    await asyncio.gather(*(connection.close() for connection in connections))

    assert await credits_of(books, store_id) == (30, 40, 10, 21)
    await assert_books_balance(books, store_id)


async def test_a_store_opens_with_its_credits_as_a_grant(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store(app, 100)

    assert await credits_of(books, store_id) == (100, 100, 0, 1)
    assert await ledger(books, store_id) == [Row(1, "grant", 100, 100, "opening")]


@pytest.mark.parametrize("count, request_id, sqlstate", [(-1, "r1", "SC002"), (5, None, "SC003")])
async def test_a_store_whose_opening_credits_are_refused_is_not_made(
    app: asyncpg.Connection,
    books: asyncpg.Connection,
    count: int,
    request_id: str | None,
    sqlstate: str,
) -> None:
    store_id = uuid7()
    made = app.execute(
        "SELECT create_store($1, 'A', 'a.example', p_credits => $2, p_request_id => $3)",
        store_id,
        count,
        request_id,
    )

    assert await sqlstate_of(made) == sqlstate

    for table in ("stores", "store_credits", "store_credit_transactions"):
        rows = await books.fetchval(f"SELECT count(*) FROM {table} WHERE store_id = $1", store_id)
        assert rows == 0


async def test_the_ledger_in_python_tells_each_outcome(books_url: str) -> None:
    database = await Database.open(books_url)
    credits = StoreCredits(database)
    async with database.acquire() as connection:
        store_id = await open_store(connection)

    async def add(store_id: UUID, amount: int) -> Addition:
        return await credits.add(store_id, amount, AdditionType.PURCHASE, "order", "One")

    assert await add(store_id, AMOUNT_MAX) is Addition.ADDED
    assert await add(store_id, AMOUNT_MAX) is Addition.ALREADY_ADDED
    assert await add(store_id, 1) is Addition.CONFLICT
    assert await add(uuid4(), 1) is Addition.UNKNOWN_OWNER
    for amount in (0, AMOUNT_MAX + 1):
        with pytest.raises(ValueError, match="amount must be"):
            await add(store_id, amount)

    assert (await credits.balance(store_id)).balance == AMOUNT_MAX
    with pytest.raises(CreditRowMissing):
        await credits.balance(uuid4())
    await database.close()
