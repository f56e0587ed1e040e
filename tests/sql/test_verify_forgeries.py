"""No single value that the proof rests on can be forged unseen, and no single row removed."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

import asyncpg
import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.servers import Connection
from tests.conftest import SEARCH_PATH, Databases
from tests.sql.full_accounts import (
    buy,
    open_with_everything,
    open_with_overage,
    subscribe,
)
from tests.sql.sound_books import ONE_LOOP, Opener, SoundBooks

BIGINT_MIN, BIGINT_MAX = -(2**63), 2**63 - 1
NUMBERS = (
    "coalesce({column}, 0) + 1",
    "coalesce({column}, 0) - 1",
    str(2**32),
    str(BIGINT_MIN),
    str(BIGINT_MAX),
)
ANOTHER = ("gen_random_uuid()",)
ANOTHER_ACCOUNT = ("account_id + 1000000", str(2**32), str(BIGINT_MIN))

Forgeries = dict[str, tuple[str, ...]]
"""Each column of a table, with values that it must not have."""


def movements(*types: str) -> Forgeries:
    """A movement becomes another number, another account's, of another session or type."""
    return {
        **dict.fromkeys(
            (
                "seq",
                "amount",
                "balance_after",
                "spent_after",
                "clawed_back_after",
                "overage_used_after",
            ),
            NUMBERS,
        ),
        "account_id": ANOTHER_ACCOUNT,
        "session_id": ANOTHER,
        "type": ("'x'", *(f"CASE type WHEN '{each}' THEN 'x' ELSE '{each}' END" for each in types)),
    }


# A session becomes another one, of another account, request, price or status.
SESSIONS: Forgeries = {
    "account_id": ANOTHER_ACCOUNT,
    "session_id": ANOTHER,
    "request_id": ("'x'",),
    "credits": ("credits + 1", "credits - 1", str(2**31 - 1), str(-(2**31))),
    "status": (
        "CASE status WHEN 'failed' THEN 'completed' ELSE 'failed' END",
        "CASE status WHEN 'failed' THEN 'queued' ELSE 'failed' END",
        "'x'",
    ),
}
ACCOUNTS: Forgeries = {
    "account_id": ANOTHER_ACCOUNT,
    "owner_id": ANOTHER,
    "owner_kind": ("'x'", "CASE owner_kind WHEN 'store' THEN 'user' ELSE 'store' END"),
    "overage_limit": ("-1", str(BIGINT_MIN)),
}
A_USERS_ACCOUNT: Forgeries = {**ACCOUNTS, "overage_limit": NUMBERS}

IN_A_STORE: dict[str, Forgeries] = {
    "accounts": ACCOUNTS,
    "movements": movements("deduction", "refund", "clawback", "overage_bill"),
    "sessions": SESSIONS,
    "stores": {"store_id": ANOTHER},
}
IN_A_USER: dict[str, Forgeries] = {
    "accounts": A_USERS_ACCOUNT,
    "movements": movements("deduction", "refund", "clawback", "overage", "subscription"),
    "sessions": SESSIONS,
    "users": {"user_id": ANOTHER},
}
IN_OVERAGE: dict[str, Forgeries] = {
    "accounts": ACCOUNTS,
    "movements": movements(
        "deduction",
        "refund",
        "clawback",
        "overage",
        "overage_refund",
        "overage_credit",
        "overage_bill",
        "signup_bonus",
    ),
    "sessions": SESSIONS,
    "subscription_charges": {
        "account_id": ANOTHER_ACCOUNT,
        "seq": NUMBERS,
        "credits": NUMBERS,
        "request_id": ("'x'",),
        "period": ("'2026-09-01'",),
    },
}
# A record of money that was removed is not missed: credits may have been sold by another way.
IN_MONEY: dict[str, Forgeries] = {
    "payments": {
        "credits": NUMBERS,
        "account_id": ANOTHER_ACCOUNT,
        "request_id": ("'x'",),
        "kind": (
            "CASE kind WHEN 'purchase' THEN 'subscription' ELSE 'purchase' END",
            "CASE kind WHEN 'overage' THEN 'purchase' ELSE 'overage' END",
        ),
    },
    "clawbacks": {
        "taken": NUMBERS,
        "adjustment_id": ("'x'",),
        "provider": ("'x'",),
        "provider_transaction_id": ("'x'",),
    },
}


