"""One attempt at charging a store through its subscription, by whoever holds the charge's lock.

`storecredit.billing.subscription_charges` says in which order things are done, and why that makes
one charge.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from storecredit import telemetry
from storecredit.billing.paddle.charge_marker import charge_marker
from storecredit.billing.paddle.gateway import Paddle, PaddleRefused, PaddleUnavailable
from storecredit.billing.paddle.settlement import settle_charge
from storecredit.billing.paddle.verdicts import Ignored, NotYet, Processed, SetAside
from storecredit.billing.sales import Charge
from storecredit.postgres.pacing import backoff
from storecredit.postgres.pool import DedicatedConnection
from storecredit.settings import Settings

log = telemetry.get_logger("billing.charge_attempt")

BACKOFF_MAX_SECONDS: Final = 3600.0
DECLINED_WAIT_SECONDS: Final = 24 * 3600.0
"""A declined card is not tried every hour: card networks count that against its seller."""
NO_SUBSCRIPTION: Final = "The store has no active subscription to charge."
NOT_WANTED: Final = "It was not needed any more, and nothing was charged."
PAID_STATUSES: Final = frozenset({"paid", "completed"})
"""https://developer.paddle.com/build/transactions/transaction-lifecycle"""


class ChargeKind(StrEnum):
    """What a store is charged for."""

    OVERAGE = "overage"
    TOP_UP = "top_up"


@dataclass(frozen=True, slots=True)
class OpenCharge:
    """A charge that is not made yet; amounts are in the currency's smallest unit.

    `sent_through`: the subscription it was last sent through, None if it never was.
    `subscription_id`: the one to charge, None if the store has none. `is_wanted`: a bill always is,
    a top-up while the store would still buy it. `begun`: it may exist at Paddle. `settled`: if so,
    it is listed by now. `accepted`: it exists. `sought_since`: it was not sent before, not even by
    a database that was restored since.
    """

    account_id: int
    store_id: UUID
    kind: ChargeKind
    request_id: str
    credits: int
    amount: int
    currency: str
    attempts: int
    sent_through: str | None
    subscription_id: str | None
    is_wanted: bool
    accepted: bool
    begun: bool
    settled: bool
    sought_since: datetime

    @property
    def key(self) -> tuple[int, str]:
        """What names it in the database."""
        return self.account_id, self.request_id

    @property
    def marker(self) -> str:
        """What names it at Paddle."""
        return charge_marker(self.store_id, self.request_id)

    @property
    def order(self) -> Charge:
        """What Paddle is asked for."""
        return Charge(
            marker=self.marker,
            description=self._description,
            quantity=self.credits,
            unit_amount=self.amount // self.credits,
            currency=self.currency,
        )

    @property
    def _description(self) -> str:
        match self.kind:
            case ChargeKind.OVERAGE:
                month = self.request_id.removeprefix("overage-")
                return f"Credits used beyond the balance, {month}"
            case ChargeKind.TOP_UP:
                return "Credits, bought by themselves at a low balance"


