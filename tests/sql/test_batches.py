"""The doors that take and give back credits of many accounts, of stores and end users together."""

import asyncio

from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.batches import Item, deduct_batch, refund_batch
from tests.sql.conftest import Callers
from tests.sql.interface import add, claw_back
from tests.sql.ledgers import (
    Row,
    account_of,
    assert_books_balance,
    beyond,
    credits_of,
    ledger,
    open_account,
    open_beyond,
    open_some,
)


async def test_a_batch_settles_each_item_in_order(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 6)
    await deduct_batch(app, [Item(account, 1, "old")])

    answers = await deduct_batch(
        app,
        [
            Item(account, 1, "old"),
            Item(account, 2, "old"),
            Item(account, 2, "a"),
            Item(account, 2, "a"),
            Item(account, 3, "a"),
            Item(account, 9, "b"),
            Item(account, 1, "b"),  # its first sending was refused: decided once per batch
            Item(account, 3, "c"),
            Item(account, 1, "d"),
            Item(account, 1, "old"),
        ],
    )

    assert answers == [
        ("already_deducted", 5),
        ("conflict", 5),
        ("deducted", 3),
        ("already_deducted", 3),
        ("conflict", 3),
        ("insufficient", 3),
        ("insufficient", 3),
        ("deducted", 0),
        ("insufficient", 0),
        ("already_deducted", 0),
    ]
    assert await ledger(books, account) == [
        Row(1, "grant", 6, 6, "opening"),
        Row(2, "deduction", 1, 5, "old"),
        Row(3, "deduction", 2, 3, "a"),
        Row(4, "deduction", 3, 0, "c"),
    ]
    await assert_books_balance(books, account.owner)


async def test_a_batch_of_refunds_settles_each_item_in_order(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 10)
    taken = [Item(account, 1, "old"), Item(account, 3, "a"), Item(account, 2, "b")]
    await deduct_batch(app, taken)
    await refund_batch(app, [Item(account, 1, "old")])

    answers = await refund_batch(
        app,
        [
            Item(account, 1, "old"),
            Item(account, 5, "a"),  # too much does not use the request up
            Item(account, 2, "a"),
            Item(account, 3, "a"),
            Item(account, 4, "a"),
            Item(account, 1, "never"),
            Item(account, 1, "never"),
            Item(account, 2, "b"),
            Item(account, 2, "b"),
        ],
    )

    assert answers == [
        ("already_refunded", 5),
        ("exceeds_deduction", 5),
        ("refunded", 7),
        ("already_refunded", 7),
        ("exceeds_deduction", 7),
        ("no_deduction", 7),
        ("no_deduction", 7),
        ("refunded", 9),
        ("already_refunded", 9),
    ]
    assert (await ledger(books, account))[-2:] == [
        Row(6, "refund", 2, 7, "a"),
        Row(7, "refund", 2, 9, "b"),
    ]
    await assert_books_balance(books, account.owner)


async def test_a_batch_goes_over_accounts_of_every_kind(app: Connection, books: Connection) -> None:
    store, user, poor, rich = await open_some(app, 5, 5, 0, 2**31 - 1)

    answers = await deduct_batch(
        app,
        [
            Item(store, 2, "a", "first"),
            Item(store, 4, "b"),
            Item(store, 3, "c"),
            Item(user, 2, "a"),
            Item(user, 2, "a"),
            Item(poor, 1, "a"),
            Item(rich, 2**31 - 1, "a"),
        ],
    )

    assert answers == [
        ("deducted", 3),
        ("insufficient", 3),
        ("deducted", 0),
        ("deducted", 3),
        ("already_deducted", 3),
        ("insufficient", 0),
        ("deducted", 0),
    ]
    back = await refund_batch(
        app, [Item(store, 3, "c"), Item(user, 1, "a"), Item(poor, 1, "a"), Item(rich, 7, "a")]
    )
    assert back == [("refunded", 3), ("refunded", 4), ("no_deduction", 0), ("refunded", 7)]
    descriptions = "SELECT description FROM movements WHERE account_id = $1 AND seq = 2"
    assert await books.fetchval(descriptions, store.id) == "first"
    assert await books.fetchval(descriptions, user.id) == ""
    for account in (store, user, poor, rich):
        await assert_books_balance(books, account.owner)


