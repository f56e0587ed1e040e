"""Beyond the balance: when a request is recorded as overage, and how it comes back."""

from datetime import date

import asyncpg
import pytest

from tests.sql.books import (
    Beyond,
    Row,
    assert_books_balance,
    beyond,
    credits_of,
    ledger,
    open_store_beyond,
    snapshot,
    sqlstate_of,
)
from tests.sql.generations import CONTENT, create, create_one, fail

MARCH = date(2026, 3, 1)

DEDUCT = "SELECT deduct_store_credits($1, $2, $3)"
DEDUCT_MANY = "SELECT outcome, balance FROM deduct_store_credits_many($1, $2, $3, NULL, NULL)"
REFUND = "SELECT refund_store_credits($1, $2, $3)"
SET_LIMIT = "SELECT set_store_overage_limit($1, $2)"
CLOSE = "SELECT close_store_overage($1, $2, 16, 'USD')"


@pytest.mark.parametrize(
    "balance, limit, used, amount, outcome",
    [
        # Off by default: the limit of a new store is 0.
        (0, 0, 0, 1, "insufficient"),
        (1, 0, 0, 1, "deducted"),
        # A balance that pays for the request pays, whatever the limit.
        (1, 5, 0, 1, "deducted"),
        (5, 5, 5, 5, "deducted"),
        # At balance 0 the limit decides, to the last credit.
        (0, 5, 0, 1, "overage"),
        (0, 5, 4, 1, "overage"),
        (0, 5, 5, 1, "insufficient"),
        (0, 5, 0, 5, "overage"),
        (0, 5, 0, 6, "insufficient"),
        (0, 5, 3, 2, "overage"),
        (0, 5, 3, 3, "insufficient"),
        # No request is paid for in two ways.
        (3, 100, 0, 5, "insufficient"),
        (1, 100, 0, 2, "insufficient"),
        # A limit lowered below what is used has no room.
        (0, 2, 5, 1, "insufficient"),
        (0, 0, 5, 1, "insufficient"),
        (0, 2**31 - 1, 5, 2**31 - 1, "insufficient"),
        (0, 2**31 - 1, 0, 2**31 - 1, "overage"),
    ],
)
async def test_balance_and_setting_alone_decide(
    app: asyncpg.Connection,
    books: asyncpg.Connection,
    balance: int,
    limit: int,
    used: int,
    amount: int,
    outcome: str,
) -> None:
    store_id = await open_store_beyond(app, limit=used)
    if used:
        await app.execute(DEDUCT, store_id, used, "used before")
    if balance:
        await app.execute("SELECT add_store_credits($1, $2, 'grant', 'x')", store_id, balance)
    await app.execute(SET_LIMIT, store_id, limit)
    before = await snapshot(books, store_id)
    rows = len(await ledger(books, store_id))

    # Asked again and again, each time under another request id: always the same.
    for n in range(3 if outcome == "insufficient" else 1):
        (answer,) = await app.fetch(DEDUCT_MANY, store_id, [amount], [f"r{n}"])
        assert answer["outcome"] == outcome

    if outcome == "insufficient":
        assert await snapshot(books, store_id) == before
    elif outcome == "overage":
        assert (await ledger(books, store_id))[rows:] == [Row(rows + 1, "overage", amount, 0, "r0")]
        assert await beyond(books, store_id) == Beyond(0, limit, used + amount)
    else:
        assert (await credits_of(books, store_id)).balance == balance - amount
        assert await beyond(books, store_id) == Beyond(0, limit, used)
    await assert_books_balance(books, store_id)


