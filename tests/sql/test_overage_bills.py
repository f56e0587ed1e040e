"""What was used beyond the balance is billed by the month; the limit, which the operator sets."""

from collections.abc import AsyncIterator
from datetime import date
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from storecredit.ledger.credits import OVERAGE_LIMIT_MAX
from storecredit.ledger.credits import Credits as LedgerCredits
from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from tests.sql.interface import add, deduct, refund
from tests.sql.ledgers import (
    Beyond,
    Bill,
    Row,
    assert_books_balance,
    beyond,
    bills,
    credits_of,
    ledger,
    open_account,
    open_beyond,
    snapshot,
    sqlstate_of,
)

BIGINT_MAX = 2**63 - 1
MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)

SET_LIMIT = "SELECT public.set_store_overage_limit($1, $2)"
CLOSE = "SELECT close_overage($1, $2, 16, 'USD')"


async def test_a_bill_closes_everything_used_and_not_billed(
    app: Connection, books: Connection
) -> None:
    account = await open_beyond(app, limit=5)
    await deduct(app, account, 2, "a")
    await deduct(app, account, 3, "b")
    await refund(app, account, 1, "b")
    # Credits that came since stay where they are.
    await add(app, account, 7, "purchase", "order")

    assert await app.fetchval(CLOSE, account.id, MARCH) is True

    assert (await ledger(books, account))[-1] == Row(5, "overage_bill", 4, 7, "overage-2026-03")
    assert await bills(books, account) == [Bill(MARCH, 5, 4, 64, "USD", "overage-2026-03")]
    assert await credits_of(books, account) == (7, 7, 0, 5)
    assert await beyond(books, account) == Beyond(0, 5, 0)
    await assert_books_balance(books, account.owner)


async def test_a_month_is_billed_once_and_none_after_a_later_one(
    app: Connection, books: Connection
) -> None:
    account = await open_beyond(app, limit=5)
    await deduct(app, account, 1, "march")
    await app.execute(CLOSE, account.id, MARCH)
    await deduct(app, account, 2, "april")
    before = await snapshot(books, account.owner)

    assert await app.fetchval(CLOSE, account.id, MARCH) is False
    assert await app.fetchval(CLOSE, account.id, date(2026, 2, 1)) is False
    assert await snapshot(books, account.owner) == before

    assert await app.fetchval(CLOSE, account.id, APRIL) is True
    assert [bill.credits for bill in await bills(books, account)] == [1, 2]
    await assert_books_balance(books, account.owner)


async def test_where_nothing_is_used_there_is_no_bill(app: Connection, books: Connection) -> None:
    account = await open_beyond(app, limit=5)
    await deduct(app, account, 1, "r1")
    await refund(app, account, 1, "r1")
    before = await snapshot(books, account.owner)

    assert await app.fetchval(CLOSE, account.id, MARCH) is False

    assert await snapshot(books, account.owner) == before


async def test_the_largest_overage_at_the_largest_price_fits_its_bill(
    app: Connection, books: Connection
) -> None:
    largest = 2**31 - 1
    account = await open_beyond(app, limit=largest)
    assert await deduct(app, account, largest, "r1") is True

    close = "SELECT close_overage($1, $2, $3, 'USD')"
    assert await app.fetchval(close, account.id, MARCH, largest) is True

    assert (await bills(books, account))[0].amount == largest**2


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
    app: Connection,
    books: Connection,
    period: date | None,
    unit_amount: int | None,
    currency: str | None,
) -> None:
    account = await open_beyond(app, limit=5)
    await deduct(app, account, 1, "r1")
    before = await snapshot(books, account.owner)

    close = "SELECT close_overage($1, $2, $3, $4)"
    refused = await sqlstate_of(app.fetchval(close, account.id, period, unit_amount, currency))

    assert refused == "SC009"
    assert await snapshot(books, account.owner) == before


# The limit


@pytest_asyncio.fixture(loop_scope="module")
async def ledger_credits(books_url: str) -> AsyncIterator[LedgerCredits]:
    database = await Database.open(books_url)
    yield LedgerCredits(database)
    await database.close()


async def test_the_operator_sets_the_limit_and_sees_what_is_used(
    app: Connection, books: Connection, ledger_credits: LedgerCredits
) -> None:
    account, other = [await open_account(app, OwnerKind.STORE) for _ in range(2)]
    store_id = account.owner.id

    assert await ledger_credits.set_overage_limit(store_id, 5) is True
    await deduct(app, account, 3, "r1")
    assert await ledger_credits.set_overage_limit(store_id, 2) is True

    credits = await ledger_credits.balance(account.owner)
    assert (credits.balance, credits.overage_used, credits.overage_limit) == (0, 3, 2)
    assert await beyond(books, other) == Beyond(0, 0, 0)
    assert await ledger_credits.set_overage_limit(uuid4(), 5) is False
    for limit in (-1, OVERAGE_LIMIT_MAX + 1):
        with pytest.raises(ValueError, match="an overage limit is 0 to"):
            await ledger_credits.set_overage_limit(store_id, limit)


@pytest.mark.parametrize("store_id", [uuid4(), None])
async def test_the_limit_of_no_store_is_not_set(app: Connection, store_id: UUID | None) -> None:
    assert await app.fetchval(SET_LIMIT, store_id, 5) is False


async def test_a_limit_below_what_is_used_takes_nothing_back(
    app: Connection, books: Connection
) -> None:
    account = await open_beyond(app, limit=5)
    await deduct(app, account, 4, "r1")

    for limit in (1, 0):
        assert await app.fetchval(SET_LIMIT, account.owner.id, limit) is True
        assert await beyond(books, account) == Beyond(0, limit, 4)

    assert await app.fetchval(CLOSE, account.id, MARCH) is True
    await assert_books_balance(books, account.owner)


@pytest.mark.parametrize("limit", [-1, 2**31, BIGINT_MAX, None])
async def test_an_impossible_limit_is_refused(
    app: Connection, books: Connection, limit: int | None
) -> None:
    account = await open_beyond(app, limit=5)

    assert await sqlstate_of(app.fetchval(SET_LIMIT, account.owner.id, limit)) == "SC009"

    assert await beyond(books, account) == Beyond(0, 5, 0)
