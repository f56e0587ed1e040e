"""Beyond the balance, many at once: at the edge of the limit, and while a month is closed."""

import asyncio
from collections import Counter
from datetime import date

import pytest
import pytest_asyncio

from storecredit.postgres.servers import Connection
from tests.sql.batches import Item, deduct_batch
from tests.sql.conftest import Callers
from tests.sql.generations import CONTENT, create, create_one, fail
from tests.sql.interface import refund
from tests.sql.ledgers import (
    Beyond,
    assert_books_balance,
    beyond,
    bills,
    credits_of,
    ledger,
    open_beyond,
)

CONNECTIONS = 12
RACES = 25
MARCH = date(2026, 3, 1)

SET_LIMIT = "SELECT set_overage_limit($1, $2)"
CLOSE = "SELECT close_overage($1, $2, 16, 'USD')"


@pytest_asyncio.fixture(loop_scope="module")
async def many(callers: Callers) -> list[Connection]:
    """Several connections of the application."""
    return await callers(CONNECTIONS)


@pytest.mark.parametrize("credits", [0, 4])
@pytest.mark.parametrize("places", [0, 1, 5])
async def test_at_the_edge_as_many_go_beyond_as_there_are_places(
    many: list[Connection],
    app: Connection,
    books: Connection,
    places: int,
    credits: int,
) -> None:
    account = await open_beyond(app, credits, limit=places)

    async def ask(n: int, connection: Connection) -> list[str]:
        """Three batches of each connection, some of one request and some of two."""
        outcomes: list[str] = []
        for turn in range(3):
            ids = [f"{n} {turn} {item}" for item in range(1 + (n + turn) % 2)]
            answers = await deduct_batch(connection, [Item(account, 1, each) for each in ids])
            outcomes += [answer.outcome for answer in answers]
        return outcomes

    asked = await asyncio.gather(*(ask(n, connection) for n, connection in enumerate(many)))

    outcomes = Counter(outcome for each in asked for outcome in each)
    assert outcomes["deducted"] == credits
    assert outcomes["overage"] == places
    assert outcomes.total() == outcomes["insufficient"] + credits + places
    assert await beyond(books, account) == Beyond(0, places, places)
    assert (await credits_of(books, account)).balance == 0
    # First all that the balance pays for, then what goes beyond it: no other order is possible.
    types = [row.type for row in await ledger(books, account) if row.request_id != "opening"]
    assert types == ["deduction"] * credits + ["overage"] * places
    await assert_books_balance(books, account.owner)


async def test_one_request_sent_by_all_at_once_goes_beyond_once(
    many: list[Connection], app: Connection, books: Connection
) -> None:
    account = await open_beyond(app, limit=5)

    answers = await asyncio.gather(
        *(create(connection, account, [("r1", CONTENT)]) for connection in many)
    )

    outcomes = sorted(created.outcome for (created,) in answers)
    assert outcomes == ["created"] + ["replayed"] * (CONNECTIONS - 1)
    assert (await beyond(books, account)).overage_used == 1
    await assert_books_balance(books, account.owner)


async def test_overage_comes_back_once_while_its_month_is_closed(
    many: list[Connection], app: Connection, books: Connection
) -> None:
    for race in range(RACES):
        account = await open_beyond(app, limit=2)
        session_id = await create_one(app, account, "r1")
        # Something to bill also where r1 has come back before.
        await deduct_batch(app, [Item(account, 1, "other")])

        first, last = many[race % 4], many[4 + race % 4]
        closed, failed, *refunds = await asyncio.gather(
            first.fetchval(CLOSE, account.id, MARCH),
            fail(last, account, session_id),
            *(refund(each, account, 1, "r1") for each in many[8:]),
        )

        assert closed is True
        assert failed == "failed"
        back = [
            row.type
            for row in await ledger(books, account)
            if row.type in {"refund", "overage_refund", "overage_credit"}
        ]
        assert len(back) == 1, "it came back once, whoever gave it back"
        assert refunds.count(True) <= 1
        # Billed and given as credits, or neither.
        billed = {"overage_refund": 1, "overage_credit": 2}[back[0]]
        assert [bill.credits for bill in await bills(books, account)] == [billed]
        assert (await credits_of(books, account)).balance == billed - 1
        assert (await beyond(books, account)).overage_used == 0
        assert await fail(app, account, session_id) == "already_failed"
        await assert_books_balance(books, account.owner)


async def test_a_month_closed_by_all_at_once_is_one_bill(
    many: list[Connection], app: Connection, books: Connection
) -> None:
    account = await open_beyond(app, limit=100)
    await deduct_batch(app, [Item(account, 7, "before")])

    answers = await asyncio.gather(
        *(
            connection.fetchval(CLOSE, account.id, MARCH)
            if n % 2
            else deduct_batch(connection, [Item(account, 1, f"r{n}")])
            for n, connection in enumerate(many)
        )
    )

    assert answers[1::2].count(True) == 1
    (bill,) = await bills(books, account)
    used = (await beyond(books, account)).overage_used
    assert bill.credits + used == 7 + CONNECTIONS // 2
    await assert_books_balance(books, account.owner)


async def test_a_limit_lowered_at_once_lets_through_what_came_before_it(
    many: list[Connection], app: Connection, books: Connection
) -> None:
    account = await open_beyond(app, limit=100)

    answers = await asyncio.gather(
        *(
            deduct_batch(connection, [Item(account, 1, f"r{n}")])
            for n, connection in enumerate(many[:6])
        ),
        many[6].fetchval(SET_LIMIT, account.id, 0),
        *(
            deduct_batch(connection, [Item(account, 1, f"s{n}")])
            for n, connection in enumerate(many[7:])
        ),
    )
    outcomes = [each[0].outcome for each in answers if isinstance(each, list)]
    (after,) = await deduct_batch(app, [Item(account, 1, "after")])

    assert after.outcome == "insufficient"
    assert await beyond(books, account) == Beyond(0, 0, outcomes.count("overage"))
    await assert_books_balance(books, account.owner)
