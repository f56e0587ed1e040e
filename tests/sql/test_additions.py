"""Credits come in: additions and opening credits, read back from the tables."""

import asyncio
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from storecredit.ledger.credits import AMOUNT_MAX, AccountMissing, Cause, Credits
from storecredit.ledger.outcomes import Addition, AdditionType
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from tests.sql.conftest import Callers
from tests.sql.interface import INTERFACES, add, deduct
from tests.sql.ledgers import (
    Row,
    account_of,
    assert_books_balance,
    credits_of,
    ledger,
    open_account,
    open_store,
    snapshot,
    sqlstate_of,
)

INT_MAX = 2**31 - 1
BIGINT_MAX = 2**63 - 1
# Written down apart from movement_types.
TYPES = {
    OwnerKind.STORE: ("purchase", "subscription", "grant"),
    OwnerKind.USER: ("purchase", "signup_bonus", "grant"),
}
OTHERS = {OwnerKind.STORE: "signup_bonus", OwnerKind.USER: "subscription"}


@pytest.mark.parametrize("number", range(3))
async def test_added_credits_can_be_spent_and_stand_in_the_ledger(
    app: Connection, books: Connection, kind: OwnerKind, number: int
) -> None:
    account, type_ = await open_account(app, kind), TYPES[kind][number]

    assert await add(app, account, 100, type_, "order") is True
    assert await deduct(app, account, 100, "r1") is True

    assert await credits_of(books, account) == (0, 100, 100, 2)
    assert (await ledger(books, account))[0] == Row(1, type_, 100, 100, "order")
    await assert_books_balance(books, account.owner)


