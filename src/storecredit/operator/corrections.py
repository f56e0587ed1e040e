"""What the operator does to credits by hand, besides adding them: take out, hand over, set an end.

Each is one transaction, says why and names who did it, and is done once: taking out and handing
over by their request id, an end because setting the same again changes nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from storecredit.ledger.credits import AMOUNT_MAX, Cause
from storecredit.ledger.outcomes import CreditError, credit_error
from storecredit.ledger.owners import Owner
from storecredit.postgres.errors import StatementRefused
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

REASON_MAX: Final = 500
ACTOR_MAX: Final = 100
"""Characters of who did it."""


class NotDone(StrEnum):
    """Why nothing was done."""

    CONFLICT = "conflict"
    """The request id did something else before."""
    UNKNOWN_OWNER = "unknown_owner"
    SAME_OWNER = "same_account"
    NOT_FOUND = "not_found"
    """There is no such grant."""
    ENDED = "ended"
    """Nothing is left of the grant."""
    PAST = "past"
    """The moment at which it is to end is over."""


@dataclass(frozen=True, slots=True)
class Removed:
    """So many credits were taken out, now or (`replayed`) by the same request before."""

    amount: int
    balance: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class Transferred:
    """So many credits were handed over, now or (`replayed`) by the same request before."""

    amount: int
    from_balance: int
    to_balance: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class Insufficient:
    """There are not as many, and nothing was done.

    `required` None: all were asked for, and there are none.
    """

    balance: int
    required: int | None


@dataclass(frozen=True, slots=True)
class ExpirySet:
    """What is left of a grant, `credits`, ends then (None: never), as the grant `seq`."""

    seq: int
    credits: int
    expires_at: datetime | None


class Corrections:
    """Takes credits out, hands them over, and sets when grants end."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def remove(
        self, owner: Owner, amount: int | None, cause: Cause
    ) -> Removed | Insufficient | NotDone:
        """Take 1 to `AMOUNT_MAX` credits out, or (None) all that are there; never below zero.

        What is held is not there. Raises DatabaseUnavailable: then it is not known whether it was
        done, and the same request may be sent again.
        """
        if amount is not None:
            _check_amount(amount)
        row = await self._done(
            "SELECT * FROM remove_from_account(account_of($1, $2), $3, $4, $5, $6)",
            owner.kind,
            owner.id,
            amount,
            cause.request_id,
            cause.description,
            cause.actor,
        )
        if isinstance(row, NotDone):
            return row
        match row["outcome"]:
            case "removed" | "already_removed" as outcome:
                return Removed(row["removed"], row["balance"], outcome == "already_removed")
            case "insufficient":
                return Insufficient(row["balance"], amount)
            case outcome:
                return NotDone(outcome)

    async def transfer(
        self, source: Owner, target: Owner, amount: int, cause: Cause
    ) -> Transferred | Insufficient | NotDone:
        """Hand 1 to `AMOUNT_MAX` credits of `source` to `target`, both movements or neither.

        They keep what they are there: paid or promo, and the latest of their ends. Raises as
        `remove` does.
        """
        _check_amount(amount)
        row = await self._done(
            """SELECT * FROM transfer_credits(
                   account_of($1, $2), account_of($3, $4), $5, $6, $7, $8)""",
            source.kind,
            source.id,
            target.kind,
            target.id,
            amount,
            cause.request_id,
            cause.description,
            cause.actor,
        )
        if isinstance(row, NotDone):
            return row
        match row["outcome"]:
            case "transferred" | "already_transferred" as outcome:
                return Transferred(
                    amount,
                    row["from_balance"],
                    row["to_balance"],
                    outcome == "already_transferred",
                )
            case "insufficient":
                return Insufficient(row["from_balance"], amount)
            case outcome:
                return NotDone(outcome)

    async def set_expiry(
        self, owner: Owner, seq: int, expires_at: datetime | None, reason: str, actor: str
    ) -> ExpirySet | NotDone:
        """Let what is left of the owner's grant `seq` end at `expires_at`; None: never.

        The ledger says so by a movement, whose grant takes the other's place. Raises as `remove`.
        """
        row = await self._done(
            "SELECT * FROM set_grant_expiry(account_of($1, $2), $3, $4, $5, $6)",
            owner.kind,
            owner.id,
            seq,
            expires_at,
            reason,
            actor,
        )
        if isinstance(row, NotDone):
            return row
        if row["outcome"] == "set":
            return ExpirySet(row["seq"], row["credits"], expires_at)
        return NotDone(row["outcome"])

    async def _done(self, statement: str, *args: object) -> Record | NotDone:
        try:
            row = await self._database.fetchrow(statement, *args)
        except StatementRefused as refused:
            match credit_error(refused):
                case CreditError.UNKNOWN_STORE | CreditError.UNKNOWN_USER:
                    return NotDone.UNKNOWN_OWNER
                case CreditError.INVALID_TERMS:
                    return NotDone.PAST
                case _:
                    raise
        assert row is not None, "a function with OUT parameters has one row"
        return row


def _check_amount(amount: int) -> None:
    if not 1 <= amount <= AMOUNT_MAX:
        raise ValueError(f"amount must be 1 to {AMOUNT_MAX}, not {amount}")
