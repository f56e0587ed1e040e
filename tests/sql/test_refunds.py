"""Giving credits back one request at a time, as outside callers do, read back from the tables."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.conftest import Callers
from tests.sql.generations import create_one
from tests.sql.interface import INTERFACES, claw_back, deduct, refund
from tests.sql.ledgers import (
    Row,
    assert_books_balance,
    credits_of,
    ledger,
    open_account,
    snapshot,
    sqlstate_of,
)

INT_MAX = 2**31 - 1
RACES = 30


async def test_a_refund_returns_the_credits_under_the_same_request(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 10)
    await deduct(app, account, 3, "r1")

    assert await refund(app, account, 3, "r1") is True

    assert await credits_of(books, account) == (10, 10, 0, 3)
    assert (await ledger(books, account))[1:] == [
        Row(2, "deduction", 3, 7, "r1"),
        Row(3, "refund", 3, 10, "r1"),
    ]
    await assert_books_balance(books, account.owner)


async def test_a_second_refund_answers_false_and_writes_nothing(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 10)
    await deduct(app, account, 3, "r1")
    await refund(app, account, 3, "r1")
    before = await snapshot(books, account.owner)

    assert await refund(app, account, 3, "r1") is False

    assert await snapshot(books, account.owner) == before


async def test_less_than_was_deducted_may_come_back_but_only_once(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 10)
    await deduct(app, account, 5, "r1")

    assert await refund(app, account, 2, "r1") is True
    before = await snapshot(books, account.owner)
    for amount in (2, 3, 5):
        assert await refund(app, account, amount, "r1") is False

    assert await snapshot(books, account.owner) == before
    assert await credits_of(books, account) == (7, 10, 3, 3)
    await assert_books_balance(books, account.owner)


async def test_a_refund_carries_its_description_and_the_session_of_its_deduction(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account, names = await open_account(app, kind, 10), INTERFACES[kind]
    session_id = await create_one(app, account, "made")
    for request_id in ("named", "positional", "null"):
        await deduct(app, account, 1, request_id)

    for arguments in (
        "$1, 1, 'made'",
        f"p_amount => 1, p_request_id => 'named', {names.argument} => $1",
        "$1, 1, 'positional', 'Blocked'",
        f"{names.argument} => $1, p_amount => 1, p_request_id => 'null', p_description => NULL",
    ):
        await app.execute(f"SELECT public.{names.refund}({arguments})", account.owner.id)

    rows = await books.fetch(
        "SELECT request_id, description, session_id FROM movements"
        " WHERE account_id = $1 AND type = 'refund' ORDER BY seq",
        account.id,
    )
    assert [tuple(row) for row in rows] == [
        ("made", "Credits refunded", session_id),
        ("named", "Credits refunded", None),
        ("positional", "Blocked", None),
        ("null", "", None),
    ]


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
        (1, "clawed back", "SC005"),
        (1, None, "SC005"),
        (1, "", "SC005"),
        (1, "x" * 300, "SC005"),
    ],
)
async def test_what_cannot_be_refunded_is_refused_with_its_own_code(
    app: Connection,
    books: Connection,
    kind: OwnerKind,
    amount: int | None,
    request_id: str | None,
    sqlstate: str,
) -> None:
    account = await open_account(app, kind, 10)
    await deduct(app, account, 3, "taken")
    await deduct(app, account, 2, "returned too")
    await refund(app, account, 2, "returned too")
    await deduct(app, account, 100, "refused")
    await claw_back(app, account, 1, "clawed back")
    before = await snapshot(books, account.owner)

    assert await sqlstate_of(refund(app, account, amount, request_id)) == sqlstate

    assert await snapshot(books, account.owner) == before


async def test_another_accounts_deduction_cannot_be_refunded(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    owner, other = await open_account(app, kind, 5), await open_account(app, kind, 5)
    await deduct(app, owner, 5, "r1")

    assert await sqlstate_of(refund(app, other, 5, "r1")) == "SC005"

    assert (await credits_of(books, owner)).balance == 0
    assert (await credits_of(books, other)).balance == 5


@pytest.mark.parametrize("owner_id", [uuid4(), None])
async def test_an_unknown_owner_is_refused(
    app: Connection, kind: OwnerKind, owner_id: UUID | None
) -> None:
    names = INTERFACES[kind]
    call = app.execute(f"SELECT public.{names.refund}($1, 1, 'r1')", owner_id)

    assert await sqlstate_of(call) == names.unknown


async def test_a_refund_after_a_clawback_gives_back_what_was_deducted(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 10)
    await deduct(app, account, 6, "r1")
    await claw_back(app, account, 10, "r1")

    assert await refund(app, account, 6, "r1") is True

    assert await credits_of(books, account) == (6, 10, 0, 4)
    await assert_books_balance(books, account.owner)


async def test_of_twenty_refunds_at_once_one_is_made(
    callers: Callers, app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 5)
    await deduct(app, account, 5, "r1")

    answers = await asyncio.gather(
        *(refund(connection, account, 5, "r1") for connection in await callers(20))
    )

    assert sorted(answers) == [False] * 19 + [True]
    assert await credits_of(books, account) == (5, 5, 0, 3)
    await assert_books_balance(books, account.owner)


async def test_a_refund_that_races_its_deduction_comes_after_it_or_is_refused(
    callers: Callers, app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, RACES)
    (other,) = await callers(1)
    refunds = 0

    for race in range(RACES):
        request_id = f"r{race}"
        deducted, refunded = await asyncio.gather(
            deduct(app, account, 1, request_id),
            refund(other, account, 1, request_id),
            return_exceptions=True,
        )
        assert deducted is True
        if isinstance(refunded, asyncpg.PostgresError):
            assert refunded.sqlstate == "SC005"
        else:
            assert refunded is True
            refunds += 1

    assert (await credits_of(books, account)).balance == refunds
    await assert_books_balance(books, account.owner)