async def test_the_description_is_kept_and_has_a_default(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account, names = await open_account(app, kind), INTERFACES[kind]

    for arguments in (
        f"p_request_id => 'named', p_type => 'grant', p_amount => 1, {names.argument} => $1",
        "$1, 1, 'grant', 'positional', 'Gift'",
        "$1, 1, 'grant', 'null', NULL",
    ):
        await app.execute(f"SELECT public.{names.add}({arguments})", account.owner.id)

    rows = await books.fetch(
        "SELECT request_id, description FROM movements WHERE account_id = $1 ORDER BY seq",
        account.id,
    )
    assert [tuple(row) for row in rows] == [
        ("named", "Credits added"),
        ("positional", "Gift"),
        ("null", ""),
    ]


async def test_the_same_request_adds_once(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind)
    await add(app, account, 100, "purchase", "order")
    before = await snapshot(books, account.owner)

    assert await add(app, account, 100, "purchase", "order") is False
    assert await sqlstate_of(add(app, account, 99, "purchase", "order")) == "SC004"
    assert await sqlstate_of(add(app, account, 100, "grant", "order")) == "SC004"

    assert await snapshot(books, account.owner) == before


async def test_accounts_do_not_share_request_ids(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    one, other = await open_account(app, kind), await open_account(app, kind)

    assert await add(app, one, 1, "grant", "order") is True
    assert await add(app, other, 2, "purchase", "order") is True

    assert (await credits_of(books, one)).balance == 1
    assert (await credits_of(books, other)).balance == 2


@pytest.mark.parametrize(
    "amount, type_, request_id, sqlstate",
    [
        (0, "grant", "order", "SC002"),
        (-5, "grant", "order", "SC002"),
        (None, "grant", "order", "SC002"),
        (1, "deduction", "order", "SC007"),
        (1, "generation", "order", "SC007"),
        (1, "refund", "order", "SC007"),
        (1, "clawback", "order", "SC007"),
        (1, "overage", "order", "SC007"),
        (1, "overage_credit", "order", "SC007"),
        (1, "gift", "order", "SC007"),
        (1, "", "order", "SC007"),
        (1, None, "order", "SC007"),
        (1, "grant", "", "SC003"),
        (1, "grant", "x" * 201, "SC003"),
        (1, "grant", None, "SC003"),
    ],
)
async def test_a_bad_argument_is_refused_with_its_own_code(
    app: Connection,
    books: Connection,
    kind: OwnerKind,
    amount: int | None,
    type_: str | None,
    request_id: str | None,
    sqlstate: str,
) -> None:
    account = await open_account(app, kind, 1)
    before = await snapshot(books, account.owner)

    assert await sqlstate_of(add(app, account, amount, type_, request_id)) == sqlstate

    assert await snapshot(books, account.owner) == before


async def test_what_only_the_other_kind_of_owner_has_is_refused(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind)

    assert await sqlstate_of(add(app, account, 1, OTHERS[kind], "order")) == "SC007"

    assert await ledger(books, account) == []


@pytest.mark.parametrize("owner_id", [uuid4(), None])
async def test_an_unknown_owner_is_refused(
    app: Connection, kind: OwnerKind, owner_id: UUID | None
) -> None:
    names = INTERFACES[kind]
    call = app.execute(f"SELECT public.{names.add}($1, 1, 'grant', 'order')", owner_id)

    assert await sqlstate_of(call) == names.unknown


@pytest.mark.parametrize("account_id", [0, BIGINT_MAX, None])
async def test_an_unknown_account_is_refused(app: Connection, account_id: int | None) -> None:
    for call in ("add_to_account($1, 1, 'grant', 'r')", "claw_back_from_account($1, 1, 'r')"):
        assert await sqlstate_of(app.execute(f"SELECT {call}", account_id)) == "SC010"


async def test_a_request_id_has_up_to_200_characters(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind)

    assert await add(app, account, INT_MAX, "grant", "€" * 200) is True

    assert await ledger(books, account) == [Row(1, "grant", INT_MAX, INT_MAX, "€" * 200)]


async def test_more_than_a_bigint_holds_is_refused_and_nothing_is_written(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind)
    await books.execute(
        """INSERT INTO movements
               (account_id, seq, type, amount, balance_after, spent_after, request_id)
           VALUES ($1, 1, 'purchase', $2, $2, 0, 'before')""",
        account.id,
        BIGINT_MAX - 10,
    )
    await books.execute(
        "INSERT INTO grants (account_id, seq, amount, kind) VALUES ($1, 1, $2, 'paid')",
        account.id,
        BIGINT_MAX - 10,
    )
    before = await snapshot(books, account.owner)

    numeric_value_out_of_range = "22003"
    refused = await sqlstate_of(add(app, account, 11, "grant", "order"))
    assert refused == numeric_value_out_of_range
    assert await snapshot(books, account.owner) == before

    assert await add(app, account, 10, "grant", "order") is True
    assert (await credits_of(books, account)).balance == BIGINT_MAX


async def test_of_twenty_sendings_at_once_one_adds(
    callers: Callers, app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind)

    answers = await asyncio.gather(
        *(add(connection, account, 7, "purchase", "order") for connection in await callers(20))
    )

    assert sorted(answers) == [False] * 19 + [True]
    assert await credits_of(books, account) == (7, 7, 0, 1)


async def test_additions_and_deductions_at_once_all_count(
    callers: Callers, app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 10)

    await asyncio.gather(
        *(
            add(connection, account, 3, "grant", f"order {n}")
            if n % 2
            else deduct(connection, account, 1, f"r{n}")
            for n, connection in enumerate(await callers(20))
        )
    )

    assert await credits_of(books, account) == (30, 40, 10, 21)
    await assert_books_balance(books, account.owner)


async def test_a_store_opens_with_its_credits_as_a_grant(
    app: Connection, books: Connection
) -> None:
    account = await account_of(books, Owner.store(await open_store(app, 100)))

    assert await credits_of(books, account) == (100, 100, 0, 1)
    assert await ledger(books, account) == [Row(1, "grant", 100, 100, "opening")]


@pytest.mark.parametrize("count, request_id, sqlstate", [(-1, "r1", "SC002"), (5, None, "SC003")])
async def test_a_store_whose_opening_credits_are_refused_is_not_made(
    app: Connection, books: Connection, count: int, request_id: str | None, sqlstate: str
) -> None:
    owner = Owner.store(uuid7())
    made = app.execute(
        "SELECT create_store($1, 'A', 'a.example', p_credits => $2, p_request_id => $3)",
        owner.id,
        count,
        request_id,
    )

    assert await sqlstate_of(made) == sqlstate

    assert not any((await snapshot(books, owner)).values())


async def test_the_ledger_in_python_tells_each_outcome(
    books_url: str, app: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind)
    unknown = Owner(kind, uuid4())
    database = await Database.open(books_url)
    credits = Credits(database)

    async def add_some(owner: Owner, amount: int) -> Addition:
        return await credits.add(owner, amount, AdditionType.PURCHASE, Cause("order", "One"))

    assert await add_some(account.owner, AMOUNT_MAX) is Addition.ADDED
    assert await add_some(account.owner, AMOUNT_MAX) is Addition.ALREADY_ADDED
    assert await add_some(account.owner, 1) is Addition.CONFLICT
    assert await add_some(unknown, 1) is Addition.UNKNOWN_OWNER
    for amount in (0, AMOUNT_MAX + 1):
        with pytest.raises(ValueError, match="amount must be"):
            await add_some(account.owner, amount)

    assert (await credits.balance(account.owner)).balance == AMOUNT_MAX
    with pytest.raises(AccountMissing):
        await credits.balance(unknown)
    await database.close()
