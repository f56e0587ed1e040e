"""Books by hand what was paid at Paddle and is nothing that our record knows.

The operator says how many credits a transaction is worth; what was paid for them, and in which
currency, is as Paddle says: by the event that is kept of it, else Paddle itself is asked. So a
later refund or chargeback finds its payment, and takes its share of the credits back.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from storecredit import telemetry
from storecredit.billing.checkouts import owner_of
from storecredit.billing.paddle.gateway import Paddle
from storecredit.billing.paddle.messages import Transaction, UnreadableContent, read_content
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.pool import Database, Record

log = telemetry.get_logger("billing.bookings")

COMPLETED: Final = "completed"
BOOKED_BY_HAND: Final = "Booked by hand"
"""Stands in the ledger where the operator says no more."""
_EVENT: Final = "transaction.completed"
_TRANSACTION_ID: Final = re.compile(r"txn_[A-Za-z0-9]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Booked:
    """The credits were added, now or (`replayed`) by the same booking before.

    `amount` is what was paid, before tax and in the currency's smallest unit.
    """

    transaction_id: str
    owner: Owner
    credits: int
    amount: int
    currency: str
    replayed: bool


class NotBooked(StrEnum):
    """Why nothing was booked."""

    UNKNOWN_TRANSACTION = "unknown_transaction"
    """Neither an event that is kept nor Paddle knows it, or neither says what was paid."""
    NOT_ASKED = "not_asked"
    """No event that is kept says what was paid; billing is off, so that Paddle cannot be asked."""
    NOT_COMPLETED = "not_completed"
    """It is not paid."""
    ALREADY_BOOKED = "already_booked"
    """By its event, or by hand for other credits."""
    OTHER_OWNER = "other_owner"
    """It is another store's or user's than the one named."""
    UNKNOWN_OWNER = "unknown_owner"
    """No record says whose it is, and nobody was named, or nobody that is known."""
    CONFLICT = "conflict"
    """Its request id has added other credits."""


@dataclass(frozen=True, slots=True)
class _Paid:
    """What Paddle says of a transaction."""

    said: Transaction
    at: datetime | None


class Bookings:
    """Books by hand."""

    def __init__(self, database: Database, paddle: Paddle | None) -> None:
        self._database = database
        self._paddle = paddle

    async def book(
        self, transaction_id: str, credits: int, description: str, owner: Owner | None = None
    ) -> Booked | NotBooked:
        """Add so many credits for the transaction, once.

        `credits` from 1 to 2,147,483,647; `description` stands in the ledger; `owner` is needed
        where no checkout or subscription of ours says whose it is. Raises DatabaseUnavailable,
        PaddleUnavailable, PaddleRefused: nothing was booked, or it may be sent again.
        """
        if not _TRANSACTION_ID.fullmatch(transaction_id):
            return NotBooked.UNKNOWN_TRANSACTION
        paid = await self._kept(transaction_id) or await self._asked(transaction_id)
        if paid is None or paid.said.totals is None:
            is_asked = self._paddle is not None
            return NotBooked.UNKNOWN_TRANSACTION if is_asked else NotBooked.NOT_ASKED
        if paid.said.status != COMPLETED:
            return NotBooked.NOT_COMPLETED
        row = await self._record(paid, credits, description, owner)
        match row["outcome"]:
            case "booked" | "replayed" as outcome:
                log.info("transaction_booked", transaction_id=transaction_id, outcome=outcome)
                return _booked(row)
            case outcome:
                return NotBooked(outcome)

    async def _kept(self, transaction_id: str) -> _Paid | None:
        """By its event; None: there is none that can be read and says what was paid."""
        row = await self._database.fetchrow(
            """SELECT occurred_at, content FROM paddle_events
               WHERE event_type = $1 AND content ->> 'id' = $2
               ORDER BY received_at LIMIT 1""",
            _EVENT,
            transaction_id,
        )
        if row is None:
            return None
        try:
            said = read_content(_EVENT, row["content"])
        except UnreadableContent:
            return None
        if not isinstance(said, Transaction) or said.totals is None:
            return None
        if said.status is None:
            # The event's type says it; earlier versions kept no status.
            said = msgspec.structs.replace(said, status=COMPLETED)
        return _Paid(said, row["occurred_at"])

    async def _asked(self, transaction_id: str) -> _Paid | None:
        """By Paddle itself; None: it knows none such, or billing is off."""
        if self._paddle is None:
            return None
        said = await self._paddle.find_transaction(transaction_id)
        return None if said is None else _Paid(said, said.billed_at)

    async def _record(
        self, paid: _Paid, credits: int, description: str, owner: Owner | None
    ) -> Record:
        row = await self._database.fetchrow(
            """SELECT b.outcome, (b.payment).*
               FROM book_transaction($1, $2, $3, $4, $5, $6, $7, coalesce($8, now()), $9) b""",
            paid.said.id,
            paid.said.subscription_id,
            owner.id if owner is not None and owner.kind is OwnerKind.STORE else None,
            owner.id if owner is not None and owner.kind is OwnerKind.USER else None,
            credits,
            paid.said.paid,
            paid.said.currency_code,
            paid.at,
            description,
        )
        assert row is not None, "book_transaction returns one row"
        return row


def _booked(row: Record) -> Booked:
    return Booked(
        transaction_id=row["paddle_transaction_id"],
        owner=owner_of(row),
        credits=row["credits"],
        amount=row["amount"],
        currency=row["currency"],
        replayed=row["outcome"] == "replayed",
    )
