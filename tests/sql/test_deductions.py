"""Taking credits one request at a time, as outside callers do, read back from the tables."""

from uuid import UUID, uuid4

import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.interface import INTERFACES, add, claw_back, deduct, refund
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
BIGINT_MAX = 2**63 - 1


async def test_a_deduction_takes_the_credits_and_writes_one_row(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 10)

    assert await deduct(app, account, 3, "r1") is True

    assert await credits_of(books, account) == (7, 10, 3, 2)
    assert await ledger(books, account) == [
        Row(1, "grant", 10, 10, "opening"),
        Row(2, "deduction", 3, 7, "r1"),
    ]
    await assert_books_balance(books, account.owner)


async def test_the_description_is_kept_and_has_a_default(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account, names = await open_account(app, kind, 10), INTERFACES[kind]

    for arguments in (
        f"p_request_id => 'named', p_amount => 1, {names.argument} => $1",
        "$1, 1, 'positional', 'A render'",
        f"{names.argument} => $1, p_amount => 1, p_request_id => 'null', p_description => NULL",
    ):
        await app.execute(f"SELECT public.{names.deduct}({arguments})", account.owner.id)

    rows = await books.fetch(
        "SELECT request_id, description, session_id FROM movements"
        " WHERE account_id = $1 AND type = 'deduction' ORDER BY seq",
        account.id,
    )
    assert [tuple(row) for row in rows] == [
        ("named", "Credits deducted", None),
        ("positional", "A render", None),
        ("null", "", None),
    ]


async def test_the_same_request_deducts_once(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 10)
    await deduct(app, account, 3, "r1")
    before = await snapshot(books, account.owner)

    assert await deduct(app, account, 3, "r1") is True

    assert await snapshot(books, account.owner) == before


async def test_the_same_request_with_another_amount_is_refused(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 10)
    await deduct(app, account, 3, "r1")
    before = await snapshot(books, account.owner)

    assert await sqlstate_of(deduct(app, account, 4, "r1")) == "SC004"
    # Also where the credits would not suffice: what the request is comes before what it costs.
    assert await sqlstate_of(deduct(app, account, 100, "r1")) == "SC004"

    assert await snapshot(books, account.owner) == before


async def test_a_replay_answers_true_when_nothing_is_left(app: Connection, kind: OwnerKind) -> None:
    account = await open_account(app, kind, 3)
    await deduct(app, account, 3, "r1")

    assert await deduct(app, account, 3, "r1") is True


async def test_a_replay_after_the_refund_takes_nothing(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 3)
    await deduct(app, account, 1, "r1")
    await refund(app, account, 1, "r1")
    before = await snapshot(books, account.owner)

    assert await deduct(app, account, 1, "r1") is True

    assert await snapshot(books, account.owner) == before
    assert (await credits_of(books, account)).balance == 3


async def test_too_few_credits_write_nothing_and_the_request_may_come_again(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 2)
    before = await snapshot(books, account.owner)

    assert await deduct(app, account, 3, "r1") is False
    assert await snapshot(books, account.owner) == before

    await add(app, account, 1, "purchase", "order")
    assert await deduct(app, account, 3, "r1") is True
    assert await credits_of(books, account) == (0, 3, 3, 3)
    await assert_books_balance(books, account.owner)


async def test_an_account_without_credits_is_refused_the_first(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind)

    assert await deduct(app, account, 1, "r1") is False

    assert await credits_of(books, account) == (0, 0, 0, 0)
    assert await ledger(books, account) == []


@pytest.mark.parametrize("type_", ["purchase", "grant", "clawback"])
async def test_what_came_in_or_was_taken_back_under_a_request_id_is_not_in_its_way(
    app: Connection, books: Connection, kind: OwnerKind, type_: str
) -> None:
    account = await open_account(app, kind, 10)
    if type_ == "clawback":
        await claw_back(app, account, 4, "r1")
    else:
        await add(app, account, 4, type_, "r1")
    balance = (await credits_of(books, account)).balance

    assert await deduct(app, account, 3, "r1") is True
    assert await deduct(app, account, 3, "r1") is True
    assert await sqlstate_of(deduct(app, account, 4, "r1")) == "SC004"

    assert (await credits_of(books, account)).balance == balance - 3
    await assert_books_balance(books, account.owner)


@pytest.mark.parametrize(
    "amount, request_id, sqlstate",
    [
        (0, "r1", "SC002"),
        (-1, "r1", "SC002"),
        (-INT_MAX, "r1", "SC002"),
        (None, "r1", "SC002"),
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

    assert await sqlstate_of(deduct(app, account, amount, request_id)) == sqlstate

    assert await snapshot(books, account.owner) == before


@pytest.mark.parametrize("owner_id", [uuid4(), None])
async def test_an_unknown_owner_is_refused(
    app: Connection, kind: OwnerKind, owner_id: UUID | None
) -> None:
    names = INTERFACES[kind]
    call = app.execute(f"SELECT public.{names.deduct}($1, 1, 'r1')", owner_id)

    assert await sqlstate_of(call) == names.unknown


@pytest.mark.parametrize("letter", ["x", "€", "𝄞"])
async def test_a_request_id_has_up_to_200_characters(
    app: Connection, books: Connection, kind: OwnerKind, letter: str
) -> None:
    account = await open_account(app, kind, 1)

    assert await deduct(app, account, 1, letter * 200) is True

    assert (await ledger(books, account))[-1] == Row(2, "deduction", 1, 0, letter * 200)


async def test_request_ids_differ_by_letter_case_and_space(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 3)

    for request_id in ("r", "R", "r "):
        assert await deduct(app, account, 1, request_id) is True

    assert (await credits_of(books, account)).balance == 0


async def test_accounts_do_not_share_request_ids_or_credits(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    one, other = await open_account(app, kind, 5), await open_account(app, kind, 5)

    assert await deduct(app, one, 2, "r1") is True
    assert await deduct(app, other, 3, "r1") is True

    assert await credits_of(books, one) == (3, 5, 2, 2)
    assert await credits_of(books, other) == (2, 5, 3, 2)


async def test_balances_beyond_an_int_are_counted(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind)
    await have(books, account, BIGINT_MAX)

    for n in (1, 2, 3):
        assert await deduct(app, account, INT_MAX, f"r{n}") is True

    assert (await credits_of(books, account)).balance == BIGINT_MAX - 3 * INT_MAX
    await assert_books_balance(books, account.owner)


async def have(books: Connection, account: Account, balance: int) -> None:
    """Give a new account more than any addition can: a first movement of so many credits."""
    await books.execute(
        """INSERT INTO movements
               (account_id, seq, type, amount, balance_after, spent_after, request_id)
           VALUES ($1, 1, 'purchase', $2, $2, 0, 'order')""",
        account.id,
        balance,
    )
    await books.execute(
        "INSERT INTO grants (account_id, seq, amount, kind) VALUES ($1, 1, $2, 'paid')",
        account.id,
        balance,
    )


async def test_an_end_users_row_tells_when_credits_last_moved(
    app: Connection, books: Connection
) -> None:
    account = await open_account(app, OwnerKind.USER, 10)
    updated_at = "SELECT updated_at FROM public.user_credits WHERE user_id = $1"
    newest = """SELECT created_at FROM public.credit_transactions WHERE user_id = $1
                ORDER BY seq DESC LIMIT 1"""
    for call in (
        "deduct_credits($1, 4, 'r')",
        "refund_credits($1, 4, 'r')",
        "add_credits($1, 4, 'grant', 'r')",
        "claw_back_credits($1, 4, 'r')",
    ):
        before = await books.fetchval(updated_at, account.owner.id)
        await app.execute(f"SELECT public.{call}", account.owner.id)
        moved = await books.fetchval(updated_at, account.owner.id)
        assert moved == await books.fetchval(newest, account.owner.id) > before, call

        await app.execute(f"SELECT public.{call}", account.owner.id)
        assert await books.fetchval(updated_at, account.owner.id) == moved, f"{call}: again"


async def test_an_end_user_who_never_had_credits_was_updated_when_made(
    app: Connection, books: Connection
) -> None:
    account = await open_account(app, OwnerKind.USER)

    assert await books.fetchval(
        """SELECT c.updated_at = u.created_at FROM public.user_credits c
           JOIN public.users u USING (user_id) WHERE user_id = $1""",
        account.owner.id,
    )
