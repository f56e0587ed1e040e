"""What was used beyond the balance is billed by the month; the limit, which the operator sets."""

from collections.abc import AsyncIterator
from datetime import date
from uuid import UUID, uuid4

import asyncpg
import pytest

from storecredit.ledger.store_credits import OVERAGE_LIMIT_MAX, StoreCredits
from storecredit.postgres.pool import Database
from tests.sql.books import (
    Beyond,
    Bill,
    Row,
    assert_books_balance,
    beyond,
    bills,
    credits_of,
    ledger,
    open_store,
    open_store_beyond,
    snapshot,
    sqlstate_of,
)

BIGINT_MAX = 2**63 - 1
MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)

DEDUCT = "SELECT deduct_store_credits($1, $2, $3)"
REFUND = "SELECT refund_store_credits($1, $2, $3)"
SET_LIMIT = "SELECT set_store_overage_limit($1, $2)"
CLOSE = "SELECT close_store_overage($1, $2, 16, 'USD')"


async def test_a_bill_closes_everything_used_and_not_billed(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store_beyond(app, limit=5)
    await app.execute(DEDUCT, store_id, 2, "a")
    await app.execute(DEDUCT, store_id, 3, "b")
    await app.execute(REFUND, store_id, 1, "b")
    # Credits that came since stay where they are.
    await app.execute("SELECT add_store_credits($1, 7, 'purchase', 'order')", store_id)

    assert await app.fetchval(CLOSE, store_id, MARCH) is True

    assert (await ledger(books, store_id))[-1] == Row(5, "overage_bill", 4, 7, "overage-2026-03")
    assert await bills(books, store_id) == [Bill(MARCH, 5, 4, 64, "USD", "overage-2026-03")]
    assert await credits_of(books, store_id) == (7, 7, 0, 5)
    assert await beyond(books, store_id) == Beyond(0, 5, 0)
    await assert_books_balance(books, store_id)


async def test_a_month_is_billed_once_and_none_after_a_later_one(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store_beyond(app, limit=5)
    await app.execute(DEDUCT, store_id, 1, "march")
    await app.execute(CLOSE, store_id, MARCH)
    await app.execute(DEDUCT, store_id, 2, "april")
    before = await snapshot(books, store_id)

    assert await app.fetchval(CLOSE, store_id, MARCH) is False
    assert await app.fetchval(CLOSE, store_id, date(2026, 2, 1)) is False
    assert await snapshot(books, store_id) == before

    assert await app.fetchval(CLOSE, store_id, APRIL) is True
    assert [bill.credits for bill in await bills(books, store_id)] == [1, 2]
    await assert_books_balance(books, store_id)


async def test_where_nothing_is_used_there_is_no_bill(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store_beyond(app, limit=5)
    await app.execute(DEDUCT, store_id, 1, "r1")
    await app.execute(REFUND, store_id, 1, "r1")
    before = await snapshot(books, store_id)

    assert await app.fetchval(CLOSE, store_id, MARCH) is False

    assert await snapshot(books, store_id) == before


async def test_the_largest_overage_at_the_largest_price_fits_its_bill(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    largest = 2**31 - 1
    store_id = await open_store_beyond(app, limit=largest)
    assert await app.fetchval(DEDUCT, store_id, largest, "r1") is True

    close = "SELECT close_store_overage($1, $2, $3, 'USD')"
    assert await app.fetchval(close, store_id, MARCH, largest) is True

    assert (await bills(books, store_id))[0].amount == largest**2


@pytest.mark.parametrize(
    "period, unit_amount, currency",
    [
        (date(2026, 3, 2), 16, "USD"),
        (None, 16, "USD"),
        (date.max, 16, "USD"),
        (MARCH, 0, "USD"),
        (MARCH, -1, "USD"),
        (MARCH, 2**31, "USD"),
        (MARCH, BIGINT_MAX, "USD"),
        (MARCH, None, "USD"),
        (MARCH, 16, "usd"),
        (MARCH, 16, "USDX"),
        (MARCH, 16, "USD\n"),
        (MARCH, 16, None),
    ],
)
async def test_a_bill_of_no_month_price_or_currency_is_refused(
    app: asyncpg.Connection,
    books: asyncpg.Connection,
    period: date | None,
    unit_amount: int | None,
    currency: str | None,
) -> None:
    store_id = await open_store_beyond(app, limit=5)
    await app.execute(DEDUCT, store_id, 1, "r1")
    before = await snapshot(books, store_id)

    close = "SELECT close_store_overage($1, $2, $3, $4)"
    refused = await sqlstate_of(app.fetchval(close, store_id, period, unit_amount, currency))

    assert refused == "SC009"
    assert await snapshot(books, store_id) == before


@pytest.mark.parametrize("store_id", [uuid4(), None])
async def test_the_overage_of_no_store_cannot_be_closed(
    app: asyncpg.Connection, store_id: UUID | None
) -> None:
    assert await sqlstate_of(app.fetchval(CLOSE, store_id, MARCH)) == "SC001"


# The limit


@pytest.fixture
async def store_credits(books_url: str) -> AsyncIterator[StoreCredits]:
    database = await Database.open(books_url)
    yield StoreCredits(database)
    await database.close()


async def test_the_operator_sets_the_limit_and_sees_what_is_used(
    app: asyncpg.Connection, books: asyncpg.Connection, store_credits: StoreCredits
) -> None:
    store_id, other = await open_store(app), await open_store(app)

    assert await store_credits.set_overage_limit(store_id, 5) is True
    await app.execute(DEDUCT, store_id, 3, "r1")
    assert await store_credits.set_overage_limit(store_id, 2) is True

    credits = await store_credits.balance(store_id)
    assert (credits.balance, credits.overage_used, credits.overage_limit) == (0, 3, 2)
    assert await beyond(books, other) == Beyond(0, 0, 0)
    assert await store_credits.set_overage_limit(uuid4(), 5) is False
    for limit in (-1, OVERAGE_LIMIT_MAX + 1):
        with pytest.raises(ValueError, match="an overage limit is 0 to"):
            await store_credits.set_overage_limit(store_id, limit)


@pytest.mark.parametrize("limit", [-1, 2**31, BIGINT_MAX, None])
async def test_an_impossible_limit_is_refused(
    app: asyncpg.Connection, books: asyncpg.Connection, limit: int | None
) -> None:
    store_id = await open_store_beyond(app, limit=5)

    assert await sqlstate_of(app.fetchval(SET_LIMIT, store_id, limit)) == "SC009"

    assert await beyond(books, store_id) == Beyond(0, 5, 0)
