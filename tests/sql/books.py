"""Reading the books back: what stands in the tables, whatever a function has answered."""

from collections.abc import Awaitable
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


async def snapshot(connection: Connection, store_id: UUID) -> tuple[Any, ...]:
    """Everything that is written of a store: equal before and after, nothing was written."""
    sessions = await connection.fetch(
        """SELECT to_jsonb(s) AS session FROM store_generation_sessions s
           WHERE s.store_id = $1 ORDER BY s.session_id""",
        store_id,
    )
    credits = await credits_of(connection, store_id)
    return credits, await ledger(connection, store_id), [row["session"] for row in sessions]


async def assert_books_balance(connection: Connection, store_id: UUID) -> None:
    """Recompute the store's credits from its ledger, row by row."""
    balance = purchased = spent = 0
    rows = await ledger(connection, store_id)
    deducted = {row.request_id: row.amount for row in rows if row.type == "deduction"}
    for place, row in enumerate(rows, start=1):
        assert row.seq == place, "seq has a gap"
        assert row.amount >= 1
        if row.type == "deduction":
            balance, spent = balance - row.amount, spent + row.amount
        elif row.type == "refund":
            assert row.amount <= deducted[row.request_id], "more came back than was taken"
            balance, spent = balance + row.amount, spent - row.amount
        else:
            balance, purchased = balance + row.amount, purchased + row.amount
        assert row.balance_after == balance, f"balance_after of seq {row.seq} does not follow"
    assert await credits_of(connection, store_id) == (balance, purchased, spent, len(rows))


async def sqlstate_of(statement: Awaitable[object]) -> str:
    """The SQLSTATE a statement is refused with."""
    try:
        answer = await statement
    except asyncpg.PostgresError as error:
        return str(error.sqlstate)
    raise AssertionError(f"not refused, answered {answer!r}")
