"""The tables themselves refuse what cannot be, also from their owner."""

from typing import Any
from uuid import uuid4

import pytest

from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.generations import create_one
from tests.sql.interface import deduct
from tests.sql.ledgers import open_account, open_beyond, sqlstate_of

CHECK_VIOLATION = "23514"
UNIQUE_VIOLATION = "23505"
FOREIGN_KEY_VIOLATION = "23503"
NOT_NULL_VIOLATION = "23502"
GENERATED_ALWAYS = "428C9"


@pytest.mark.parametrize(
    "change",
    [
        "status = 'completed'",
        "status = 'failed', completed_at = now()",
        "error_code = 'E'",
        "completed_at = now()",
    ],
)
async def test_the_table_refuses_an_impossible_session(
    app: Connection, books: Connection, kind: OwnerKind, change: str
) -> None:
    account = await open_account(app, kind, 1)
    await create_one(app, account)

    update = f"UPDATE sessions SET {change} WHERE account_id = $1"
    assert await sqlstate_of(books.execute(update, account.id)) == CHECK_VIOLATION


@pytest.mark.parametrize(
    "change, sqlstate",
    [
        ("amount = 0", CHECK_VIOLATION),
        ("amount = -1", CHECK_VIOLATION),
        ("balance_after = -1", CHECK_VIOLATION),
        ("overage_used_after = 0", CHECK_VIOLATION),
        ("overage_used_after = -1", CHECK_VIOLATION),
        ("balance_after = NULL", NOT_NULL_VIOLATION),
        ("spent_after = NULL", NOT_NULL_VIOLATION),
        ("amount = NULL", NOT_NULL_VIOLATION),
        ("type = NULL", NOT_NULL_VIOLATION),
        ("request_id = NULL", NOT_NULL_VIOLATION),
        ("created_at = NULL", NOT_NULL_VIOLATION),
        ("account_id = NULL", NOT_NULL_VIOLATION),
        ("seq = NULL", NOT_NULL_VIOLATION),
    ],
)
async def test_the_table_refuses_an_impossible_movement(
    app: Connection, books: Connection, kind: OwnerKind, change: str, sqlstate: str
) -> None:
    account = await open_account(app, kind, 10)

    update = f"UPDATE movements SET {change} WHERE account_id = $1"
    assert await sqlstate_of(books.execute(update, account.id)) == sqlstate


@pytest.mark.parametrize(
    "seq, type_, request_id",
    [
        (2, "grant", "new"),  # a second movement after the same one
        (1, "grant", "new"),
        (3, "deduction", "r1"),  # a second of one type under one request
        (3, "grant", "opening"),
    ],
)
async def test_the_table_refuses_a_movement_that_is_there(
    app: Connection, books: Connection, kind: OwnerKind, seq: int, type_: str, request_id: str
) -> None:
    account = await open_account(app, kind, 10)
    await deduct(app, account, 1, "r1")

    refused = books.execute(
        """INSERT INTO movements
               (account_id, seq, type, amount, balance_after, spent_after, request_id)
           VALUES ($1, $2, $3, 1, 9, 1, $4)""",
        account.id,
        seq,
        type_,
        request_id,
    )
    assert await sqlstate_of(refused) == UNIQUE_VIOLATION


async def test_the_table_refuses_a_session_that_is_there(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 1)
    session_id = await create_one(app, account)

    refused = books.execute(
        """INSERT INTO sessions (account_id, session_id, credits, request_id, fingerprint)
           VALUES ($1, $2, 1, 'other', '')""",
        account.id,
        session_id,
    )
    assert await sqlstate_of(refused) == UNIQUE_VIOLATION


@pytest.mark.parametrize(
    "change, sqlstate",
    [
        ("overage_limit = -1", CHECK_VIOLATION),
        ("overage_limit = NULL", NOT_NULL_VIOLATION),
        ("owner_kind = 'robot'", CHECK_VIOLATION),
        ("owner_kind = NULL", NOT_NULL_VIOLATION),
        ("owner_id = NULL", NOT_NULL_VIOLATION),
        ("account_id = 1", GENERATED_ALWAYS),
    ],
)
async def test_the_table_refuses_an_impossible_account(
    app: Connection, books: Connection, kind: OwnerKind, change: str, sqlstate: str
) -> None:
    account = await open_account(app, kind)

    update = f"UPDATE accounts SET {change} WHERE account_id = $1"
    assert await sqlstate_of(books.execute(update, account.id)) == sqlstate


async def test_only_a_store_may_go_beyond_its_balance(app: Connection, books: Connection) -> None:
    user = await open_account(app, OwnerKind.USER)

    update = "UPDATE accounts SET overage_limit = 1 WHERE account_id = $1"
    assert await sqlstate_of(books.execute(update, user.id)) == CHECK_VIOLATION


async def test_an_owner_has_one_account(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind)

    second = "INSERT INTO accounts (owner_kind, owner_id) VALUES ($1, $2)"
    refused = books.execute(second, kind.value, account.owner.id)
    assert await sqlstate_of(refused) == UNIQUE_VIOLATION


async def test_nobody_is_there_without_an_account_of_the_right_kind(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind)
    table = {OwnerKind.STORE: "stores", OwnerKind.USER: "users"}
    other = table[OwnerKind.USER if kind is OwnerKind.STORE else OwnerKind.STORE]
    make: dict[str, str] = {
        "stores": "INSERT INTO storecredit.stores (store_id, name, shop_domain)"
        " VALUES ($1, 'a', 'b')",
        "users": "INSERT INTO storecredit.users (user_id) VALUES ($1)",
    }
    refusals: list[tuple[str, Any]] = [
        (make[table[kind]], uuid4()),
        (make[other], account.owner.id),  # whose account is of the other kind
        ("DELETE FROM accounts WHERE owner_id = $1", account.owner.id),
        ("UPDATE accounts SET owner_id = gen_random_uuid() WHERE owner_id = $1", account.owner.id),
    ]

    for statement, owner_id in refusals:
        refused = await sqlstate_of(books.execute(statement, owner_id))
        assert refused == FOREIGN_KEY_VIOLATION, statement


@pytest.mark.parametrize(
    "change",
    [
        "period = '2026-03-02'",
        "credits = 0",
        "amount = 0",
        "currency = 'usd'",
        "charged_at = now()",
        "provider_transaction_id = 'txn_1'",
        "charge_begun_at = now()",
    ],
)
async def test_the_table_refuses_an_impossible_bill(
    app: Connection, books: Connection, change: str
) -> None:
    account = await open_beyond(app, limit=5)
    await deduct(app, account, 5, "r1")
    await app.execute("SELECT close_overage($1, '2026-03-01', 16, 'USD')", account.id)

    update = f"UPDATE subscription_charges SET {change} WHERE account_id = $1"
    assert await sqlstate_of(books.execute(update, account.id)) == CHECK_VIOLATION
