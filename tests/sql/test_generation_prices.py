"""What a generation costs is said when it is created, once, and that is what comes back."""

from collections.abc import Sequence

import pytest

from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.generations import (
    CONTENT,
    OTHER_CONTENT,
    Created,
    complete,
    create_batch,
    create_one,
    fail,
    fail_batch,
    session,
    start,
)
from tests.sql.interface import refund
from tests.sql.ledgers import (
    Beyond,
    Row,
    assert_books_balance,
    beyond,
    credits_of,
    ledger,
    open_account,
    open_beyond,
    open_some,
    snapshot,
    sqlstate_of,
)


async def test_a_generation_takes_its_price_and_gives_back_as_much(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 5)

    (created,) = await create_batch(app, [(account, "r1", CONTENT)], prices=[3])

    session_id = created.session_id
    assert session_id is not None
    assert created == Created("created", session_id, "queued", 2, "balance", 3)
    assert (await session(books, account, session_id))["credits"] == 3
    assert (await ledger(books, account))[1:] == [Row(2, "deduction", 3, 2, "r1")]
    assert await fail(app, account, session_id) == "failed"
    assert (await ledger(books, account))[2:] == [Row(3, "refund", 3, 5, "r1")]
    assert await fail(app, account, session_id) == "already_failed"
    await assert_books_balance(books, account.owner)


async def test_what_went_back_is_told_once(app: Connection) -> None:
    first, second = await open_some(app, 9, 9)
    requests = [(first, "r1", CONTENT), (first, "r2", CONTENT), (second, "r1", CONTENT)]
    ids = [each.session_id for each in await create_batch(app, requests, prices=[2, 3, 4])]
    done = ids[1]
    assert done is not None
    await start(app, first, done)
    await complete(app, first, done)

    rows = await app.fetch(
        "SELECT ord, outcome, credits FROM fail_generations($1, $2, $3, $3, $4) ORDER BY ord",
        [first.id, first.id, first.id, second.id],
        [ids[0], done, ids[0], ids[2]],
        ["CODE"] * 4,
        [None] * 4,
    )

    assert [tuple(row) for row in rows] == [
        (1, "failed", 2),
        (2, "already_completed", None),
        (3, "already_failed", None),
        (4, "failed", 4),
    ]


@pytest.mark.parametrize("price_by_now", [1, 2, 3, 100, 2**31 - 1])
async def test_a_replay_is_one_whatever_it_costs_by_now(
    app: Connection, books: Connection, kind: OwnerKind, price_by_now: int
) -> None:
    account = await open_account(app, kind, 4)
    (made,) = await create_batch(app, [(account, "r1", CONTENT)], prices=[2])
    before = await snapshot(books, account.owner)

    answers = await create_batch(
        app,
        [(account, "r1", CONTENT), (account, "r1", OTHER_CONTENT)],
        prices=[price_by_now, price_by_now],
    )

    assert answers == [
        Created("replayed", made.session_id, "queued", 2, "balance", 2),
        Created("conflict", made.session_id, "queued", 2, None, None),
    ]
    assert await snapshot(books, account.owner) == before


async def test_one_request_twice_in_a_batch_is_charged_as_the_first_of_them(
    app: Connection, books: Connection
) -> None:
    (account,) = await open_some(app, 9)

    first, second = await create_batch(app, [(account, "r1", CONTENT)] * 2, prices=[3, 1])

    assert first == Created("created", first.session_id, "queued", 6, "balance", 3)
    assert second == Created("replayed", first.session_id, "queued", 6, "balance", 3)
    assert (await credits_of(books, account)).balance == 6


async def test_a_price_beyond_the_balance_takes_nothing(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 4)

    requests = [(account, f"r{n}", CONTENT) for n in range(3)]
    answers = await create_batch(app, requests, prices=[3, 2, 1])

    assert [(each.outcome, each.balance, each.credits) for each in answers] == [
        ("created", 1, 3),
        ("insufficient", 1, 2),
        ("created", 0, 1),
    ]
    assert [row.amount for row in await ledger(books, account)] == [4, 3, 1]
    await assert_books_balance(books, account.owner)


async def test_a_price_beyond_the_balance_is_overage_as_a_whole(
    app: Connection, books: Connection
) -> None:
    account = await open_beyond(app, limit=5)

    requests = [(account, "r1", CONTENT), (account, "r2", CONTENT)]
    made, refused = await create_batch(app, requests, prices=[3, 3])

    assert made == Created("created", made.session_id, "queued", 0, "overage", 3)
    assert (refused.outcome, refused.credits) == ("insufficient", 3)
    assert await beyond(books, account) == Beyond(0, 5, 3)
    assert made.session_id is not None
    assert await fail(app, account, made.session_id) == "failed"
    assert await beyond(books, account) == Beyond(0, 5, 0)
    await assert_books_balance(books, account.owner)


@pytest.mark.parametrize("prices", [(1, 0), (1, -1), (1, None), (0, 1), (2**31 - 1, -(2**31))])
async def test_what_costs_nothing_or_less_is_refused_with_its_batch(
    app: Connection, books: Connection, prices: Sequence[int | None]
) -> None:
    (account,) = await open_some(app, 9)
    before = await snapshot(books, account.owner)

    requests = [(account, "r1", CONTENT), (account, "r2", CONTENT)]
    assert await sqlstate_of(create_batch(app, requests, prices=prices)) == "SC002"

    assert await snapshot(books, account.owner) == before


async def test_a_part_given_back_before_leaves_nothing_to_give_back(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 5)
    (made,) = await create_batch(app, [(account, "r1", CONTENT)], prices=[3])
    assert made.session_id is not None
    other = await create_one(app, account, "r2")
    await refund(app, account, 2, "r1")

    assert await fail_batch(app, [(account, made.session_id), (account, other)]) == ["failed"] * 2

    assert (await credits_of(books, account)).balance == 4
