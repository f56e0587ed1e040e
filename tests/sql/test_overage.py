"""Beyond the balance: when a request is recorded as overage, and how it comes back."""

from datetime import date

import pytest

from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.batches import Item, deduct_batch, refund_batch
from tests.sql.generations import CONTENT, create, create_one, fail, session_ids_paid_for
from tests.sql.interface import add, deduct, refund
from tests.sql.ledgers import (
    Beyond,
    Row,
    assert_books_balance,
    beyond,
    credits_of,
    ledger,
    open_account,
    open_beyond,
    snapshot,
    sqlstate_of,
)

MARCH = date(2026, 3, 1)

SET_LIMIT = "SELECT set_overage_limit($1, $2)"
CLOSE = "SELECT close_overage($1, $2, 16, 'USD')"


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
    app: Connection,
    books: Connection,
    balance: int,
    limit: int,
    used: int,
    amount: int,
    outcome: str,
) -> None:
    account = await open_beyond(app, limit=used)
    if used:
        await deduct(app, account, used, "used before")
    if balance:
        await add(app, account, balance, "grant", "x")
    await app.execute(SET_LIMIT, account.id, limit)
    before = await snapshot(books, account.owner)
    rows = len(await ledger(books, account))

    # Asked again and again, each time under another request id: always the same.
    for n in range(3 if outcome == "insufficient" else 1):
        (answer,) = await deduct_batch(app, [Item(account, amount, f"r{n}")])
        assert answer.outcome == outcome

    if outcome == "insufficient":
        assert await snapshot(books, account.owner) == before
    elif outcome == "overage":
        assert (await ledger(books, account))[rows:] == [Row(rows + 1, "overage", amount, 0, "r0")]
        assert await beyond(books, account) == Beyond(0, limit, used + amount)
    else:
        assert (await credits_of(books, account)).balance == balance - amount
        assert await beyond(books, account) == Beyond(0, limit, used)
    await assert_books_balance(books, account.owner)