async def open_store_that_pays(connection: Connection) -> Account:
    """A store with every kind of payment, and one that was given back in part."""
    account = await open_with_overage(connection)
    await subscribe(connection, account)
    await buy(connection, account)
    return account


OPENERS: dict[str, tuple[Callable[[Connection], Awaitable[Account]], dict[str, Forgeries]]] = {
    "store": (partial(open_with_everything, kind=OwnerKind.STORE), IN_A_STORE),
    "user": (partial(open_with_everything, kind=OwnerKind.USER), IN_A_USER),
    "overage": (open_with_overage, IN_OVERAGE),
    "payer": (open_store_that_pays, IN_MONEY),
}
# The same table and the same sums as a store's, and the longest of all.
LONG = {("user", "movements"), ("overage", "movements")}
CASES = [
    pytest.param(
        *(name, table, forgeries),
        id=f"{name}-{table}",
        marks=[pytest.mark.torture] if (name, table) in LONG else [],
    )
    for name, (_, tables) in OPENERS.items()
    for table, forgeries in tables.items()
]
# Rows that name the account, or, where they name none, its owner.
OF_ACCOUNT = """(to_jsonb(t) ->> 'account_id' = $1
    OR NOT to_jsonb(t) ? 'account_id' AND t::text LIKE '%' || $2 || '%')"""
WHERE_PLACE = f"""ctid = (
    SELECT ctid FROM {{table}} t WHERE {OF_ACCOUNT} ORDER BY t::text OFFSET $3 LIMIT 1)"""


@pytest.fixture(scope="module")
def opener(request: pytest.FixtureRequest) -> Opener:
    """Three that are opened alike: one has another before and after it."""
    open_one: Callable[[Connection], Awaitable[Account]] = OPENERS[request.param][0]

    async def open_three(superuser: asyncpg.Connection) -> Sequence[Account]:
        return [await open_one(superuser) for _ in range(3)]

    return open_three


@pytest.fixture(scope="module")
def books_url(opener: Opener, databases: Databases, template: str) -> Iterator[str]:
    """A database of its own for each of `OPENERS`."""
    with databases.copied(template, search_path=SEARCH_PATH) as url:
        yield url


@ONE_LOOP
@pytest.mark.parametrize("opener, table, forgeries", CASES, indirect=["opener"])
async def test_no_single_value_can_be_forged_and_no_single_row_removed(
    sound_books: SoundBooks, table: str, forgeries: Forgeries
) -> None:
    changes = [] if table in IN_MONEY else [f"DELETE FROM {table}"]
    changes += [
        f"UPDATE {table} SET {column} = {value.format(column=column)}"
        for column, values in forgeries.items()
        for value in values
    ]
    account = sound_books.accounts[1]
    names = (str(account.id), str(account.owner.id))
    rows = await sound_books.superuser.fetchval(
        f"SELECT count(*) FROM {table} t WHERE {OF_ACCOUNT}", *names
    )
    found = 0
    for change in changes:
        statement = f"{change} WHERE {WHERE_PLACE.format(table=table)}"
        for place in range(rows):
            if await forge(sound_books.superuser, statement, *names, place):
                report = await verify(sound_books.database)
                assert not report.clean, (change, place)
                found += 1
                await sound_books.put_back(table)
    assert found >= len(changes)


async def forge(admin: asyncpg.Connection, change: str, *args: str | int) -> bool:
    """Whether the change could be made; the unique indexes still stand."""
    try:
        done = await admin.execute(change, *args)
    except asyncpg.UniqueViolationError:
        return False
    assert done.endswith(" 1")
    return True
