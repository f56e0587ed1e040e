"""Reading the end users' books back, as books.py does for stores."""

from typing import Any, NamedTuple
from uuid import UUID, uuid4

from storecredit.postgres.pool import Connection
from tests.sql.books import Row

SIGN = {
    "generation": -1,
    "clawback": -1,
    "refund": 1,
    "signup_bonus": 1,
    "purchase": 1,
    "grant": 1,
}


class UserCredits(NamedTuple):
    """A user's credit row."""

    balance: int
    total_earned: int
    total_spent: int
    total_clawed_back: int
    last_seq: int


async def open_user(connection: Connection, credits: int = 0) -> UUID:
    """Make a user; with credits, its ledger opens with a signup_bonus under the id 'signup'."""
    user_id = uuid4()
    assert await connection.fetchval("SELECT ensure_user($1, $2)", user_id, credits) == "made"
    return user_id


async def user_ledger(connection: Connection, user_id: UUID) -> list[Row]:
    """Every movement of the user, oldest first."""
    rows = await connection.fetch(
        """SELECT seq, type, amount, balance_after, request_id FROM credit_transactions
           WHERE user_id = $1 ORDER BY seq""",
        user_id,
    )
    return [Row(*row) for row in rows]


async def user_credits_of(connection: Connection, user_id: UUID) -> UserCredits:
    """The user's credit row."""
    row = await connection.fetchrow(
        "SELECT balance, total_earned, total_spent, total_clawed_back, last_seq FROM user_credits"
        " WHERE user_id = $1",
        user_id,
    )
    assert row is not None
    return UserCredits(*row)


async def user_snapshot(connection: Connection, user_id: UUID) -> list[Any]:
    """Everything that is written of a user: equal before and after, nothing was written."""
    written = [
        await connection.fetch(
            f"SELECT to_jsonb(t) AS row FROM {table} t WHERE t.user_id = $1 ORDER BY 1", user_id
        )
        for table in ("users", "user_credits", "credit_transactions", "generation_sessions")
    ]
    return [[row["row"] for row in rows] for rows in written]


async def assert_user_books_balance(connection: Connection, user_id: UUID) -> None:
    """Recompute the user's credits from its ledger, row by row."""
    balance = 0
    rows = await user_ledger(connection, user_id)
    total = dict.fromkeys(SIGN, 0)
    deducted = {row.request_id: row.amount for row in rows if row.type == "generation"}
    for place, row in enumerate(rows, start=1):
        assert row.seq == place, "seq has a gap"
        assert row.amount >= 1
        if row.type == "refund":
            assert row.amount <= deducted[row.request_id], "more came back than was taken"
        total[row.type] += row.amount
        balance += SIGN[row.type] * row.amount
        assert row.balance_after == balance, f"balance_after of seq {row.seq} does not follow"
    assert await user_credits_of(connection, user_id) == (
        balance,
        total["signup_bonus"] + total["purchase"] + total["grant"],
        total["generation"] - total["refund"],
        total["clawback"],
        len(rows),
    )