class Attempt:
    """What one process does about one charge while it holds the lock."""

    def __init__(
        self,
        connection: DedicatedConnection,
        paddle: Paddle,
        settings: Settings,
        charge: OpenCharge,
    ) -> None:
        self._connection = connection
        self._paddle = paddle
        self._settings = settings
        self._charge = charge

    async def make(self) -> bool:
        """Record, look, wait or send, whichever it is; false: Paddle is away."""
        charge = self._charge
        try:
            # Before the first sending, too: a database that was restored to an earlier moment does
            # not know what it has sent since.
            through = charge.sent_through or charge.subscription_id
            if through is not None and await self._found(through):
                return True
            if charge.accepted or not charge.settled:
                await self._wait_for_listing()
            elif not charge.is_wanted:
                await self._drop()
            elif charge.subscription_id is None:
                await self._note(NO_SUBSCRIPTION, BACKOFF_MAX_SECONDS)
            else:
                await self._send(charge.subscription_id)
        except PaddleUnavailable as error:
            await self._note(f"Paddle gave no clear answer: {error}", self._backoff_seconds())
            return False
        except PaddleRefused as refused:
            # Not an answer to a charge: to a look for one.
            await self._note(_refusal(refused), BACKOFF_MAX_SECONDS)
        return True

    async def _found(self, subscription_id: str) -> bool:
        transaction_id = await self._paddle.find_charge(
            subscription_id, self._charge.marker, self._charge.sought_since
        )
        if transaction_id is not None:
            await self._settle(transaction_id)
        return transaction_id is not None

    async def _wait_for_listing(self) -> None:
        if self._charge.accepted:
            said = "Paddle accepted the charge, and does not list its transaction yet."
        else:
            said = "A charge was sent and its answer lost; Paddle may list it yet."
        seconds = BACKOFF_MAX_SECONDS if self._charge.settled else self._backoff_seconds()
        await self._note(said, min(seconds, self._settings.charge_settle_seconds))

    async def _send(self, subscription_id: str) -> None:
        decided_at = time.monotonic()
        if not await self._begin(subscription_id):
            return
        # A process that stood still since may have lost its lock without having noticed.
        if time.monotonic() - decided_at > self._settings.charge_settle_seconds / 2:
            log.warning("subscription_charge_too_late")
            return
        try:
            await self._paddle.charge_subscription(subscription_id, self._charge.order)
        except PaddleRefused as refused:
            await self._refused(refused)
            return
        await self._connection.fetchval(
            "SELECT accept_subscription_charge($1, $2)", *self._charge.key
        )
        if not await self._found(subscription_id):
            await self._note(
                "Paddle accepted the charge, and does not list its transaction yet.",
                self._backoff_seconds(),
            )

    async def _begin(self, subscription_id: str) -> bool:
        begun: bool = await self._connection.fetchval(
            "SELECT begin_subscription_charge($1, $2, $3, $4)",
            *self._charge.key,
            subscription_id,
            self._charge.attempts,
        )
        log.info("subscription_charge_begun" if begun else "subscription_charge_not_begun")
        return begun

    async def _drop(self) -> None:
        log.info("top_up_dropped", attempts=self._charge.attempts)
        await self._connection.fetchval(
            "SELECT drop_top_up($1, $2, $3)", *self._charge.key, NOT_WANTED
        )

    async def _refused(self, refused: PaddleRefused) -> None:
        if refused.is_declined and self._charge.kind is ChargeKind.TOP_UP:
            log.warning("top_up_declined", attempts=self._charge.attempts)
            await self._connection.fetchval(
                "SELECT decline_top_up($1, $2, $3)", *self._charge.key, _refusal(refused)
            )
            return
        await self._note(
            _refusal(refused),
            DECLINED_WAIT_SECONDS if refused.is_declined else self._backoff_seconds(),
            nothing_was_charged=True,
        )

    async def _settle(self, transaction_id: str) -> None:
        """It exists. That of a bill is settled; a top-up's once it is paid, with its credits."""
        match self._charge.kind:
            case ChargeKind.OVERAGE:
                await self._record(transaction_id)
            case ChargeKind.TOP_UP:
                await self._book(transaction_id)

    async def _book(self, transaction_id: str) -> None:
        """As Paddle's event does, which may have come first, or come later."""
        paid = await self._paddle.find_transaction(transaction_id)
        if paid is None or paid.status not in PAID_STATUSES:
            said = "nothing of it" if paid is None else f"that it is {paid.status}"
            await self._note(
                f"Paddle has made the charge ({transaction_id}), and tells {said}: its credits "
                "come once it is paid.",
                self._backoff_seconds(),
            )
            return
        grace = timedelta(days=self._settings.refund_grace_days)
        verdict = await settle_charge(self._connection, paid, datetime.now(UTC), grace)
        match verdict:
            case Processed():
                self._log_charged(transaction_id)
            case Ignored(reason) | SetAside(reason) | NotYet(reason):
                await self._note(reason, BACKOFF_MAX_SECONDS)

    async def _record(self, transaction_id: str) -> None:
        charge = self._charge
        recorded = await self._connection.fetchval(
            "SELECT record_subscription_charge($1, $2, $3)", *charge.key, transaction_id
        )
        if recorded:
            self._log_charged(transaction_id)
        else:
            log.error("subscription_charged_twice", transaction_id=transaction_id)

    def _log_charged(self, transaction_id: str) -> None:
        charge = self._charge
        log.info(
            "subscription_charged",
            kind=charge.kind,
            transaction_id=transaction_id,
            credits=charge.credits,
        )

    async def _note(
        self, reason: str, wait_seconds: float, *, nothing_was_charged: bool = False
    ) -> None:
        log.warning("subscription_not_charged", reason=reason, attempts=self._charge.attempts)
        await self._connection.fetchval(
            "SELECT note_subscription_charge_failure($1, $2, $3, $4, $5)",
            *self._charge.key,
            reason,
            timedelta(seconds=wait_seconds),
            nothing_was_charged,
        )

    def _backoff_seconds(self) -> float:
        first_seconds = self._settings.billing_backoff_seconds
        return backoff(first_seconds, self._charge.attempts + 1, BACKOFF_MAX_SECONDS)


def _refusal(refused: PaddleRefused) -> str:
    return f"Paddle refused ({refused.code}): {refused.detail}"