async def test_a_store_and_a_user_of_one_id_stand_in_one_batch_as_two(
    app: Connection, books: Connection
) -> None:
    store = await open_account(app, OwnerKind.STORE, 5)
    user = await open_account(app, OwnerKind.USER, 7, owner_id=store.owner.id)

    answers = await deduct_batch(app, [Item(store, 2, "r"), Item(user, 3, "r")])

    assert answers == [("deducted", 3), ("deducted", 4)]
    assert await account_of(books, Owner.user(store.owner.id)) == user != store


async def test_overage_is_for_the_account_that_may_and_in_its_turn(
    app: Connection, books: Connection
) -> None:
    store = await open_beyond(app, 1, limit=2)
    (user,) = [await open_account(app, OwnerKind.USER, 1)]

    items = [(1, "a"), (2, "b"), (1, "c"), (2, "b"), (1, "b")]
    answers = await deduct_batch(
        app, [Item(each, *item) for each in (store, user) for item in items]
    )

    assert answers == [
        ("deducted", 0),
        ("overage", 0),
        ("insufficient", 0),
        ("already_deducted", 0),
        ("conflict", 0),
        ("deducted", 0),
        ("insufficient", 0),
        ("insufficient", 0),
        ("insufficient", 0),
        ("insufficient", 0),
    ]
    assert (await beyond(books, store)).overage_used == 2
    assert (await beyond(books, user)).overage_used == 0
    back = await refund_batch(app, [Item(store, 1, "a"), Item(store, 2, "b"), Item(user, 1, "a")])
    assert back == [("refunded", 1), ("refunded", 1), ("refunded", 1)]
    assert [row.type for row in (await ledger(books, store))[-2:]] == ["refund", "overage_refund"]


async def test_what_came_in_under_a_request_id_is_not_in_its_way(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind)
    await add(app, account, 9, "grant", "granted")
    await claw_back(app, account, 1, "taken back")

    items = [Item(account, 1, "granted"), Item(account, 1, "taken back")]
    assert await refund_batch(app, items) == [("no_deduction", 8)] * 2
    assert await deduct_batch(app, items * 2) == [
        ("deducted", 7),
        ("deducted", 6),
        ("already_deducted", 6),
        ("already_deducted", 6),
    ]
    assert await refund_batch(app, items) == [("refunded", 7), ("refunded", 8)]
    await assert_books_balance(books, account.owner)


async def test_a_thousand_items_are_one_call(app: Connection, books: Connection) -> None:
    accounts = await open_some(app, *[300] * 4)
    items = [
        Item(account, 1, f"{n % 200}")  # each of them also as a double
        for account in accounts
        for n in range(250)
    ]

    answers = await deduct_batch(app, items)

    assert [answer.outcome for answer in answers] == (
        ["deducted"] * 200 + ["already_deducted"] * 50
    ) * 4
    back = await refund_batch(app, items)
    assert [answer.outcome for answer in back] == (
        ["refunded"] * 200 + ["already_refunded"] * 50
    ) * 4
    for account in accounts:
        assert await credits_of(books, account) == (300, 300, 0, 401)
        await assert_books_balance(books, account.owner)


async def test_amounts_add_up_beyond_an_int(app: Connection, books: Connection) -> None:
    largest = 2**31 - 1
    account = await open_account(app, OwnerKind.STORE)
    for n in range(4):
        await add(app, account, largest, "purchase", f"order {n}")

    answers = await deduct_batch(app, [Item(account, largest, f"r{n}") for n in range(3)])

    assert answers == [("deducted", n * largest) for n in (3, 2, 1)]
    await assert_books_balance(books, account.owner)


async def test_batches_that_wait_for_each_other_see_what_the_other_wrote(
    callers: Callers, app: Connection, books: Connection
) -> None:
    accounts = await open_some(app, *[20] * 3)
    items = [Item(account, 1, f"r{n}") for account in accounts for n in range(10)]

    answers = await asyncio.gather(*(deduct_batch(each, items) for each in await callers(8)))

    for place in range(len(items)):
        outcomes = sorted(answer[place].outcome for answer in answers)
        assert outcomes == ["already_deducted"] * 7 + ["deducted"]
    for account in accounts:
        assert await credits_of(books, account) == (10, 20, 10, 11)
        await assert_books_balance(books, account.owner)
