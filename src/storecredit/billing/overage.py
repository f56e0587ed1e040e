"""Overage is billed afterwards: one Paddle charge per store and month, exactly once.

Once a month (UTC, by the database's clock) what each store used beyond its balance is closed into
a bill; each open bill is charged through the store's subscription, as `subscription_charges` says.
"""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Final

from storecredit import telemetry
from storecredit.billing.catalogue import Catalogue
from storecredit.billing.charge_attempt import NO_SUBSCRIPTION, ChargeKind
from storecredit.billing.paddle import PROVIDER
from storecredit.billing.subscription_charges import (
    LOCK_TIMEOUT,
    RUNNING_SUBSCRIPTION,
    SubscriptionCharges,
)
from storecredit.postgres.errors import DatabaseUnavailable, LockTimedOut
from storecredit.postgres.pacing import every
from storecredit.postgres.pool import Database, DedicatedConnection
from storecredit.postgres.servers import Record
from storecredit.settings import Settings

log = telemetry.get_logger("billing.overage")

ROUND_MAX: Final = 100
"""Stores closed at a time; bills noted in one round."""

# Stores whose oldest overage that is not billed and was not given back is from before this month.
# Those that ever used any are looked up one after another in its index: few among all, and a join
# may read all overage there ever was.
_TO_CLOSE: Final = f"""
    WITH RECURSIVE user_of_overage (account_id) AS (
        (SELECT m.account_id FROM movements m WHERE m.type = 'overage' AND m.account_id > $1
         ORDER BY m.account_id, m.seq LIMIT 1)
        UNION ALL
        SELECT (SELECT m.account_id FROM movements m
                WHERE m.type = 'overage' AND m.account_id > u.account_id
                ORDER BY m.account_id, m.seq LIMIT 1)
        FROM user_of_overage u WHERE u.account_id IS NOT NULL
    )
    SELECT c.account_id, a.owner_id AS store_id, n.overage_used, s.plan, p.month
    FROM (SELECT (m.ended - interval '1 month')::date AS month,
                 m.ended AT TIME ZONE 'UTC' AS ended_at
          FROM (SELECT date_trunc('month', now() AT TIME ZONE 'UTC') AS ended) m) p,
         user_of_overage c JOIN accounts a USING (account_id)
         CROSS JOIN LATERAL (
             SELECT m.overage_used_after AS overage_used FROM movements m
             WHERE m.account_id = c.account_id
             ORDER BY m.account_id DESC, m.seq DESC LIMIT 1) n {RUNNING_SUBSCRIPTION}
    WHERE n.overage_used > 0
      AND NOT EXISTS (SELECT FROM subscription_charges b
                      WHERE b.account_id = c.account_id AND b.period >= p.month)
      AND (SELECT m.created_at FROM movements m
           WHERE m.account_id = c.account_id AND m.type = 'overage'
             AND m.seq > coalesce((SELECT b.seq FROM subscription_charges b
                                   WHERE b.account_id = c.account_id AND b.period IS NOT NULL
                                   ORDER BY b.account_id DESC, b.period DESC LIMIT 1), 0)
             -- Not EXISTS: that may be planned as a hash of all the account's refunds.
             AND (SELECT true FROM movements r
                  WHERE r.account_id = m.account_id AND r.request_id = m.request_id
                    AND r.type = 'overage_refund' AND r.amount >= m.amount LIMIT 1) IS NULL
           ORDER BY m.seq LIMIT 1) < p.ended_at
    ORDER BY c.account_id LIMIT $2"""  # noqa: S608 - constants

_WITHOUT_SUBSCRIPTION: Final = f"""
    SELECT c.account_id, a.owner_id AS store_id, c.request_id
    FROM subscription_charges c JOIN accounts a USING (account_id) {RUNNING_SUBSCRIPTION}
    WHERE c.kind = 'overage' AND c.provider = '{PROVIDER}' AND c.charged_at IS NULL
      AND c.provider_subscription_id IS NULL AND s.provider_subscription_id IS NULL
      AND c.last_error IS DISTINCT FROM $1
    LIMIT $2"""  # noqa: S608 - constants


class OverageBilling:
    """Closes each month's overage and charges each bill once."""

    def __init__(
        self,
        database: Database,
        charges: SubscriptionCharges,
        catalogue: Catalogue,
        settings: Settings,
    ) -> None:
        self._database = database
        self._charges = charges
        self._catalogue = catalogue
        self._settings = settings

    async def run(self, stop: asyncio.Event) -> None:
        """Bill at once and then at every interval, until `stop` is set."""
        await every(self._settings.billing_interval_seconds, stop, partial(self.run_once, stop))

    async def run_once(self, stop: asyncio.Event | None = None) -> None:
        """One round; each part fails by itself alone."""
        for part in (self._close_month, self._name_unchargeable, self._charge_due):
            try:
                await part(stop or asyncio.Event())
            except DatabaseUnavailable as error:
                log.warning("overage_billing_interrupted", part=part.__name__, error=str(error))
            except Exception:
                # A store whose bill breaks must not keep the process from serving.
                log.exception("overage_billing_failed", part=part.__name__)

    async def _close_month(self, _stop: asyncio.Event) -> None:
        """Close the month before this one for each store with overage from then or earlier."""
        last = 0
        while rows := await self._database.fetch(_TO_CLOSE, last, ROUND_MAX):
            async with self._database.dedicated({"lock_timeout": LOCK_TIMEOUT}) as connection:
                for row in rows:
                    try:
                        await self._close(connection, row)
                    except LockTimedOut as error:
                        # A store whose account somebody else holds keeps no other from its bill.
                        store_id = str(row["store_id"])
                        log.warning("overage_held_up", store_id=store_id, error=str(error))
            last = rows[-1]["account_id"]

    async def _close(self, connection: DedicatedConnection, row: Record) -> None:
        month, plan = row["month"], row["plan"]
        unit_amount = self._catalogue.overage_unit_amount(plan)
        if row["overage_used"] * unit_amount < self._catalogue.least_charge:
            return  # Paddle would refuse it: it is left for the month after.
        closed = await connection.fetchval(
            "SELECT close_overage($1, $2, $3, $4, $5)",
            row["account_id"],
            month,
            unit_amount,
            self._catalogue.currency,
            PROVIDER,
        )
        if closed:
            store_id = str(row["store_id"])
            log.info("overage_closed", store_id=store_id, month=f"{month:%Y-%m}", plan=plan)

    async def _name_unchargeable(self, _stop: asyncio.Event) -> None:
        """Have the operator see which bills wait for a subscription."""
        for row in await self._database.fetch(_WITHOUT_SUBSCRIPTION, NO_SUBSCRIPTION, ROUND_MAX):
            await self._database.fetchval(
                "SELECT note_subscription_charge_failure($1, $2, $3, $4, false)",
                row["account_id"],
                row["request_id"],
                NO_SUBSCRIPTION,
                # Due as soon as there is one.
                timedelta(0),
            )
            log.warning("overage_without_subscription", store_id=str(row["store_id"]))

    async def _charge_due(self, stop: asyncio.Event) -> None:
        await self._charges.make_due(ChargeKind.OVERAGE, stop)