async def test_one_batch_goes_from_the_balance_to_the_limit_and_no_further(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store_beyond(app, 2, limit=3)

    outcomes = await app.fetch(
        DEDUCT_MANY,
        store_id,
        [1, 3, 1, 2, 2, 1, 2, 1, 3],
        ["a", "too much", "b", "c", "c", "c", "full", "d", "too much"],
    )

    assert [tuple(row) for row in outcomes] == [
        ("deducted", 1),
        ("insufficient", 1),
        ("deducted", 0),
        ("overage", 0),
        ("already_deducted", 0),
        ("conflict", 0),
        ("insufficient", 0),
        ("overage", 0),
        ("insufficient", 0),
    ]
    assert (await ledger(books, store_id))[1:] == [
        Row(2, "deduction", 1, 1, "a"),
        Row(3, "deduction", 1, 0, "b"),
        Row(4, "overage", 2, 0, "c"),
        Row(5, "overage", 1, 0, "d"),
    ]
    assert await credits_of(books, store_id) == (0, 2, 2, 5)
    assert await beyond(books, store_id) == Beyond(0, 3, 3)
    await assert_books_balance(books, store_id)


async def test_a_replay_of_overage_takes_nothing_whatever_has_become_of_it(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store_beyond(app, limit=9)
    for request_id in ("standing", "given back", "billed"):
        assert await app.fetchval(DEDUCT, store_id, 2, request_id) is True
    await app.execute(REFUND, store_id, 2, "given back")
    await app.execute(CLOSE, store_id, MARCH)
    await app.execute(REFUND, store_id, 2, "billed")
    await app.execute(SET_LIMIT, store_id, 0)
    before = await snapshot(books, store_id)

    for request_id in ("standing", "given back", "billed"):
        assert await app.fetchval(DEDUCT, store_id, 2, request_id) is True
        assert await sqlstate_of(app.fetchval(DEDUCT, store_id, 1, request_id)) == "SC004"

    assert await snapshot(books, store_id) == before


async def test_overage_that_is_not_billed_comes_off_what_is_used(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store_beyond(app, limit=5)
    await app.execute(DEDUCT, store_id, 3, "r1")

    assert await app.fetchval(REFUND, store_id, 2, "r1") is True

    assert (await ledger(books, store_id))[-1] == Row(2, "overage_refund", 2, 0, "r1")
    assert await credits_of(books, store_id) == (0, 0, 0, 2)
    assert await beyond(books, store_id) == Beyond(0, 5, 1)
    # The room is there again.
    assert await app.fetchval(DEDUCT, store_id, 4, "r2") is True
    await assert_books_balance(books, store_id)


async def test_overage_that_is_billed_comes_back_as_credits(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store_beyond(app, limit=5)
    await app.execute(DEDUCT, store_id, 3, "r1")
    await app.execute(CLOSE, store_id, MARCH)

    assert await app.fetchval(REFUND, store_id, 3, "r1") is True

    assert (await ledger(books, store_id))[-1] == Row(3, "overage_credit", 3, 3, "r1")
    assert await credits_of(books, store_id) == (3, 3, 0, 3)
    assert await beyond(books, store_id) == Beyond(0, 5, 0)
    await assert_books_balance(books, store_id)


async def test_overage_used_after_a_bill_is_not_billed_by_it(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store_beyond(app, limit=5)
    await app.execute(DEDUCT, store_id, 1, "march")
    await app.execute(CLOSE, store_id, MARCH)
    await app.execute(DEDUCT, store_id, 2, "april")

    refunds = await app.fetch(
        "SELECT outcome, balance FROM refund_store_credits_many($1, $2, $3, NULL)",
        store_id,
        [2, 1, 1, 2],
        ["april", "march", "march", "april"],
    )

    assert [tuple(row) for row in refunds] == [
        ("refunded", 0),
        ("refunded", 1),
        ("already_refunded", 1),
        ("already_refunded", 1),
    ]
    assert [row.type for row in (await ledger(books, store_id))[-2:]] == [
        "overage_refund",
        "overage_credit",
    ]
    await assert_books_balance(books, store_id)


async def test_the_newest_bill_tells_what_is_billed(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store_beyond(app, limit=5)
    for month in (3, 4):
        await app.execute(DEDUCT, store_id, 1, f"{month}")
        await app.execute(CLOSE, store_id, date(2026, month, 1))

    for month in (3, 4):
        assert await app.fetchval(REFUND, store_id, 1, f"{month}") is True

    assert [row.type for row in (await ledger(books, store_id))[-2:]] == ["overage_credit"] * 2
    await assert_books_balance(books, store_id)


@pytest.mark.parametrize("closed", ["before", "between", "never"])
async def test_a_second_refund_of_overage_writes_nothing(
    app: asyncpg.Connection, books: asyncpg.Connection, closed: str
) -> None:
    store_id = await open_store_beyond(app, limit=5)
    # The other one leaves something to bill when r1 has come back.
    await app.execute(DEDUCT, store_id, 3, "r1")
    await app.execute(DEDUCT, store_id, 1, "other")
    if closed == "before":
        await app.execute(CLOSE, store_id, MARCH)
    assert await app.fetchval(REFUND, store_id, 2, "r1") is True
    if closed == "between":
        await app.execute(CLOSE, store_id, MARCH)
    before = await snapshot(books, store_id)

    assert await app.fetchval(REFUND, store_id, 3, "r1") is False
    assert await app.fetchval(REFUND, store_id, 1, "r1") is False
    assert await sqlstate_of(app.fetchval(REFUND, store_id, 4, "r1")) == "SC006"

    assert await snapshot(books, store_id) == before


async def test_a_purchase_pays_for_what_comes_and_not_for_what_was_used(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store_beyond(app, limit=5)
    await app.execute(DEDUCT, store_id, 4, "r1")

    await app.execute("SELECT add_store_credits($1, 10, 'purchase', 'order')", store_id)

    assert await app.fetchval(DEDUCT, store_id, 1, "r2") is True
    assert (await credits_of(books, store_id)).balance == 9
    assert await beyond(books, store_id) == Beyond(0, 5, 4)
    await assert_books_balance(books, store_id)


# Generations


async def test_a_generation_beyond_the_balance_is_made_and_carries_its_session(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store_beyond(app, limit=1)

    rows = await create(app, store_id, [("r1", CONTENT), ("r2", CONTENT), ("r1", CONTENT)])

    assert [(row["outcome"], row["status"], row["balance"]) for row in rows] == [
        ("created", "queued", 0),
        ("insufficient", None, 0),
        ("replayed", "queued", 0),
    ]
    (again,) = await create(app, store_id, [("r1", CONTENT)])
    assert (again["outcome"], again["session_id"]) == ("replayed", rows[0]["session_id"])
    written = await books.fetch(
        "SELECT type, session_id FROM store_credit_transactions WHERE store_id = $1", store_id
    )
    assert [tuple(row) for row in written] == [("overage", rows[0]["session_id"])]
    assert await books.fetchval(
        "SELECT count(*) = 1 FROM store_generation_sessions WHERE store_id = $1", store_id
    )
    await assert_books_balance(books, store_id)


@pytest.mark.parametrize(
    "billed, type_, balance", [(False, "overage_refund", 0), (True, "overage_credit", 1)]
)
async def test_a_failed_generation_gives_its_overage_back_once(
    app: asyncpg.Connection, books: asyncpg.Connection, billed: bool, type_: str, balance: int
) -> None:
    store_id = await open_store_beyond(app, limit=1)
    session_id = await create_one(app, store_id)
    if billed:
        await app.execute(CLOSE, store_id, MARCH)

    assert await fail(app, store_id, session_id) == "failed"
    before = await snapshot(books, store_id)
    assert await fail(app, store_id, session_id) == "already_failed"

    assert await snapshot(books, store_id) == before
    assert (await credits_of(books, store_id)).balance == balance
    assert (await beyond(books, store_id)).overage_used == 0
    written = await books.fetchrow(
        "SELECT type, session_id FROM store_credit_transactions WHERE store_id = $1"
        " ORDER BY seq DESC LIMIT 1",
        store_id,
    )
    assert written is not None
    assert tuple(written) == (type_, session_id)
    await assert_books_balance(books, store_id)


async def test_overage_taken_by_a_direct_call_makes_no_session(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    store_id = await open_store_beyond(app, limit=5)
    await app.execute(DEDUCT, store_id, 1, "r1")
    before = await snapshot(books, store_id)

    (row,) = await create(app, store_id, [("r1", CONTENT)])

    assert row["outcome"] == "conflict"
    assert await snapshot(books, store_id) == before
