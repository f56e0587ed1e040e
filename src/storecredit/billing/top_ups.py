"""Top-ups: a store whose balance falls to its threshold buys credits through its subscription.

Off until it is switched on, by the store or by the operator. What is bought costs what single
credits cost (the catalogue), and there are limits per day and month (UTC, by the database's clock).
The charge is made once, as `subscription_charges` says; its credits are added with its payment,
whether the answer or Paddle's event tells of that first. A declined means of payment pauses it.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Final
from uuid import UUID

from storecredit import telemetry
from storecredit.billing.catalogue import Catalogue
from storecredit.billing.charge_attempt import ChargeKind
from storecredit.billing.paddle import PROVIDER
from storecredit.billing.subscription_charges import SubscriptionCharges
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import DatabaseUnavailable, LockTimedOut
from storecredit.postgres.pacing import every
from storecredit.postgres.pool import Database
from storecredit.settings import Settings

log = telemetry.get_logger("billing.top_ups")

ROUND_MAX: Final = 100
"""Stores looked at in one round."""
THRESHOLD_MAX: Final = 1_000_000
DAY_MAX: Final = 10
"""The most that may be allowed per day. A store's key can switch its top-up on: so much at most
does a key cost its store that somebody else has found."""
MONTH_MAX: Final = 100
DAY_DEFAULT: Final = 1
MONTH_DEFAULT: Final = 10

_READ: Final = """
    SELECT t.status, t.threshold, t.credits, t.max_per_day, t.max_per_month, t.pause_reason,
           t.updated_at, c.bought_today, c.bought_this_month, c.is_under_way
    FROM accounts a JOIN top_ups t USING (account_id)
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE NOT c.is_dropped AND c.created_at
                   >= date_trunc('day', now(), 'UTC')) AS bought_today,
               count(*) FILTER (WHERE NOT c.is_dropped AND c.created_at
                   >= date_trunc('month', now(), 'UTC')) AS bought_this_month,
               count(*) FILTER (WHERE c.is_open) > 0 AS is_under_way
        FROM (SELECT created_at, dropped_at IS NOT NULL AS is_dropped,
                  dropped_at IS NULL AND charged_at IS NULL AS is_open
              FROM subscription_charges x
              WHERE x.account_id = a.account_id AND x.number IS NOT NULL) c) c
    WHERE a.owner_kind = 'store' AND a.owner_id = $1"""
_DUE: Final = """
    SELECT t.account_id, a.owner_id AS store_id
    FROM top_ups t JOIN accounts a USING (account_id)
    WHERE t.due_at <= now() ORDER BY t.due_at LIMIT $1"""


class TopUpStatus(StrEnum):
    """Whether a store buys by itself."""

    OFF = "off"
    ON = "on"
    PAUSED = "paused"


class PauseReason(StrEnum):
    """Why it does not although it was switched on."""

    DECLINED = "declined"
    NO_SUBSCRIPTION = "no_subscription"


@dataclass(frozen=True, slots=True)
class TopUpSettings:
    """At a balance of `threshold` or below: `credits` more, so often at most."""

    threshold: int
    credits: int
    max_per_day: int
    max_per_month: int


@dataclass(frozen=True, slots=True)
class TopUp:
    """A store's top-up; `settings` is None while it is off.

    `amount` is what one costs, in the currency's smallest unit, before tax.
    """

    status: TopUpStatus
    settings: TopUpSettings | None
    pause_reason: PauseReason | None
    amount: int | None
    currency: str
    bought_today: int
    bought_this_month: int
    is_under_way: bool
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class NotSwitchedOn:
    """It stays as it was; `message` says why, `field` which of the settings it is about, if any."""

    message: str
    field: str | None = None


class TopUps:
    """Switches stores' top-ups on and off, and reads them."""

    def __init__(self, buckets: Buckets, catalogue: Catalogue, *, is_billing_on: bool) -> None:
        self._buckets = buckets
        self._catalogue = catalogue
        self._is_billing_on = is_billing_on

    async def read(self, store_id: UUID) -> TopUp:
        """The store's, as it is now. Raises DatabaseUnavailable."""
        database = await self._buckets.of_store(store_id)
        row = await database.fetchrow(_READ, store_id)
        if row is None:
            return TopUp(
                status=TopUpStatus.OFF,
                settings=None,
                pause_reason=None,
                amount=None,
                currency=self._catalogue.currency,
                bought_today=0,
                bought_this_month=0,
                is_under_way=False,
                updated_at=None,
            )
        reason = row["pause_reason"]
        return TopUp(
            status=TopUpStatus(row["status"]),
            settings=TopUpSettings(
                *(row["threshold"], row["credits"], row["max_per_day"], row["max_per_month"])
            ),
            pause_reason=None if reason is None else PauseReason(reason),
            amount=row["credits"] * self._catalogue.credit_unit_amount,
            currency=self._catalogue.currency,
            bought_today=row["bought_today"],
            bought_this_month=row["bought_this_month"],
            is_under_way=row["is_under_way"],
            updated_at=row["updated_at"],
        )

    async def switch_on(self, store_id: UUID, settings: TopUpSettings) -> TopUp | NotSwitchedOn:
        """Buy with these settings from now on; a pause ends. Idempotent.

        Raises DatabaseUnavailable.
        """
        if not self._is_billing_on:
            return NotSwitchedOn("Nothing is sold here: billing is off.")
        if refused := self._refusal(settings):
            return refused
        database = await self._buckets.of_store(store_id)
        outcome = await database.fetchval(
            """SELECT set_top_up(a.account_id, $2, $3, $4, $5) FROM accounts a
               WHERE a.owner_kind = 'store' AND a.owner_id = $1""",
            store_id,
            settings.threshold,
            settings.credits,
            settings.max_per_day,
            settings.max_per_month,
        )
        if outcome == "no_subscription":
            return NotSwitchedOn(
                "Credits are bought through the store's subscription, and it has none that runs: "
                "subscribe to a plan first."
            )
        log.info("top_up_switched_on", store_id=str(store_id), credits=settings.credits)
        return await self.read(store_id)

    async def switch_off(self, store_id: UUID) -> TopUp:
        """Buy nothing more; a charge that was begun is seen to its end. Idempotent.

        Raises DatabaseUnavailable.
        """
        database = await self._buckets.of_store(store_id)
        was_on = await database.fetchval(
            """SELECT remove_top_up(a.account_id) FROM accounts a
               WHERE a.owner_kind = 'store' AND a.owner_id = $1""",
            store_id,
        )
        if was_on:
            log.info("top_up_switched_off", store_id=str(store_id))
        return await self.read(store_id)

    def _refusal(self, settings: TopUpSettings) -> NotSwitchedOn | None:
        """Why no such settings can be."""
        bounds = (
            ("threshold", settings.threshold, 0, THRESHOLD_MAX),
            (
                "credits",
                settings.credits,
                self._catalogue.credits_min,
                self._catalogue.credits_max,
            ),
            ("max_per_day", settings.max_per_day, 1, DAY_MAX),
            ("max_per_month", settings.max_per_month, 1, MONTH_MAX),
        )
        for field, value, least, most in bounds:
            if not least <= value <= most:
                return NotSwitchedOn(f"It is from {least:,} to {most:,}.", field)
        return None


