"""What an operator does to credits by hand: add, take out, hand over, set an end.

Each is one transaction with its entry in the audit log, says why and names who did it, and is done
once: by its request id, an end because setting the same again changes nothing.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from storecredit.ledger.credits import AMOUNT_MAX, Cause, Credits
from storecredit.ledger.grants import USUAL, Terms
from storecredit.ledger.outcomes import Addition, AdditionType, CreditError, credit_error
from storecredit.ledger.owners import Owner
from storecredit.operator.audit import About, Action, ActionContext, ActionEntry, AuditLog
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import StatementRefused
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record


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


class CreditActions:
    """Adds credits, takes them out, hands them over, and sets when grants end."""

    def __init__(self, buckets: Buckets, credits: Credits, audit: AuditLog) -> None:
        self._buckets = buckets
        self._credits = credits
        self._audit = audit

    async def add(
        self,
        context: ActionContext,
        owner: Owner,
        amount: int,
        type_: AdditionType,
        description: str = "",
        terms: Terms = USUAL,
    ) -> Addition:
        """Add 1 to `AMOUNT_MAX` credits, once per request id; `description` is for the ledger.

        Raises DatabaseUnavailable: then it is not known whether it was done, and the same request
        may be sent again. Raises IdempotencyConflict.
        """
        asked = {
            "amount": amount,
            "type": type_.value,
            "description": description,
            **{name: value for name, value in asdict(terms).items() if value is not None},
        }
        async with self._audit.action(context, Action.CREDITS_ADD, About(owner), asked) as entry:
            if entry.earlier is not None:
                return Addition.ALREADY_ADDED
            cause = Cause(context.request_id, description, context.actor)
            outcome = await self._credits.add(owner, amount, type_, cause, terms)
            if outcome is Addition.ADDED:
                entry.write()
        return outcome

    async def remove(
        self, context: ActionContext, owner: Owner, amount: int | None
    ) -> Removed | Insufficient | NotDone:
        """Take 1 to `AMOUNT_MAX` credits out, or (None) all that are there; never below zero.

        What is held is not there. The context's reason stands in the ledger, too. Raises as `add`.
        """
        if amount is not None:
            _check_amount(amount)
        asked = {"amount": "all" if amount is None else amount}
        async with self._audit.action(context, Action.CREDITS_REMOVE, About(owner), asked) as entry:
            if entry.earlier is not None:
                return Removed(**entry.earlier, replayed=True)
            row = await _done(
                entry.database,
                "SELECT * FROM remove_from_account(account_of($1, $2), $3, $4, $5, $6)",
                owner.kind,
                owner.id,
                amount,
                context.request_id,
                context.reason,
                context.actor,
            )
            if isinstance(row, NotDone):
                return row
            match row["outcome"]:
                case "removed" | "already_removed" as outcome:
                    done = {"amount": row["removed"], "balance": row["balance"]}
                    if outcome == "removed":
                        entry.write(done)
                    return Removed(**done, replayed=outcome == "already_removed")
                case "insufficient":
                    return Insufficient(row["balance"], amount)
                case outcome:
                    return NotDone(outcome)

    async def transfer(
        self, context: ActionContext, source: Owner, target: Owner, amount: int
    ) -> Transferred | Insufficient | NotDone:
        """Hand 1 to `AMOUNT_MAX` credits of `source` to `target`, both movements or neither.

        They keep what they are there: paid or promo, and the latest of their ends. The context's
        reason stands in both ledgers, too. Raises as `add`.
        """
        _check_amount(amount)
        about, asked = About(source, target), {"amount": amount}
        async with self._audit.action(context, Action.CREDITS_TRANSFER, about, asked) as entry:
            if entry.earlier is not None:
                return Transferred(**entry.earlier, replayed=True)
            row = await self._handed_over(entry, context, source, target, amount)
            if isinstance(row, NotDone):
                return row
            match row["outcome"]:
                case "transferred" | "already_transferred" as outcome:
                    balances = {name: row[name] for name in ("from_balance", "to_balance")}
                    done = {"amount": amount, **balances}
                    if outcome == "transferred":
                        entry.write(done)
                    return Transferred(**done, replayed=outcome == "already_transferred")
                case "insufficient":
                    return Insufficient(row["from_balance"], amount)
                case outcome:
                    return NotDone(outcome)

    async def set_expiry(
        self, context: ActionContext, owner: Owner, seq: int, expires_at: datetime | None
    ) -> ExpirySet | NotDone:
        """Let what is left of the owner's grant `seq` end at `expires_at`; None: never.

        The ledger says so by a movement, whose grant takes the other's place. Raises as `add`.
        """
        about, asked = About(owner, subject=str(seq)), {"expires_at": expires_at}
        async with self._audit.action(context, Action.GRANT_SET_EXPIRY, about, asked) as entry:
            if entry.earlier is not None:
                return ExpirySet(**entry.earlier, expires_at=expires_at)
            row = await _done(
                entry.database,
                "SELECT * FROM set_grant_expiry(account_of($1, $2), $3, $4, $5, $6)",
                owner.kind,
                owner.id,
                seq,
                expires_at,
                context.reason,
                context.actor,
            )
            if isinstance(row, NotDone):
                return row
            if row["outcome"] != "set":
                return NotDone(row["outcome"])
            done = {"seq": row["seq"], "credits": row["credits"]}
            entry.write(done)
            return ExpirySet(**done, expires_at=expires_at)

    async def _handed_over(
        self,
        entry: ActionEntry,
        context: ActionContext,
        source: Owner,
        target: Owner,
        amount: int,
    ) -> Record | NotDone:
        """In the giver's bucket, whose transaction works in the receiver's, too."""
        rest = amount, context.request_id, context.reason, context.actor
        if entry.account_elsewhere is None:
            return await _done(
                entry.database,
                """SELECT * FROM transfer_credits(
                       account_of($1, $2), account_of($3, $4), $5, $6, $7, $8)""",
                source.kind,
                source.id,
                target.kind,
                target.id,
                *rest,
            )
        return await _done(
            entry.database,
            "SELECT * FROM transfer_elsewhere(account_of($1, $2), $3, $4, $5, $6, $7, $8)",
            source.kind,
            source.id,
            self._buckets.of_account(entry.account_elsewhere).schema,
            entry.account_elsewhere,
            *rest,
        )


async def _done(database: Database, statement: str, *args: object) -> Record | NotDone:
    try:
        row = await database.fetchrow(statement, *args)
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
