"""Books by hand what was paid at Paddle and is nothing that our record knows.

The operator says how many credits a transaction is worth; what was paid for them, and in which
currency, is as Paddle says (`paddle/payments.py`). So a later refund or chargeback finds its
payment, and takes its share of the credits back.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from storecredit import telemetry
from storecredit.billing.checkouts import owner_of
from storecredit.billing.paddle import PROVIDER
from storecredit.billing.paddle.ownership import nearness
from storecredit.billing.paddle.payments import Payment, Payments, is_transaction_id
from storecredit.billing.paddle.reading import References
from storecredit.billing.paddle.whereabouts import Whereabouts
from storecredit.ledger.owners import Owner
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

log = telemetry.get_logger("billing.bookings")

_IS_KNOWN: Final = "SELECT EXISTS (SELECT FROM accounts WHERE owner_kind = $1 AND owner_id = $2)"
BOOKED_BY_HAND: Final = "Booked by hand"
"""Stands in the ledger where the operator says no more."""


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


class Bookings:
    """Books by hand."""

    def __init__(self, buckets: Buckets, payments: Payments) -> None:
        self._buckets = buckets
        self._whereabouts = Whereabouts(buckets)
        self._payments = payments

    async def find(self, transaction_id: str) -> Payment | NotBooked:
        """What was paid, by an event that is kept, else as Paddle says.

        Raises DatabaseUnavailable, PaddleUnavailable, PaddleRefused: it may be asked again.
        """
        if not is_transaction_id(transaction_id):
            return NotBooked.UNKNOWN_TRANSACTION
        paid = await self._payments.find(transaction_id)
        if paid is None:
            is_asked = self._payments.can_ask
            return NotBooked.UNKNOWN_TRANSACTION if is_asked else NotBooked.NOT_ASKED
        return paid if paid.completed else NotBooked.NOT_COMPLETED

    async def place_of(self, paid: Payment, owner: Owner | None) -> Database:
        """Where it is booked: where our record says whose it is, else where the named owner lives.

        Two buckets never book the same one: the first that was to has it for ever.
        """
        if not self._whereabouts.several:
            return self._buckets.home
        names = References(paid.transaction_id, paid.subscription_id, None, ())
        place = await self._whereabouts.nearest(lambda database: nearness(database, names))
        if place is None:
            if owner is None:
                return self._buckets.home
            place = await self._buckets.of(owner)
            if not await place.fetchval(_IS_KNOWN, owner.kind, owner.id):
                return place
        return await self._whereabouts.place(paid.transaction_id, place)

    async def book(
        self,
        paid: Payment,
        credits: int,
        description: str,
        owner: Owner | None = None,
        *,
        place: Database,
        actor: str | None = None,
    ) -> Booked | NotBooked:
        """Add so many credits for what was paid, once; `actor`: the operator who says so.

        `place` is as `place_of` says. `credits` from 1 to 2,147,483,647; `description` stands in
        the ledger; `owner` is needed where no checkout or subscription of ours says whose it is.
        Raises DatabaseUnavailable: it may be sent again.
        """
        row = await place.fetchrow(
            """SELECT b.outcome, (b.payment).*, a.owner_kind, a.owner_id
               FROM book_by_hand(
                   $1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, now()), $10, $11) b
               LEFT JOIN accounts a ON a.account_id = (b.payment).account_id""",
            PROVIDER,
            paid.transaction_id,
            paid.subscription_id,
            None if owner is None else owner.kind.value,
            None if owner is None else owner.id,
            credits,
            paid.amount,
            paid.currency,
            paid.paid_at,
            description,
            actor,
        )
        assert row is not None, "book_by_hand returns one row"
        match row["outcome"]:
            case "booked" | "replayed" as outcome:
                log.info("transaction_booked", transaction_id=paid.transaction_id, outcome=outcome)
                return _booked(row)
            case "unknown_owner" if owner is not None and await self._lives_elsewhere(owner, place):
                # It was begun to be booked for somebody else.
                return NotBooked.OTHER_OWNER
            case outcome:
                return NotBooked(outcome)

    async def settle_elsewhere(self, booked: Booked) -> None:
        """Settle its event, if another bucket keeps that; to be called once the booking is kept."""
        if self._whereabouts.several:
            await self._whereabouts.elsewhere(
                await self._buckets.of(booked.owner),
                lambda database: database.fetchval(
                    "SELECT settle_booked_event($1, $2)", PROVIDER, booked.transaction_id
                ),
            )

    async def _lives_elsewhere(self, owner: Owner, place: Database) -> bool:
        return await self._buckets.of(owner) is not place


def _booked(row: Record) -> Booked:
    return Booked(
        transaction_id=row["provider_transaction_id"],
        owner=owner_of(row),
        credits=row["credits"],
        amount=row["amount"],
        currency=row["currency"],
        replayed=row["outcome"] == "replayed",
    )