class ToppingUp:
    """Buys what is due: decided by the database, then charged."""

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
        """Look at once and then at every interval, until `stop` is set."""
        await every(self._settings.top_up_interval_seconds, stop, partial(self.run_once, stop))

    async def run_once(self, stop: asyncio.Event | None = None) -> None:
        """One round; each part fails by itself alone."""
        for part in (self._open_due, self._charge_due):
            try:
                await part(stop or asyncio.Event())
            except DatabaseUnavailable as error:
                log.warning("topping_up_interrupted", part=part.__name__, error=str(error))
            except Exception:
                # A store whose top-up breaks must not keep the process from serving.
                log.exception("topping_up_failed", part=part.__name__)

    async def _open_due(self, stop: asyncio.Event) -> None:
        """Decide for each store that is to be looked at."""
        for row in await self._database.fetch(_DUE, ROUND_MAX):
            if stop.is_set():
                return
            store_id = str(row["store_id"])
            try:
                outcome = await self._open(row["account_id"])
            except LockTimedOut as error:
                # A store whose account somebody else holds keeps no other from buying.
                log.warning("top_up_held_up", store_id=store_id, error=str(error))
            else:
                log.info("top_up_looked_at", store_id=store_id, outcome=outcome)

    async def _open(self, account_id: int) -> str:
        outcome: str = await self._database.fetchval(
            "SELECT open_top_up($1, $2, $3, $4, $5)",
            account_id,
            self._catalogue.credit_unit_amount,
            self._catalogue.currency,
            self._catalogue.credits_expire_after_days,
            PROVIDER,
        )
        return outcome

    async def _charge_due(self, stop: asyncio.Event) -> None:
        await self._charges.make_due(ChargeKind.TOP_UP, stop)
