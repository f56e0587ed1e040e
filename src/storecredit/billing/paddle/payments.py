"""What Paddle says of one payment: by the event that is kept of it, else Paddle itself is asked."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from storecredit.billing.paddle import PROVIDER
from storecredit.billing.paddle.gateway import Paddle
from storecredit.billing.paddle.messages import COMPLETED_EVENT, Transaction
from storecredit.billing.paddle.reading import UnreadableContent, read_content
from storecredit.postgres.buckets import Buckets, fetched

COMPLETED: Final = "completed"
_TRANSACTION_ID: Final = re.compile(r"txn_[A-Za-z0-9]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Payment:
    """A transaction at Paddle that says what was paid, or is to be.

    `amount` is before tax and less what was taken off, in the currency's smallest unit.
    `completed`: it was paid, `paid_at` as far as that is told.
    """

    transaction_id: str
    subscription_id: str | None
    amount: int
    currency: str
    completed: bool
    paid_at: datetime | None


def is_transaction_id(text: str) -> bool:
    """Whether Paddle could have given a transaction that id."""
    return _TRANSACTION_ID.fullmatch(text) is not None


class Payments:
    """Looks payments up."""

    def __init__(self, buckets: Buckets, paddle: Paddle | None) -> None:
        self._buckets = buckets
        self._paddle = paddle

    @property
    def can_ask(self) -> bool:
        """Whether Paddle itself can be asked: not while billing is off."""
        return self._paddle is not None

    async def find(self, transaction_id: str) -> Payment | None:
        """The payment; None: nobody who could be asked says what was paid.

        `transaction_id` is in Paddle's form. Raises DatabaseUnavailable, PaddleUnavailable,
        PaddleRefused.
        """
        return await self._kept(transaction_id) or await self._asked(transaction_id)

    async def _kept(self, transaction_id: str) -> Payment | None:
        """By its event; None: there is none that can be read and says what was paid."""
        rows = await fetched(
            self._buckets,
            f"""SELECT occurred_at, received_at, content FROM provider_events
                WHERE event_type = '{COMPLETED_EVENT}' AND content ->> 'id' = $2
                  AND provider = $1
                ORDER BY received_at LIMIT 1""",  # noqa: S608 - a constant, as the index has it
            PROVIDER,
            transaction_id,
        )
        if not rows:
            return None
        row = min(rows, key=lambda each: each["received_at"])
        try:
            said = read_content(COMPLETED_EVENT, row["content"])
        except UnreadableContent:
            return None
        if not isinstance(said, Transaction) or said.totals is None:
            return None
        # The event's type says that it is completed; earlier versions kept no status.
        return _payment(said, row["occurred_at"], completed=said.status in (None, COMPLETED))

    async def _asked(self, transaction_id: str) -> Payment | None:
        """By Paddle itself; None: it knows none such that has an amount, or billing is off."""
        if self._paddle is None:
            return None
        said = await self._paddle.find_transaction(transaction_id)
        if said is None or said.totals is None:
            return None
        return _payment(said, said.billed_at, completed=said.status == COMPLETED)


def _payment(said: Transaction, paid_at: datetime | None, *, completed: bool) -> Payment:
    return Payment(said.id, said.subscription_id, said.paid, said.currency_code, completed, paid_at)
