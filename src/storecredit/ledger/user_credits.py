"""An end user's credits: the balance, the ledger, and credits added to it.

Deductions and refunds are not here: they happen together with the work they pay for, in
`storecredit.generation.lifecycle`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from storecredit.ledger.outcomes import (
    Addition,
    CreditError,
    UserAdditionType,
    UserMovementType,
    credit_error,
)
from storecredit.ledger.store_credits import AMOUNT_MAX, PAGE_MAX, CreditRowMissing
from storecredit.postgres.pool import Database, Record, StatementRefused

OFFSET_MAX: Final = 2**63 - 1
"""What PostgreSQL can count to: nobody has that many movements."""


@dataclass(frozen=True, slots=True)
class UserBalance:
    """Credits a user has, was ever given, and has spent (deductions less refunds).

    `updated_at`: when they last moved.
    """

    balance: int
    total_earned: int
    total_spent: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class UserMovement:
    """One row of a user's ledger. `amount` is positive: the type gives the sign."""

    seq: int
    type: UserMovementType
    amount: int
    balance_after: int
    request_id: str
    session_id: UUID | None
    description: str
    created_at: datetime


class UserCredits:
    """Reads and adds to the credits of end users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def balance(self, user_id: UUID) -> UserBalance:
        """The user's credits now. Raises CreditRowMissing, DatabaseUnavailable."""
        row = await self._database.fetchrow(
            "SELECT balance, total_earned, total_spent, updated_at"
            " FROM user_credits WHERE user_id = $1",
            user_id,
        )
        if row is None:
            raise CreditRowMissing(f"user {user_id} has no credit row")
        return UserBalance(
            row["balance"], row["total_earned"], row["total_spent"], row["updated_at"]
        )

    async def movements(
        self, user_id: UUID, *, limit: int, offset: int
    ) -> tuple[UserMovement, ...]:
        """The user's ledger, newest first, from the `offset`-th on; at most `PAGE_MAX` rows."""
        rows = await self._database.fetch(
            """SELECT seq, type, amount, balance_after, request_id, session_id, description,
                   created_at
               FROM credit_transactions WHERE user_id = $1
               ORDER BY seq DESC LIMIT $2 OFFSET $3""",
            user_id,
            min(limit, PAGE_MAX),
            min(offset, OFFSET_MAX),
        )
        return tuple(_movement(row) for row in rows)

    async def add(
        self, user_id: UUID, amount: int, type_: UserAdditionType, request_id: str, description: str
    ) -> Addition:
        """Add 1 to `AMOUNT_MAX` credits, once per request id."""
        if not 1 <= amount <= AMOUNT_MAX:
            raise ValueError(f"amount must be 1 to {AMOUNT_MAX}, not {amount}")
        try:
            added = await self._database.fetchval(
                "SELECT add_credits($1, $2, $3, $4, $5)",
                user_id,
                amount,
                type_.value,
                request_id,
                description,
            )
        except StatementRefused as refused:
            match credit_error(refused):
                case CreditError.REQUEST_CONFLICT:
                    return Addition.CONFLICT
                case CreditError.UNKNOWN_USER:
                    return Addition.UNKNOWN_OWNER
                case _:
                    raise
        return Addition.ADDED if added else Addition.ALREADY_ADDED


def _movement(row: Record) -> UserMovement:
    return UserMovement(
        seq=row["seq"],
        type=UserMovementType(row["type"]),
        amount=row["amount"],
        balance_after=row["balance_after"],
        request_id=row["request_id"],
        session_id=row["session_id"],
        description=row["description"],
        created_at=row["created_at"],
    )
