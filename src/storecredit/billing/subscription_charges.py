"""Charges a store through its subscription, exactly once: a month's overage, or a top-up.

Paddle takes no idempotency key and does not say which transaction a charge became, so every charge
carries a marker, and:

1. Whoever works on a charge holds its lock, on a connection of its own, until the end is written
   down.
2. A charge is looked for first, by its marker, also if none was ever sent: a database that was
   restored to an earlier moment would not know. One that is found is recorded.
3. One that is not found may still be on its way, or not be listed yet: until
   `charge_settle_seconds` after it was begun nobody concludes that it does not exist. After an
   answer that said yes, nobody ever does.
4. The attempt is committed as begun, on the connection that holds the lock. Then it is sent.

So a process may be killed anywhere: a lock that is free again means that nobody is about to send,
and the row tells whether something was sent. Any number of processes may do this at once.
"""

import asyncio
from datetime import timedelta
from typing import Final

from storecredit import telemetry
from storecredit.billing.charge_attempt import Attempt, ChargeKind, OpenCharge
from storecredit.billing.paddle import PROVIDER
from storecredit.billing.paddle.gateway import Paddle
from storecredit.postgres.errors import LockTimedOut
from storecredit.postgres.pool import Database, DedicatedConnection
from storecredit.postgres.servers import Record
from storecredit.settings import Settings

log = telemetry.get_logger("billing.subscription_charges")

ROUND_MAX: Final = 100
"""Charges made in one round."""
LOCK_TIMEOUT: Final = "2s"
"""How long one charge waits for what others hold: its row, its account."""

RUNNING_SUBSCRIPTION: Final = f"""LEFT JOIN LATERAL (
    SELECT s.provider_subscription_id, s.plan FROM subscriptions s
    WHERE s.account_id = c.account_id AND s.provider = '{PROVIDER}'
      AND s.status IN ('active', 'trialing')
    ORDER BY s.created_at DESC, s.provider_subscription_id DESC LIMIT 1) s ON true"""  # noqa: S608 - a constant
"""The subscription of `c.account_id` to charge: the newest that runs. Paddle charges trialing ones
too."""

# No charge of a bill was sent before its month had ended, nor of a top-up before the one before it
# was made: so far back it is looked for, also by a database that was restored to an earlier moment.
_CHARGE: Final = f"""
    SELECT c.account_id, a.owner_id AS store_id, c.kind, c.request_id, c.credits, c.amount,
           c.currency, c.attempts, c.provider_subscription_id AS sent_through,
           s.provider_subscription_id AS subscription_id,
           c.kind = 'overage' OR is_top_up_wanted(c.account_id, c.credits) AS is_wanted,
           c.accepted_at IS NOT NULL AS accepted,
           c.charge_begun_at IS NOT NULL AS begun,
           coalesce(c.charge_begun_at <= now() - $3::interval, true) AS settled,
           coalesce((c.period + interval '1 month') AT TIME ZONE 'UTC',
                    (SELECT max(p.created_at) FROM subscription_charges p
                     WHERE p.account_id = c.account_id AND p.number < c.number),
                    a.created_at) AS sought_since
    FROM subscription_charges c JOIN accounts a USING (account_id) {RUNNING_SUBSCRIPTION}
    WHERE c.account_id = $1 AND c.request_id = $2
      AND c.charged_at IS NULL AND c.dropped_at IS NULL AND c.due_at <= now()"""  # noqa: S608 - constants

# Charges that something can be done about: one to send, or to look for.
_DUE: Final = f"""
    SELECT c.account_id, a.owner_id AS store_id, c.request_id
    FROM subscription_charges c JOIN accounts a USING (account_id) {RUNNING_SUBSCRIPTION}
    WHERE c.kind = $1 AND c.provider = '{PROVIDER}'
      AND c.charged_at IS NULL AND c.dropped_at IS NULL AND c.due_at <= now()
      AND (c.kind = 'top_up' OR c.provider_subscription_id IS NOT NULL
           OR s.provider_subscription_id IS NOT NULL)
    ORDER BY c.due_at LIMIT $2"""  # noqa: S608 - constants


class SubscriptionCharges:
    """Makes the charges that are due."""

    def __init__(self, database: Database, paddle: Paddle, settings: Settings) -> None:
        self._database = database
        self._paddle = paddle
        self._settings = settings

    async def make_due(self, kind: ChargeKind, stop: asyncio.Event) -> None:
        """Charge what is due, the longest waiting first; not on while Paddle is away.

        Raises DatabaseUnavailable.
        """
        due = await self._database.fetch(_DUE, kind.value, ROUND_MAX)
        if not due:
            return
        # It holds the charges' locks.
        async with self._database.dedicated({"lock_timeout": LOCK_TIMEOUT}) as connection:
            for row in due:
                if stop.is_set() or not await self._tried(connection, row):
                    return

    async def _tried(self, connection: DedicatedConnection, due: Record) -> bool:
        """As `_settle`; one that somebody else's transaction is in the way of holds up no other."""
        try:
            return await self._settle(connection, due)
        except LockTimedOut as error:
            log.warning(
                "subscription_charge_held_up", store_id=str(due["store_id"]), error=str(error)
            )
            return True

    async def _settle(self, connection: DedicatedConnection, due: Record) -> bool:
        """Bring one charge forward under its lock; false: Paddle is away."""
        key, store_id = (due["account_id"], due["request_id"]), str(due["store_id"])
        if not await connection.fetchval("SELECT lock_subscription_charge($1, $2)", *key):
            log.info("subscription_charge_locked", store_id=store_id)
            return True
        settle = timedelta(seconds=self._settings.charge_settle_seconds)
        row = await connection.fetchrow(_CHARGE, *key, settle)
        try:
            if row is None:
                return True
            charge = OpenCharge(**{**row, "kind": ChargeKind(row["kind"])})
            with telemetry.bound(store_id=store_id, request_id=charge.request_id):
                return await Attempt(connection, self._paddle, self._settings, charge).make()
        finally:
            await connection.fetchval("SELECT pg_advisory_unlock_all()")
