"""Overage is billed afterwards: one Paddle charge per store and month, exactly once.

Once a month (UTC, by the database's clock) what each store used beyond its balance is closed into
a bill; each open bill is charged through the store's subscription. Paddle takes no idempotency key
and does not say which transaction a charge became, so every charge carries a marker, and:

1. Whoever works on a bill holds its lock, in a session of its own, until the end is written down.
2. If a charge was ever sent, it is looked for first, by its marker. One that is found is recorded.
3. One that is not found may still be on its way, or not be listed yet: until
   `overage_settle_seconds` after it was begun nobody concludes that it does not exist. After an
   answer that said yes, nobody ever does.
4. The attempt is committed as begun, in the session that holds the lock. Then it is sent.

So a process may be killed anywhere: a lock that is free again means that nobody is about to send,
and the bill tells whether something was sent. Any number of processes may do this at once.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from storecredit import telemetry
from storecredit.billing.catalogue import Catalogue
from storecredit.billing.paddle import Paddle, PaddleRefused, PaddleUnavailable
from storecredit.billing.sales import Charge
from storecredit.postgres.pool import Connection, Database, DatabaseUnavailable, translated
from storecredit.settings import Settings

log = telemetry.get_logger("billing.overage")

ROUND_MAX: Final = 100
"""Stores closed, bills charged, and bills noted in one round, at most each."""
SMALLEST_CHARGE: Final = 70
"""Paddle refuses less, which is therefore left for the month after
(https://developer.paddle.com/errors/transactions/transaction_balance_less_than_charge_limit)."""
BACKOFF_MAX_SECONDS: Final = 3600.0
DECLINED: Final = "subscription_payment_declined"
"""Paddle's code for a card that was not charged
(https://developer.paddle.com/errors/subscriptions/subscription_payment_declined)."""
DECLINED_WAIT_SECONDS: Final = 24 * 3600.0
"""A declined card is not tried every hour: card networks count that against its seller."""
NO_SUBSCRIPTION: Final = "The store has no active subscription to charge."

# The subscription to charge: the newest that is running. Paddle charges trialing ones too.
_SUBSCRIPTION: Final = """LEFT JOIN LATERAL (
    SELECT s.paddle_subscription_id, s.plan FROM store_subscriptions s
    WHERE s.store_id = c.store_id AND s.status IN ('active', 'trialing')
    ORDER BY s.created_at DESC, s.paddle_subscription_id DESC LIMIT 1) s ON true"""

# Stores whose oldest overage that is not billed and was not given back is from before this month.
# A scalar subquery is asked for these stores only; a join may read all overage there ever was.
_TO_CLOSE: Final = f"""
    SELECT c.store_id, c.overage_used, s.plan, p.month
    FROM (SELECT (m.ended - interval '1 month')::date AS month,
                 m.ended AT TIME ZONE 'UTC' AS ended_at
          FROM (SELECT date_trunc('month', now() AT TIME ZONE 'UTC') AS ended) m) p,
         store_credits c {_SUBSCRIPTION}
    WHERE c.overage_used > 0 AND c.store_id > $1
      AND NOT EXISTS (SELECT FROM store_overage_bills b
                      WHERE b.store_id = c.store_id AND b.period >= p.month)
      AND (SELECT t.created_at FROM store_credit_transactions t
           WHERE t.store_id = c.store_id AND t.type = 'overage'
             AND t.seq > coalesce((SELECT b.seq FROM store_overage_bills b
                                   WHERE b.store_id = c.store_id
                                   ORDER BY b.period DESC LIMIT 1), 0)
             AND NOT EXISTS (SELECT FROM store_credit_transactions r
                             WHERE r.store_id = t.store_id AND r.request_id = t.request_id
                               AND r.type = 'overage_refund')
           ORDER BY t.seq LIMIT 1) < p.ended_at
    ORDER BY c.store_id LIMIT $2"""  # noqa: S608 - constants

_BILL: Final = f"""
    SELECT c.store_id, c.period, c.created_at, c.credits, c.amount, c.currency, c.attempts,
           c.request_id, c.paddle_subscription_id AS sent_through,
           s.paddle_subscription_id AS subscription_id,
           c.accepted_at IS NOT NULL AS accepted,
           c.charge_begun_at IS NOT NULL AS begun,
           coalesce(c.charge_begun_at <= now() - $3::interval, true) AS settled
    FROM store_overage_bills c {_SUBSCRIPTION}
    WHERE c.store_id = $1 AND c.period = $2 AND c.charged_at IS NULL AND c.due_at <= now()"""  # noqa: S608 - constants

# Bills that something can be done about: a charge to send, or to look for.
_DUE: Final = f"""
    SELECT c.store_id, c.period FROM store_overage_bills c {_SUBSCRIPTION}
    WHERE c.charged_at IS NULL AND c.due_at <= now()
      AND (c.paddle_subscription_id IS NOT NULL OR s.paddle_subscription_id IS NOT NULL)
    ORDER BY c.due_at LIMIT $1"""  # noqa: S608 - constants

_WITHOUT_SUBSCRIPTION: Final = f"""
    SELECT c.store_id, c.period FROM store_overage_bills c {_SUBSCRIPTION}
    WHERE c.charged_at IS NULL AND c.paddle_subscription_id IS NULL
      AND s.paddle_subscription_id IS NULL AND c.last_error IS DISTINCT FROM $1
    LIMIT $2"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Bill:
    """An open bill; amounts are in the currency's smallest unit.

    `sent_through`: the subscription a charge was last sent through, None if none ever was.
    `begun`: it may exist at Paddle. `settled`: if so, it is listed by now. `accepted`: it exists.
    `subscription_id`: the one to charge, None if the store has none.
    """

    store_id: UUID
    period: date
    created_at: datetime
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
    def charge(self) -> Charge:
        """What Paddle is asked for."""
        return Charge(
            marker=self.marker,
            description=f"Credits used beyond the balance, {self.period:%Y-%m}",
            quantity=self.credits,
            unit_amount=self.amount // self.credits,
            currency=self.currency,
        )


def overage_marker(store_id: UUID, period: date) -> str:
    """The marker in the charge of one store and month."""
    return f"overage_bill:{store_id}:{period:%Y-%m}"


class OverageBilling:
    """Closes each month's overage and charges each bill once."""

    def __init__(
        self, database: Database, paddle: Paddle, catalogue: Catalogue, settings: Settings
    ) -> None:
        self._database = database
        self._paddle = paddle
        self._catalogue = catalogue
        self._settings = settings

    async def run(self, stop: asyncio.Event) -> None:
        """Bill at once and then at every interval, until `stop` is set."""
        while not stop.is_set():
            await self.run_once(stop)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._settings.billing_interval_seconds)

    async def run_once(self, stop: asyncio.Event | None = None) -> None:
        """One round; each part takes at most `ROUND_MAX` stores, and fails by itself alone."""
        for part in (self._close_month, self._name_unchargeable, self._charge_due):
            try:
                await part(stop or asyncio.Event())
            except DatabaseUnavailable as error:
                log.warning("overage_billing_interrupted", part=part.__name__, error=str(error))
            except Exception:
                # A store whose bill breaks must not keep the process from serving.
                log.exception("overage_billing_failed", part=part.__name__)

    async def _close_month(self, _stop: asyncio.Event) -> None:
        """Close the month before this one for each store with overage from before this one."""
        last = UUID(int=0)
        while rows := await self._database.fetch(_TO_CLOSE, last, ROUND_MAX):
            for row in rows:
                await self._close(row["store_id"], row["month"], row["plan"], row["overage_used"])
            last = rows[-1]["store_id"]

    async def _close(self, store_id: UUID, month: date, plan: str | None, used: int) -> None:
        unit_amount = self._catalogue.overage_unit_amount(plan)
        if used * unit_amount < SMALLEST_CHARGE:
            return
        closed = await self._database.fetchval(
            "SELECT close_store_overage($1, $2, $3, $4)",
            store_id,
            month,
            unit_amount,
            self._catalogue.currency,
        )
        if closed:
            log.info("overage_closed", store_id=str(store_id), month=f"{month:%Y-%m}", plan=plan)

    async def _name_unchargeable(self, _stop: asyncio.Event) -> None:
        """Have the operator see which bills wait for a subscription."""
        for row in await self._database.fetch(_WITHOUT_SUBSCRIPTION, NO_SUBSCRIPTION, ROUND_MAX):
            await self._database.fetchval(
                "SELECT note_store_overage_failure($1, $2, $3, $4, false)",
                row["store_id"],
                row["period"],
                NO_SUBSCRIPTION,
                # Due as soon as there is one.
                timedelta(0),
            )
            log.warning("overage_without_subscription", store_id=str(row["store_id"]))

    async def _charge_due(self, stop: asyncio.Event) -> None:
        """Charge what is due, the longest waiting first; not on while Paddle is away."""
        due = await self._database.fetch(_DUE, ROUND_MAX)
        if not due:
            return
        async with self._session() as session:
            for row in due:
                if stop.is_set() or not await self._settle(session, row["store_id"], row["period"]):
                    return

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[Connection]:
        """A connection of its own, whose session holds the locks; with it they go."""
        session = await self._database.connect()
        try:
            with translated():
                yield session
        finally:
            # Without waiting: the end of the session is what matters.
            session.terminate()

    async def _settle(self, session: Connection, store_id: UUID, period: date) -> bool:
        """Bring one bill forward under its lock; false: Paddle is away."""
        if not await session.fetchval("SELECT lock_store_overage_bill($1, $2)", store_id, period):
            log.info("overage_bill_locked", store_id=str(store_id))
            return True
        settle = timedelta(seconds=self._settings.overage_settle_seconds)
        row = await session.fetchrow(_BILL, store_id, period, settle)
        try:
            if row is None:
                return True
            bill = Bill(**row)
            with telemetry.bound(store_id=str(store_id), request_id=bill.request_id):
                return await _Attempt(session, self._paddle, self._settings, bill).make()
        finally:
            await session.execute("SELECT pg_advisory_unlock_all()")


