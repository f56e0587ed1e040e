"""Credits taken back because their payment was given back, read back from the tables."""

import asyncio
from uuid import UUID, uuid4

import pytest

from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.conftest import Callers
from tests.sql.interface import INTERFACES, add, claw_back, deduct
from tests.sql.ledgers import (
    Beyond,
    Row,
    assert_books_balance,
    beyond,
    credits_of,
    ledger,
    open_account,
    snapshot,
    sqlstate_of,
)

INT_MAX = 2**31 - 1


async def test_a_clawback_takes_the_credits_and_writes_one_row(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 10)

    assert await claw_back(app, account, 4, "adj_1") == 4

    assert (await ledger(books, account))[1:] == [Row(2, "clawback", 4, 6, "adj_1")]
    assert await credits_of(books, account) == (6, 10, 0, 2)
    assert await beyond(books, account) == Beyond(4, 0, 0)
    await assert_books_balance(books, account.owner)


async def test_a_clawback_takes_what_is_there_and_no_more(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 10)
    await deduct(app, account, 3, "r1")

    assert await claw_back(app, account, 4, "part") == 4
    assert await claw_back(app, account, INT_MAX, "rest") == 3

    assert (await ledger(books, account))[2:] == [
        Row(3, "clawback", 4, 3, "part"),
        Row(4, "clawback", 3, 0, "rest"),
    ]
    assert await credits_of(books, account) == (0, 10, 3, 4)
    await assert_books_balance(books, account.owner)


async def test_what_was_clawed_back_stays_so_whatever_moves_next(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 10)
    await claw_back(app, account, 4, "adj_1")

    await add(app, account, 5, "purchase", "order")
    await deduct(app, account, 2, "r1")

    assert await beyond(books, account) == Beyond(4, 0, 0)
    assert await credits_of(books, account) == (9, 15, 2, 4)


async def test_a_clawback_of_nothing_leaves_no_trace_and_may_come_again(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind)
    before = await snapshot(books, account.owner)

    assert await claw_back(app, account, 4, "adj_1") == 0
    assert await snapshot(books, account.owner) == before

    await add(app, account, 3, "purchase", "order")
    assert await claw_back(app, account, 4, "adj_1") == 3
    await assert_books_balance(books, account.owner)


@pytest.mark.parametrize("credits, taken", [(10, 4), (3, 3)])
async def test_the_same_request_takes_once(
    app: Connection, books: Connection, kind: OwnerKind, credits: int, taken: int
) -> None:
    account = await open_account(app, kind, credits)
    await claw_back(app, account, 4, "adj_1")
    # What was missing the first time is not taken later: it was recorded as missing. Credits that
    # came later are not those of the payment that was given back.
    await add(app, account, 50, "purchase", "order")
    before = await snapshot(books, account.owner)

    for amount in (4, taken, INT_MAX):
        assert await claw_back(app, account, amount, "adj_1") == taken

    assert await snapshot(books, account.owner) == before


async def test_the_same_request_for_less_than_it_took_is_refused(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 10)
    await claw_back(app, account, 4, "adj_1")
    before = await snapshot(books, account.owner)

    assert await sqlstate_of(claw_back(app, account, 3, "adj_1")) == "SC004"

    assert await snapshot(books, account.owner) == before


async def test_a_clawback_may_bear_the_request_id_of_its_purchase(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind)
    await add(app, account, 9, "purchase", "order")

    assert await claw_back(app, account, 9, "order") == 9
    # And the purchase stays made.
    assert await add(app, account, 9, "purchase", "order") is False

    assert (await credits_of(books, account)).balance == 0
    await assert_books_balance(books, account.owner)


async def test_the_description_is_kept_and_has_a_default(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account, names = await open_account(app, kind, 10), INTERFACES[kind]

    for arguments in (
        f"p_request_id => 'a', p_amount => 1, {names.argument} => $1",
        "$1, 1, 'b', 'Charged back'",
        "$1, 1, 'c', NULL",
    ):
        await app.execute(f"SELECT public.{names.claw_back}({arguments})", account.owner.id)

    rows = await books.fetch(
        "SELECT description, session_id FROM movements"
        " WHERE account_id = $1 AND type = 'clawback' ORDER BY seq",
        account.id,
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
    app: Connection,
    books: Connection,
    kind: OwnerKind,
    amount: int | None,
    request_id: str | None,
    sqlstate: str,
) -> None:
    account = await open_account(app, kind, 10)
    before = await snapshot(books, account.owner)

    assert await sqlstate_of(claw_back(app, account, amount, request_id)) == sqlstate

    assert await snapshot(books, account.owner) == before


@pytest.mark.parametrize("owner_id", [uuid4(), None])
async def test_an_unknown_owner_is_refused(
    app: Connection, kind: OwnerKind, owner_id: UUID | None
) -> None:
    names = INTERFACES[kind]
    call = app.execute(f"SELECT public.{names.claw_back}($1, 1, 'a')", owner_id)

    assert await sqlstate_of(call) == names.unknown


async def test_of_twenty_sendings_at_once_one_takes_back(
    callers: Callers, app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 17)

    taken = await asyncio.gather(
        *(claw_back(connection, account, 12, "refunded") for connection in await callers(20))
    )

    assert taken == [12] * 20
    assert await credits_of(books, account) == (5, 17, 0, 2)
    await assert_books_balance(books, account.owner)


async def test_clawbacks_and_deductions_at_once_never_take_more_than_there_is(
    callers: Callers, app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 50)

    answers = await asyncio.gather(
        *(
            claw_back(connection, account, 7, f"adj_{n // 4}")
            if n % 2
            else deduct(connection, account, 3, f"r{n}")
            for n, connection in enumerate(await callers(20))
        )
    )

    spent = 3 * answers[::2].count(True)
    clawed_back = (await beyond(books, account)).total_clawed_back
    rows = await ledger(books, account)
    assert await credits_of(books, account) == (50 - spent - clawed_back, 50, spent, len(rows))
    # Each request was sent twice, and either sending answers what the one movement took.
    by_request = {row.request_id: row.amount for row in rows}
    for n, answer in list(enumerate(answers))[1::2]:
        assert answer == by_request.get(f"adj_{n // 4}", 0)
    await assert_books_balance(books, account.owner)
