"""One attempt at charging a bill for overage, by whoever holds its lock.

`storecredit.billing.overage` says in which order things are done, and why that makes one charge.
"""

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

from storecredit import telemetry
from storecredit.billing.paddle.charge_marker import overage_marker
from storecredit.billing.paddle.gateway import Paddle, PaddleRefused, PaddleUnavailable
from storecredit.billing.sales import Charge
from storecredit.postgres.pacing import backoff
from storecredit.postgres.pool import DedicatedConnection
from storecredit.settings import Settings

log = telemetry.get_logger("billing.overage")

BACKOFF_MAX_SECONDS: Final = 3600.0
DECLINED_WAIT_SECONDS: Final = 24 * 3600.0
"""A declined card is not tried every hour: card networks count that against its seller."""
MONTH_MAX_DAYS: Final = 31
NO_SUBSCRIPTION: Final = "The store has no active subscription to charge."


@dataclass(frozen=True, slots=True)
class Bill:
    """An open bill; amounts are in the currency's smallest unit.

    `sent_through`: the subscription a charge was last sent through, None if none ever was.
    `begun`: it may exist at Paddle. `settled`: if so, it is listed by now. `accepted`: it exists.
    `subscription_id`: the one to charge, None if the store has none.
    """

    account_id: int
    store_id: UUID
    period: date
    credits: int
    amount: int
    currency: str
    attempts: int
    request_id: str
    sent_through: str | None
    subscription_id: str | None
    accepted: bool
    begun: bool
    settled: bool

    @property
    def marker(self) -> str:
        """What names this bill's charge at Paddle."""
        return overage_marker(self.store_id, self.period)

    @property
    def month_ended_at(self) -> datetime:
        """No charge for the month was sent before; bill's own `created_at` may be a later one's."""
        first = datetime(self.period.year, self.period.month, 1, tzinfo=UTC)
        return (first + timedelta(days=MONTH_MAX_DAYS)).replace(day=1)

    @property
    def charge(self) -> Charge:
        """What Paddle is asked for."""
        return Charge(
            marker=self.marker,
            description=f"Credits used beyond the balance, {self.period:%Y-%m}",
            quantity=self.credits,
            unit_amount=self.amount // self.credits,
            currency=self.currency,
        )


class Attempt:
    """What one process does about one bill while it holds the lock."""

    def __init__(
        self, connection: DedicatedConnection, paddle: Paddle, settings: Settings, bill: Bill
    ) -> None:
        self._connection = connection
        self._paddle = paddle
        self._settings = settings
        self._bill = bill

    async def make(self) -> bool:
        """Record, look, wait or send, whichever it is; false: Paddle is away."""
        bill = self._bill
        try:
            # Before the first sending, too: a database that was restored to an earlier moment does
            # not know what it has sent since.
            through = bill.sent_through or bill.subscription_id
            if through is not None and await self._found(through):
                return True
            if bill.accepted or not bill.settled:
                await self._wait_for_listing()
            elif bill.subscription_id is None:
                await self._note(NO_SUBSCRIPTION, BACKOFF_MAX_SECONDS)
            else:
                await self._send(bill.subscription_id)
        except PaddleUnavailable as error:
            await self._note(f"Paddle gave no clear answer: {error}", self._backoff_seconds())
            return False
        except PaddleRefused as refused:
            # Not an answer to a charge: to a look for one.
            await self._note(_refusal(refused), BACKOFF_MAX_SECONDS)
        return True

    async def _found(self, subscription_id: str) -> bool:
        transaction_id = await self._paddle.find_charge(
            subscription_id, self._bill.marker, self._bill.month_ended_at
        )
        if transaction_id is not None:
            await self._record(transaction_id)
        return transaction_id is not None

    async def _wait_for_listing(self) -> None:
        if self._bill.accepted:
            said = "Paddle accepted the charge, and does not list its transaction yet."
        else:
            said = "A charge was sent and its answer lost; Paddle may list it yet."
        seconds = BACKOFF_MAX_SECONDS if self._bill.settled else self._backoff_seconds()
        await self._note(said, min(seconds, self._settings.overage_settle_seconds))

    async def _send(self, subscription_id: str) -> None:
        decided_at = time.monotonic()
        if not await self._begin(subscription_id):
            return
        # A process that stood still since may have lost its lock without having noticed.
        if time.monotonic() - decided_at > self._settings.overage_settle_seconds / 2:
            log.warning("overage_charge_too_late")
            return
        try:
            await self._paddle.charge_subscription(subscription_id, self._bill.charge)
        except PaddleRefused as refused:
            await self._refused(refused)
            return
        await self._connection.fetchval(
            "SELECT accept_overage_charge($1, $2)", self._bill.account_id, self._bill.period
        )
        if not await self._found(subscription_id):
            await self._note(
                "Paddle accepted the charge, and does not list its transaction yet.",
                self._backoff_seconds(),
            )

    async def _begin(self, subscription_id: str) -> bool:
        begun: bool = await self._connection.fetchval(
            "SELECT begin_overage_charge($1, $2, $3, $4)",
            self._bill.account_id,
            self._bill.period,
            subscription_id,
            self._bill.attempts,
        )
        log.info("overage_charge_begun" if begun else "overage_charge_not_begun")
        return begun

    async def _refused(self, refused: PaddleRefused) -> None:
        await self._note(
            _refusal(refused),
            DECLINED_WAIT_SECONDS if refused.is_declined else self._backoff_seconds(),
            nothing_was_charged=True,
        )

    async def _record(self, transaction_id: str) -> None:
        bill = self._bill
        recorded = await self._connection.fetchval(
            "SELECT record_overage_charge($1, $2, $3)",
            bill.account_id,
            bill.period,
            transaction_id,
        )
        if recorded:
            log.info("overage_charged", transaction_id=transaction_id, credits=bill.credits)
        else:
            log.error("overage_charged_twice", transaction_id=transaction_id)

    async def _note(
        self, reason: str, wait_seconds: float, *, nothing_was_charged: bool = False
    ) -> None:
        log.warning("overage_not_charged", reason=reason, attempts=self._bill.attempts)
        await self._connection.fetchval(
            "SELECT note_overage_failure($1, $2, $3, $4, $5)",
            self._bill.account_id,
            self._bill.period,
            reason,
            timedelta(seconds=wait_seconds),
            nothing_was_charged,
        )

    def _backoff_seconds(self) -> float:
        first_seconds = self._settings.billing_backoff_seconds
        return backoff(first_seconds, self._bill.attempts + 1, BACKOFF_MAX_SECONDS)


def _refusal(refused: PaddleRefused) -> str:
    return f"Paddle refused ({refused.code}): {refused.detail}"
