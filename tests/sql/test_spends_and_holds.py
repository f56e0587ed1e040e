"""Spends, their refunds and holds, asked for in batches: each item has its own outcome."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID, uuid4

import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.interface import deduct
from tests.sql.ledgers import (
    assert_books_balance,
    credits_of,
    ledger,
    open_account,
    snapshot,
    sqlstate_of,
)

PRINT: Final = b"\x01" * 32
OTHER_PRINT: Final = b"\x02" * 32
INVALID_AMOUNT: Final = "SC002"
INVALID_REQUEST_ID: Final = "SC003"
ID_MAX: Final = 200
Item = tuple[Account, int, str]
SPEND: Final = """
    SELECT s.* FROM spend_credits($1, $2, $3, $4, $5, $6) a,
    unnest(a.outcomes, a.balances, a.charged_as) WITH ORDINALITY
        s (outcome, balance, charged_as, n) ORDER BY n"""
REFUND: Final = """
    SELECT s.* FROM refund_spends($1, $2, $3, $4) a,
    unnest(a.outcomes, a.amounts, a.refundables, a.balances) WITH ORDINALITY
        s (outcome, amount, refundable, balance, n) ORDER BY n"""
HOLD: Final = """
    SELECT s.* FROM hold_credits($1, $2, $3, $4, $5, $6, $7, NULL) a,
    unnest(a.outcomes, a.hold_ids, a.balances) WITH ORDINALITY
        s (outcome, hold_id, balance, n) ORDER BY n"""
END: Final = """
    SELECT s.* FROM end_holds($1, $2, $3, $4) a,
    unnest(a.outcomes, a.statuses, a.captureds, a.balances) WITH ORDINALITY
        s (outcome, status, captured, balance, n) ORDER BY n"""


async def spend(
    app: Connection, *items: Item, print_: bytes = PRINT, metadata: str | None = None
) -> list[tuple[object, ...]]:
    """Per item: outcome, balance, charged as."""
    rows = await app.fetch(
        SPEND,
        [account.id for account, _, _ in items],
        [amount for _, amount, _ in items],
        [request for _, _, request in items],
        [print_ for _ in items],
        ["" for _ in items],
        [metadata for _ in items],
    )
    return [tuple(row)[:3] for row in rows]


async def refund(
    app: Connection, *items: tuple[Account, str, str, int | None]
) -> list[tuple[object, ...]]:
    """Per item: outcome, what was given back, what may still be, balance."""
    columns = [list(column) for column in zip(*items, strict=True)]
    columns[0] = [account.id for account, _, _, _ in items]
    return [tuple(row)[:4] for row in await app.fetch(REFUND, *columns)]


async def hold(
    app: Connection, *items: Item, print_: bytes = PRINT
) -> list[tuple[str, UUID | None, int]]:
    """Per item: outcome, hold, balance."""
    rows = await app.fetch(
        HOLD,
        [account.id for account, _, _ in items],
        [uuid4() for _ in items],
        [amount for _, amount, _ in items],
        [request for _, _, request in items],
        [print_ for _ in items],
        [600 for _ in items],
        ["" for _ in items],
    )
    return [(row["outcome"], row["hold_id"], row["balance"]) for row in rows]


async def end(
    app: Connection, account: Account, hold_id: UUID | None, action: str, amount: int | None = None
) -> tuple[object, ...]:
    """Outcome, status, captured, balance."""
    (row,) = await app.fetch(END, [account.id], [hold_id], [action], [amount])
    return tuple(row)[:4]


async def opened(app: Connection, kind: OwnerKind, *credits: int) -> list[Account]:
    """Accounts in the order in which a batch has to name them."""
    accounts = [await open_account(app, kind, each) for each in credits]
    assert [each.id for each in accounts] == sorted(each.id for each in accounts)
    return accounts


async def held_after(books: Connection, account: Account) -> Sequence[int]:
    rows = await books.fetch(
        "SELECT coalesce(held_after, 0) AS held FROM movements WHERE account_id = $1 ORDER BY seq",
        account.id,
    )
    return [row["held"] for row in rows]


async def test_each_spend_of_a_batch_is_answered_at_its_place(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    one, two = await opened(app, kind, 10, 5)

    answers = await spend(app, (one, 3, "a"), (one, 8, "b"), (one, 7, "c"), (two, 5, "a"))

    assert answers == [
        ("spent", 7, "balance"),
        ("insufficient", 7, None),
        ("spent", 0, "balance"),
        ("spent", 0, "balance"),
    ]
    assert [row.request_id for row in await ledger(books, one)] == ["opening", "a", "c"]
    for account in (one, two):
        await assert_books_balance(books, account.owner)


async def test_a_spend_that_comes_again_is_told_as_it_was(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    (account,) = await opened(app, kind, 10)
    assert await spend(app, (account, 4, "r")) == [("spent", 6, "balance")]

    assert await spend(app, (account, 4, "r"), (account, 1, "s")) == [
        ("replayed", 6, "balance"),
        ("spent", 5, "balance"),
    ]
    assert await spend(app, (account, 4, "r"), print_=OTHER_PRINT) == [("conflict", 5, None)]
    assert await spend(app, (account, 3, "r")) == [("conflict", 5, None)]
    assert (await credits_of(books, account))[0] == 5


async def test_an_id_of_another_kind_of_request_is_taken(app: Connection, kind: OwnerKind) -> None:
    (account,) = await opened(app, kind, 10)
    assert await deduct(app, account, 2, "deducted")
    await hold(app, (account, 2, "held"))
    await spend(app, (account, 2, "spent"))
    await refund(app, (account, "spent", "given back", 1))

    for request in ("deducted", "held", "given back"):
        assert await spend(app, (account, 2, request)) == [("conflict", 5, None)]
    for request in ("deducted", "spent", "given back"):
        assert await hold(app, (account, 2, request)) == [("conflict", None, 5)]
    # A direct call of a function has nothing else by which the two would be told apart.
    outcome = (
        "SELECT outcomes[1] FROM deduct_from_accounts(ARRAY[$1::bigint], ARRAY[$2::int], $3, $4)"
    )
    for amount, request in ((2, "held"), (1, "given back")):
        assert await app.fetchval(outcome, account.id, amount, [request], [""]) == "conflict"
    for request in ("deducted", "held"):
        assert await refund(app, (account, "spent", request, 1)) == [("conflict", 0, 1, 5)]


async def test_what_was_sent_is_kept_of_what_is_spent(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    (account,) = await opened(app, kind, 10)

    await spend(app, (account, 4, "r"), (account, 99, "much"), metadata='{"job": 7}')

    rows = await books.fetch(
        "SELECT request_id, fingerprint, metadata::text AS metadata FROM spends"
        " WHERE account_id = $1",
        account.id,
    )
    assert [tuple(row) for row in rows] == [("r", PRINT, '{"job": 7}')]


async def test_what_is_charged_beyond_the_balance_is_told_so_each_time(
    app: Connection, books: Connection
) -> None:
    (account,) = await opened(app, OwnerKind.STORE, 1)
    await books.execute("SELECT set_overage_limit($1, 5)", account.id)

    assert await spend(app, (account, 1, "a"), (account, 5, "b"), (account, 1, "c")) == [
        ("spent", 0, "balance"),
        ("spent", 0, "overage"),
        ("insufficient", 0, None),
    ]
    assert await spend(app, (account, 5, "b")) == [("replayed", 0, "overage")]
    assert await refund(app, (account, "b", "back", 2)) == [("refunded", 2, 3, 0)]
    assert await spend(app, (account, 3, "d")) == [("insufficient", 0, None)]
    assert await spend(app, (account, 2, "e")) == [("spent", 0, "overage")]


@pytest.mark.parametrize(
    "amount, request_id, refused",
    [
        (0, "r", INVALID_AMOUNT),
        (-1, "r", INVALID_AMOUNT),
        (1, "", INVALID_REQUEST_ID),
        (1, "x" * (ID_MAX + 1), INVALID_REQUEST_ID),
    ],
)
async def test_one_bad_item_refuses_the_batch(
    app: Connection, books: Connection, kind: OwnerKind, amount: int, request_id: str, refused: str
) -> None:
    (account,) = await opened(app, kind, 10)
    await spend(app, (account, 4, "spent"))
    before = await snapshot(books, account.owner)

    bad = (account, amount, request_id)
    assert await sqlstate_of(spend(app, (account, 1, "good"), bad)) == refused
    assert await sqlstate_of(hold(app, (account, 1, "good"), bad)) == refused
    parts = [(account, "spent", "good", 1), (account, "spent", request_id, amount)]
    assert await sqlstate_of(refund(app, *parts)) == refused
    assert await snapshot(books, account.owner) == before
    assert await spend(app, (account, 1, "x" * ID_MAX)) == [("spent", 5, "balance")]


async def test_a_spend_is_given_back_in_parts_and_never_more_than_it_took(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    (account,) = await opened(app, kind, 10)
    await spend(app, (account, 6, "r"))

    assert await refund(
        app,
        (account, "r", "one", 2),
        (account, "r", "much", 5),
        (account, "r", "two", 3),
        (account, "r", "rest", None),
        (account, "r", "none", None),
        (account, "r", "more", 1),
        (account, "nothing", "x", 1),
    ) == [
        ("refunded", 2, 4, 6),
        ("exceeds_spend", 0, 4, 6),
        ("refunded", 3, 1, 9),
        ("refunded", 1, 0, 10),
        ("exceeds_spend", 0, 0, 10),
        ("exceeds_spend", 0, 0, 10),
        ("no_spend", None, None, 10),
    ]
    assert await refund(
        app,
        (account, "r", "one", 2),
        (account, "r", "one", None),
        (account, "r", "one", 1),
        (account, "r", "rest", None),
    ) == [
        ("replayed", 2, 0, 10),
        ("replayed", 2, 0, 10),
        ("conflict", 0, 0, 10),
        ("replayed", 1, 0, 10),
    ]
    assert await credits_of(books, account) == (10, 10, 0, 5)


async def test_what_a_batch_does_not_hold_changes_nothing_of_what_it_does(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    one, two = await opened(app, kind, 10, 10)

    answers = await hold(
        app, (one, 99, "much"), (one, 3, "a"), (one, 4, "b"), (one, 4, "c"), (two, 10, "a")
    )

    assert [(outcome, balance) for outcome, _, balance in answers] == [
        *(("insufficient", 10), ("held", 7), ("held", 3), ("insufficient", 3), ("held", 0)),
    ]
    assert await held_after(books, one) == [0, 3, 7]
    assert await held_after(books, two) == [0, 10]
    for account in (one, two):
        await assert_books_balance(books, account.owner)


async def test_a_hold_is_captured_to_the_last_credit_and_no_further(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    (account,) = await opened(app, kind, 10)
    ((_, whole, _), (_, part, _)) = await hold(app, (account, 4, "whole"), (account, 4, "part"))

    assert await end(app, account, whole, "capture", 5) == ("exceeds_hold", "held", None, 2)
    assert await sqlstate_of(end(app, account, whole, "capture", 0)) == INVALID_AMOUNT
    assert await end(app, account, whole, "capture", 4) == ("ended", "captured", 4, 2)
    assert await end(app, account, whole, "capture") == ("replayed", "captured", 4, 2)
    assert await end(app, account, whole, "capture", 3) == ("hold_ended", "captured", 4, 2)
    assert await end(app, account, part, "capture", 1) == ("ended", "captured", 1, 5)
    assert await end(app, account, part, "release") == ("hold_ended", "captured", 1, 5)
    assert await end(app, account, uuid4(), "release") == ("not_found", None, None, 5)
    assert [(row.type, row.amount) for row in (await ledger(books, account))[3:]] == [
        *(("capture", 4), ("capture", 1), ("release", 3)),
    ]
    assert await held_after(books, account) == [0, 4, 8, 4, 3, 0]
    await assert_books_balance(books, account.owner)


@pytest.mark.parametrize(
    "door",
    [
        "spend_credits('{}', '{}', '{}', '{}', '{}', '{}')",
        "refund_spends('{}', '{}', '{}', '{}')",
        "hold_credits('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
        "end_holds('{}', '{}', '{}', '{}')",
        "deduct_from_accounts('{}', '{}', '{}', '{}')",
        "refund_to_accounts('{}', '{}', '{}', '{}')",
    ],
)
async def test_a_batch_of_nothing_is_answered_with_nothing(app: Connection, door: str) -> None:
    assert await app.fetchval(f"SELECT outcomes FROM {door}") == []
