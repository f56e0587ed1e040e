"""Reading the books back: what stands in the tables, whatever a function has answered."""

from collections.abc import Awaitable
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from storecredit.postgres.pool import Connection


class Row(NamedTuple):
    """One movement in the ledger."""

    seq: int
    type: str
    amount: int
    balance_after: int
    request_id: str


class Credits(NamedTuple):
    """A store's credit row."""

    balance: int
    total_purchased: int
    total_spent: int
    last_seq: int


class Beyond(NamedTuple):
    """The rest of a store's credit row: what was clawed back, and what goes beyond the balance."""

    total_clawed_back: int
    overage_limit: int
    overage_used: int


class Bill(NamedTuple):
    """A bill for what was used beyond the balance."""

    period: date
    seq: int
    credits: int
    amount: int
    currency: str
    request_id: str


async def open_store(connection: Connection, credits: int = 0) -> UUID:
    """Make a store; with credits, its ledger opens with a grant under the request id 'opening'."""
    store_id = uuid7()
    await connection.execute(
        "SELECT create_store($1, 'Test', 'test.example', p_credits => $2, p_request_id => $3)",
        store_id,
        credits,
        "opening",
    )
    return store_id


async def open_store_beyond(connection: Connection, credits: int = 0, *, limit: int) -> UUID:
    """A store that may go `limit` credits beyond its balance."""
    store_id = await open_store(connection, credits)
    await connection.execute("SELECT set_store_overage_limit($1, $2)", store_id, limit)
    return store_id


async def ledger(connection: Connection, store_id: UUID) -> list[Row]:
    """Every movement of the store, oldest first."""
    rows = await connection.fetch(
        """SELECT seq, type, amount, balance_after, request_id FROM store_credit_transactions
           WHERE store_id = $1 ORDER BY seq""",
        store_id,
    )
    return [Row(*row) for row in rows]


async def credits_of(connection: Connection, store_id: UUID) -> Credits:
    """The store's credit row."""
    row = await connection.fetchrow(
        "SELECT balance, total_purchased, total_spent, last_seq FROM store_credits"
        " WHERE store_id = $1",
        store_id,
    )
    assert row is not None
    return Credits(*row)


async def beyond(connection: Connection, store_id: UUID) -> Beyond:
    """The store's clawbacks and overage."""
    row = await connection.fetchrow(
        "SELECT total_clawed_back, overage_limit, overage_used FROM store_credits"
        " WHERE store_id = $1",
        store_id,
    )
    assert row is not None
    return Beyond(*row)


async def bills(connection: Connection, store_id: UUID) -> list[Bill]:
    """Every overage bill of the store, oldest first."""
    rows = await connection.fetch(
        """SELECT period, seq, credits, amount, currency, request_id FROM store_overage_bills
           WHERE store_id = $1 ORDER BY period""",
        store_id,
    )
    return [Bill(*row) for row in rows]


async def snapshot(connection: Connection, store_id: UUID) -> tuple[Any, ...]:
    """Everything that is written of a store: equal before and after, nothing was written."""
    sessions = await connection.fetch(
        """SELECT to_jsonb(s) AS session FROM store_generation_sessions s
           WHERE s.store_id = $1 ORDER BY s.session_id""",
        store_id,
    )
    return (
        await credits_of(connection, store_id),
        await beyond(connection, store_id),
        await ledger(connection, store_id),
        await bills(connection, store_id),
        [row["session"] for row in sessions],
    )


# What one credit of each type does: to the balance, the credit row's totals, and overage_used.
EFFECTS = {
    #                  balance, purchased, spent, clawed back, overage used
    "deduction": (-1, 0, 1, 0, 0),
    "refund": (1, 0, -1, 0, 0),
    "purchase": (1, 1, 0, 0, 0),
    "subscription": (1, 1, 0, 0, 0),
    "grant": (1, 1, 0, 0, 0),
    "clawback": (-1, 0, 0, 1, 0),
    "overage": (0, 0, 0, 0, 1),
    "overage_refund": (0, 0, 0, 0, -1),
    "overage_credit": (1, 1, 0, 0, 0),
    "overage_bill": (0, 0, 0, 0, -1),
}
GIVEN_BACK = {"refund": "deduction", "overage_refund": "overage", "overage_credit": "overage"}


async def assert_books_balance(connection: Connection, store_id: UUID) -> None:
    """Recompute the store's credits from its ledger, row by row."""
    sums = [0] * 5
    rows = await ledger(connection, store_id)
    taken = {(row.request_id, row.type): row for row in rows}
    returned: set[str] = set()
    for place, row in enumerate(rows, start=1):
        assert row.seq == place, "seq has a gap"
        assert row.amount >= 1
        if row.type in GIVEN_BACK:
            origin = taken[row.request_id, GIVEN_BACK[row.type]]
            assert origin.seq < row.seq
            assert row.amount <= origin.amount, "more came back than was taken"
            assert row.request_id not in returned, "it came back twice"
            returned.add(row.request_id)
        sums = [
            so_far + sign * row.amount for so_far, sign in zip(sums, EFFECTS[row.type], strict=True)
        ]
        assert row.balance_after == sums[0], f"balance_after of seq {row.seq} does not follow"
        assert min(sums) >= 0
        if row.type == "overage_bill":
            assert sums[4] == 0, "a bill closes all that was used"
    balance, purchased, spent, clawed_back, used = sums
    assert await credits_of(connection, store_id) == (balance, purchased, spent, len(rows))
    assert (await beyond(connection, store_id))._replace(overage_limit=0) == (clawed_back, 0, used)
    await _assert_bills_are_the_ledgers(connection, store_id, rows)


async def _assert_bills_are_the_ledgers(
    connection: Connection, store_id: UUID, rows: list[Row]
) -> None:
    billed = await bills(connection, store_id)
    closing = [(row.seq, row.amount, row.request_id) for row in rows if row.type == "overage_bill"]
    assert [(bill.seq, bill.credits, bill.request_id) for bill in billed] == closing
    for row in rows:
        if row.type in {"overage_refund", "overage_credit"}:
            (origin,) = (
                each.seq
                for each in rows
                if each.type == "overage" and each.request_id == row.request_id
            )
            billed_before = any(origin < bill.seq < row.seq for bill in billed)
            assert billed_before == (row.type == "overage_credit")


async def sqlstate_of(statement: Awaitable[object]) -> str:
    """The SQLSTATE a statement is refused with."""
    try:
        answer = await statement
    except asyncpg.PostgresError as error:
        return str(error.sqlstate)
    raise AssertionError(f"not refused, answered {answer!r}")
