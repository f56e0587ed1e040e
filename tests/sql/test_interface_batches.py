"""The plural functions for outside callers, and the views beside the tables."""

import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.generations import create_one
from tests.sql.interface import INTERFACES, claw_back, deduct, refund
from tests.sql.ledgers import (
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

DEDUCT_MANY = "SELECT outcome, balance FROM public.deduct_store_credits_many($1, $2, $3, $4, $5)"
REFUND_MANY = "SELECT outcome, balance FROM public.refund_store_credits_many($1, $2, $3, $4)"


async def test_arrays_that_do_not_count_from_one_mean_what_they_say(
    app: Connection, books: Connection
) -> None:
    account = await open_account(app, OwnerKind.STORE, 10)

    taken = await app.fetch(
        """SELECT outcome, balance FROM public.deduct_store_credits_many(
               $1, '[0:1]={1,500}', '[5:6]={a,b}', '[-1:0]={first,second}', '{NULL,NULL}')""",
        account.owner.id,
    )
    await deduct(app, account, 9, "b")
    back = await app.fetch(
        """SELECT outcome, balance FROM public.refund_store_credits_many(
               $1, '[0:1]={1,10}', '[5:6]={a,b}', '[-1:0]={first,second}')""",
        account.owner.id,
    )

    assert [tuple(row) for row in taken] == [("deducted", 9), ("insufficient", 9)]
    assert [tuple(row) for row in back] == [("refunded", 1), ("exceeds_deduction", 1)]
    assert (await ledger(books, account))[1:] == [
        Row(2, "deduction", 1, 9, "a"),
        Row(3, "deduction", 9, 0, "b"),
        Row(4, "refund", 1, 1, "a"),
    ]
    await assert_books_balance(books, account.owner)


@pytest.mark.parametrize(
    "amount, request_id, sqlstate",
    [
        (0, "r1", "SC002"),
        (-1, "r1", "SC002"),
        (None, "r1", "SC002"),
        (1, "", "SC003"),
        (1, "x" * 201, "SC003"),
        (1, None, "SC003"),
    ],
)
async def test_one_bad_item_refuses_its_whole_batch(
    app: Connection,
    books: Connection,
    amount: int | None,
    request_id: str | None,
    sqlstate: str,
) -> None:
    account = await open_account(app, OwnerKind.STORE, 10)
    before = await snapshot(books, account.owner)

    batch = ([1, amount, 1], ["good", request_id, "also good"])
    refused = await sqlstate_of(app.fetch(DEDUCT_MANY, account.owner.id, *batch, None, None))
    assert refused == sqlstate
    if sqlstate == "SC002":
        refused = await sqlstate_of(app.fetch(REFUND_MANY, account.owner.id, *batch, None))
        assert refused == sqlstate

    assert await snapshot(books, account.owner) == before


async def test_a_batch_across_what_is_paid_and_what_goes_beyond(app: Connection) -> None:
    account = await open_beyond(app, 1, limit=1)

    rows = await app.fetch(
        DEDUCT_MANY, account.owner.id, [1, 1, 1, 1], ["a", "b", "c", "b"], None, None
    )

    assert [tuple(row) for row in rows] == [
        ("deducted", 0),
        ("overage", 0),
        ("insufficient", 0),
        ("already_deducted", 0),
    ]


async def with_everything(app: Connection, kind: OwnerKind) -> Account:
    """An account with a session, a refund, a clawback, and overage where it may."""
    if kind is OwnerKind.STORE:
        account = await open_beyond(app, 5, limit=9)
    else:
        account = await open_account(app, kind, 5)
    await create_one(app, account, "made")
    await deduct(app, account, 2, "returned")
    await refund(app, account, 1, "returned")
    await claw_back(app, account, 9, "taken back")
    await deduct(app, account, 4, "beyond")
    return account


@pytest.mark.parametrize("is_new", [True, False])
async def test_the_views_say_what_stands_in_the_tables(
    app: Connection, books: Connection, kind: OwnerKind, is_new: bool
) -> None:
    account = await (open_account(app, kind) if is_new else with_everything(app, kind))
    names = INTERFACES[kind]
    total = "total_purchased" if kind is OwnerKind.STORE else "total_earned"

    rows = await app.fetch(
        f"""SELECT balance, {total}, total_spent, last_seq, total_clawed_back
            FROM public.{names.credits} WHERE {names.owner_id} = $1""",
        account.owner.id,
    )
    clawed_back = (await beyond(books, account)).total_clawed_back
    assert [tuple(row) for row in rows] == [(*await credits_of(books, account), clawed_back)]

    shown = await app.fetch(
        f"""SELECT seq, type, amount, balance_after, request_id FROM public.{names.movements}
            WHERE {names.owner_id} = $1 ORDER BY seq""",
        account.owner.id,
    )
    shown_as = {"deduction": names.deduction}
    assert [tuple(row) for row in shown] == [
        row._replace(type=shown_as.get(row.type, row.type)) for row in await ledger(books, account)
    ]

    sessions = await app.fetch(
        f"SELECT request_id, status FROM public.{names.sessions} WHERE {names.owner_id} = $1",
        account.owner.id,
    )
    assert [tuple(row) for row in sessions] == ([] if is_new else [("made", "queued")])


async def test_a_stores_row_tells_what_it_used_beyond_its_balance(
    app: Connection, books: Connection
) -> None:
    account = await with_everything(app, OwnerKind.STORE)

    row = await app.fetchrow(
        """SELECT total_clawed_back, overage_limit, overage_used FROM public.store_credits
           WHERE store_id = $1""",
        account.owner.id,
    )
    assert row is not None
    assert tuple(row) == await beyond(books, account) == (3, 9, 4)