async def test_one_batch_goes_from_the_balance_to_the_limit_and_no_further(
    app: Connection, books: Connection
) -> None:
    account = await open_beyond(app, 2, limit=3)

    amounts = [1, 3, 1, 2, 2, 1, 2, 1, 3]
    ids = ["a", "too much", "b", "c", "c", "c", "full", "d", "too much"]
    answers = await deduct_batch(
        app, [Item(account, *item) for item in zip(amounts, ids, strict=True)]
    )

    assert answers == [
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
    assert (await ledger(books, account))[1:] == [
        Row(2, "deduction", 1, 1, "a"),
        Row(3, "deduction", 1, 0, "b"),
        Row(4, "overage", 2, 0, "c"),
        Row(5, "overage", 1, 0, "d"),
    ]
    assert await credits_of(books, account) == (0, 2, 2, 5)
    assert await beyond(books, account) == Beyond(0, 3, 3)
    await assert_books_balance(books, account.owner)


async def test_a_replay_of_overage_takes_nothing_whatever_has_become_of_it(
    app: Connection, books: Connection
) -> None:
    account = await open_beyond(app, limit=9)
    for request_id in ("standing", "given back", "billed"):
        assert await deduct(app, account, 2, request_id) is True
    await refund(app, account, 2, "given back")
    await app.execute(CLOSE, account.id, MARCH)
    await refund(app, account, 2, "billed")
    await app.execute(SET_LIMIT, account.id, 0)
    before = await snapshot(books, account.owner)

    for request_id in ("standing", "given back", "billed"):
        assert await deduct(app, account, 2, request_id) is True
        assert await sqlstate_of(deduct(app, account, 1, request_id)) == "SC004"

    assert await snapshot(books, account.owner) == before


async def test_overage_that_is_not_billed_comes_off_what_is_used(
    app: Connection, books: Connection
) -> None:
    account = await open_beyond(app, limit=5)
    await deduct(app, account, 3, "r1")

    assert await refund(app, account, 2, "r1") is True

    assert (await ledger(books, account))[-1] == Row(2, "overage_refund", 2, 0, "r1")
    assert await credits_of(books, account) == (0, 0, 0, 2)
    assert await beyond(books, account) == Beyond(0, 5, 1)
    # The room is there again.
    assert await deduct(app, account, 4, "r2") is True
    await assert_books_balance(books, account.owner)


async def test_overage_that_is_billed_comes_back_as_credits(
    app: Connection, books: Connection
) -> None:
    account = await open_beyond(app, limit=5)
    await deduct(app, account, 3, "r1")
    await app.execute(CLOSE, account.id, MARCH)

    assert await refund(app, account, 3, "r1") is True

    assert (await ledger(books, account))[-1] == Row(3, "overage_credit", 3, 3, "r1")
    assert await credits_of(books, account) == (3, 3, 0, 3)
    assert await beyond(books, account) == Beyond(0, 5, 0)
    await assert_books_balance(books, account.owner)


async def test_overage_used_after_a_bill_is_not_billed_by_it(
    app: Connection, books: Connection
) -> None:
    account = await open_beyond(app, limit=5)
    await deduct(app, account, 1, "march")
    await app.execute(CLOSE, account.id, MARCH)
    await deduct(app, account, 2, "april")

    items = [(2, "april"), (1, "march"), (1, "march"), (2, "april")]
    answers = await refund_batch(app, [Item(account, *item) for item in items])

    assert answers == [
        ("refunded", 0),
        ("refunded", 1),
        ("already_refunded", 1),
        ("already_refunded", 1),
    ]
    assert [row.type for row in (await ledger(books, account))[-2:]] == [
        "overage_refund",
        "overage_credit",
    ]
    await assert_books_balance(books, account.owner)


async def test_the_newest_bill_tells_what_is_billed(app: Connection, books: Connection) -> None:
    account = await open_beyond(app, limit=5)
    for month in (3, 4):
        await deduct(app, account, 1, f"{month}")
        await app.execute(CLOSE, account.id, date(2026, month, 1))

    for month in (3, 4):
        assert await refund(app, account, 1, f"{month}") is True

    assert [row.type for row in (await ledger(books, account))[-2:]] == ["overage_credit"] * 2
    await assert_books_balance(books, account.owner)


@pytest.mark.parametrize("closed", ["before", "between", "never"])
async def test_a_second_refund_of_overage_writes_nothing(
    app: Connection, books: Connection, closed: str
) -> None:
    account = await open_beyond(app, limit=5)
    # The other one leaves something to bill when r1 has come back.
    await deduct(app, account, 3, "r1")
    await deduct(app, account, 1, "other")
    if closed == "before":
        await app.execute(CLOSE, account.id, MARCH)
    assert await refund(app, account, 2, "r1") is True
    if closed == "between":
        await app.execute(CLOSE, account.id, MARCH)
    before = await snapshot(books, account.owner)

    assert await refund(app, account, 3, "r1") is False
    assert await refund(app, account, 1, "r1") is False
    assert await sqlstate_of(refund(app, account, 4, "r1")) == "SC006"

    assert await snapshot(books, account.owner) == before


async def test_a_purchase_pays_for_what_comes_and_not_for_what_was_used(
    app: Connection, books: Connection
) -> None:
    account = await open_beyond(app, limit=5)
    await deduct(app, account, 4, "r1")

    await add(app, account, 10, "purchase", "order")

    assert await deduct(app, account, 1, "r2") is True
    assert (await credits_of(books, account)).balance == 9
    assert await beyond(books, account) == Beyond(0, 5, 4)
    await assert_books_balance(books, account.owner)


# Generations


async def test_a_generation_beyond_the_balance_is_made_and_carries_its_session(
    app: Connection, books: Connection
) -> None:
    account = await open_beyond(app, limit=1)

    answers = await create(app, account, [("r1", CONTENT), ("r2", CONTENT), ("r1", CONTENT)])

    session_id = answers[0].session_id
    assert answers == [
        ("created", session_id, "queued", 0, "overage", 1),
        ("insufficient", None, None, 0, None, 1),
        ("replayed", session_id, "queued", 0, "overage", 1),
    ]
    assert await create(app, account, [("r1", CONTENT)]) == answers[2:]
    assert await session_ids_paid_for(books, account, "overage") == [session_id]
    sessions = "SELECT count(*) FROM sessions WHERE account_id = $1"
    assert await books.fetchval(sessions, account.id) == 1
    await assert_books_balance(books, account.owner)


@pytest.mark.parametrize(
    "billed, type_, balance", [(False, "overage_refund", 0), (True, "overage_credit", 1)]
)
async def test_a_failed_generation_gives_its_overage_back_once(
    app: Connection, books: Connection, billed: bool, type_: str, balance: int
) -> None:
    account = await open_beyond(app, limit=1)
    session_id = await create_one(app, account)
    if billed:
        await app.execute(CLOSE, account.id, MARCH)

    assert await fail(app, account, session_id) == "failed"
    before = await snapshot(books, account.owner)
    assert await fail(app, account, session_id) == "already_failed"

    assert await snapshot(books, account.owner) == before
    assert (await credits_of(books, account)).balance == balance
    assert (await beyond(books, account)).overage_used == 0
    assert (await ledger(books, account))[-1].type == type_
    assert await session_ids_paid_for(books, account, type_) == [session_id]
    await assert_books_balance(books, account.owner)


async def test_overage_taken_by_a_direct_call_makes_no_session(
    app: Connection, books: Connection
) -> None:
    account = await open_beyond(app, limit=5)
    await deduct(app, account, 1, "r1")
    before = await snapshot(books, account.owner)

    (answer,) = await create(app, account, [("r1", CONTENT)])

    assert answer.outcome == "conflict"
    assert await snapshot(books, account.owner) == before


# Who may not


async def test_an_end_user_never_goes_beyond_its_balance(
    app: Connection, books: Connection
) -> None:
    account = await open_account(app, OwnerKind.USER, 1)

    for limit in (1, 2**31 - 1):
        assert await sqlstate_of(app.fetchval(SET_LIMIT, account.id, limit)) == "SC009"
    # It has none, which may be said.
    assert await app.fetchval(SET_LIMIT, account.id, 0) is True

    assert await deduct(app, account, 1, "r1") is True
    assert await deduct(app, account, 1, "r2") is False
    assert await app.fetchval(CLOSE, account.id, MARCH) is False
    assert await beyond(books, account) == Beyond(0, 0, 0)
    assert [row.type for row in await ledger(books, account)] == ["grant", "deduction"]


@pytest.mark.parametrize("account_id", [0, None])
async def test_an_account_that_is_not_there_has_no_limit_and_no_bill(
    app: Connection, account_id: int | None
) -> None:
    assert await app.fetchval(SET_LIMIT, account_id, 5) is False
    assert await sqlstate_of(app.fetchval(CLOSE, account_id, MARCH)) == "SC010"
