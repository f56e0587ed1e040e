"""No single value that the proof rests on can be forged unseen, and no single row removed."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg
import pytest

from storecredit.ledger.owners import Owner
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Connection, Database
from tests.sql.everything import (
    allow_anything,
    buy,
    open_store_with_everything,
    open_store_with_overage,
    open_user_with_everything,
    subscribe,
)

BIGINT_MIN, BIGINT_MAX = -(2**63), 2**63 - 1
NUMBERS = ("{column} + 1", "{column} - 1", str(2**32), str(BIGINT_MIN), str(BIGINT_MAX))
ANOTHER = ("gen_random_uuid()",)

Forgeries = dict[str, tuple[str, ...]]
"""Each column of a table, with values that it must not have."""


def movements(owner: str, *types: str) -> Forgeries:
    """A movement becomes another number, another owner's, of another session or type."""
    return {
        **dict.fromkeys(("seq", "amount", "balance_after"), NUMBERS),
        owner: ANOTHER,
        "session_id": ANOTHER,
        "type": ("'x'", *(f"CASE type WHEN '{each}' THEN 'x' ELSE '{each}' END" for each in types)),
    }


def sessions(owner: str) -> Forgeries:
    """A session becomes another one, of another owner, request or status."""
    return {
        owner: ANOTHER,
        "session_id": ANOTHER,
        "request_id": ("'x'",),
        "status": (
            "CASE status WHEN 'failed' THEN 'completed' ELSE 'failed' END",
            "CASE status WHEN 'failed' THEN 'queued' ELSE 'failed' END",
            "'x'",
        ),
    }


def credits(owner: str, *columns: str) -> Forgeries:
    """A credit row has another total, or another owner."""
    totals = ("balance", "total_spent", "total_clawed_back", "last_seq", *columns)
    return {**dict.fromkeys(totals, NUMBERS), owner: ANOTHER}


IN_A_STORE: dict[str, Forgeries] = {
    "store_credits": credits("store_id", "total_purchased", "overage_used"),
    "store_credit_transactions": movements("store_id", "deduction", "refund", "clawback"),
    "store_generation_sessions": sessions("store_id"),
    "stores": {"store_id": ANOTHER},
}
IN_A_USER: dict[str, Forgeries] = {
    "user_credits": credits("user_id", "total_earned"),
    "credit_transactions": movements("user_id", "generation", "refund", "clawback", "overage"),
    "generation_sessions": sessions("user_id"),
    "users": {"user_id": ANOTHER},
}
IN_OVERAGE: dict[str, Forgeries] = {
    "store_credits": credits("store_id", "total_purchased", "overage_used"),
    "store_credit_transactions": movements(
        "store_id",
        "deduction",
        "refund",
        "clawback",
        "overage",
        "overage_refund",
        "overage_credit",
        "overage_bill",
    ),
    "store_generation_sessions": sessions("store_id"),
    "store_overage_bills": {
        "store_id": ANOTHER,
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
        "store_id": ANOTHER,
        "request_id": ("'x'",),
        "kind": (
            "CASE kind WHEN 'purchase' THEN 'subscription' ELSE 'purchase' END",
            "CASE kind WHEN 'overage' THEN 'purchase' ELSE 'overage' END",
        ),
    },
    "clawbacks": {"taken": NUMBERS, "adjustment_id": ("'x'",), "paddle_transaction_id": ("'x'",)},
}


async def open_store_that_pays(connection: Connection) -> UUID:
    """A store with every kind of payment, and one that was given back in part."""
    store_id = await open_store_with_overage(connection)
    await subscribe(connection, store_id)
    await buy(connection, Owner.store(store_id))
    return store_id


Opener = Callable[[Connection], Awaitable[UUID]]
CASES: list[tuple[Opener, str, Forgeries]] = [
    (open_owner, table, forgeries)
    for open_owner, tables in (
        (open_store_with_everything, IN_A_STORE),
        (open_user_with_everything, IN_A_USER),
        (open_store_with_overage, IN_OVERAGE),
        (open_store_that_pays, IN_MONEY),
    )
    for table, forgeries in tables.items()
]
WHERE_PLACE = """ctid = (
    SELECT ctid FROM {table} t WHERE t::text LIKE '%' || $1 || '%' ORDER BY t::text
    OFFSET $2 LIMIT 1)"""


@pytest.mark.parametrize(
    "open_owner, table, forgeries", CASES, ids=[f"{case[0].__name__}-{case[1]}" for case in CASES]
)
async def test_no_single_value_can_be_forged_and_no_single_row_removed(
    open_owner: Opener,
    table: str,
    forgeries: Forgeries,
    database: Database,
    admin: asyncpg.Connection,
) -> None:
    _, owner_id, _ = [await open_owner(admin) for _ in range(3)]
    assert (await verify(database)).clean
    await allow_anything(admin)
    changes = [] if table in IN_MONEY else [f"DELETE FROM {table}"]
    changes += [
        f"UPDATE {table} SET {column} = {value.format(column=column)}"
        for column, values in forgeries.items()
        for value in values
    ]
    await admin.execute(f"CREATE TABLE original AS SELECT * FROM {table}")
    rows = await admin.fetchval(
        f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%' || $1 || '%'", str(owner_id)
    )
    found = 0
    for change in changes:
        for place in range(rows):
            if await forge(
                admin, f"{change} WHERE {WHERE_PLACE.format(table=table)}", owner_id, place
            ):
                report = await verify(database)
                assert not report.clean, (change, place)
                found += 1
            await admin.execute(f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM original")
    assert found >= len(changes)
    assert (await verify(database)).clean


async def forge(admin: asyncpg.Connection, change: str, owner_id: UUID, place: int) -> bool:
    """Whether the change could be made; the unique indexes still stand."""
    try:
        done = await admin.execute(change, str(owner_id), place)
    except asyncpg.UniqueViolationError:
        return False
    assert done.endswith(" 1")
    return True