class _Attempt:
    """What one process does about one bill while it holds the lock."""

    def __init__(self, session: Connection, paddle: Paddle, settings: Settings, bill: Bill) -> None:
        self._session = session
        self._paddle = paddle
        self._settings = settings
        self._bill = bill

    async def make(self) -> bool:
        """Record, look, wait or send, whichever it is; false: Paddle is away."""
        bill = self._bill
        try:
            if bill.sent_through is not None and await self._found(bill.sent_through):
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
            subscription_id, self._bill.marker, self._bill.created_at
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
        await self._session.fetchval(
            "SELECT accept_store_overage_charge($1, $2)", self._bill.store_id, self._bill.period
        )
        if not await self._found(subscription_id):
            await self._note(
                "Paddle accepted the charge, and does not list its transaction yet.",
                self._backoff_seconds(),
            )

    async def _begin(self, subscription_id: str) -> bool:
        begun: bool = await self._session.fetchval(
            "SELECT begin_store_overage_charge($1, $2, $3, $4)",
            self._bill.store_id,
            self._bill.period,
            subscription_id,
            self._bill.attempts,
        )
        log.info("overage_charge_begun" if begun else "overage_charge_not_begun")
        return begun

    async def _refused(self, refused: PaddleRefused) -> None:
        declined = refused.code == DECLINED
        await self._note(
            _refusal(refused),
            DECLINED_WAIT_SECONDS if declined else self._backoff_seconds(),
            nothing_was_charged=True,
        )

    async def _record(self, transaction_id: str) -> None:
        bill = self._bill
        recorded = await self._session.fetchval(
            "SELECT record_store_overage_charge($1, $2, $3)",
            bill.store_id,
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
        await self._session.fetchval(
            "SELECT note_store_overage_failure($1, $2, $3, $4, $5)",
            self._bill.store_id,
            self._bill.period,
            reason,
            timedelta(seconds=wait_seconds),
            nothing_was_charged,
        )

    def _backoff_seconds(self) -> float:
        doubled = self._settings.billing_backoff_seconds * 2.0 ** min(self._bill.attempts, 30)
        return min(doubled, BACKOFF_MAX_SECONDS)


def _refusal(refused: PaddleRefused) -> str:
    return f"Paddle refused ({refused.code}): {refused.detail}"
