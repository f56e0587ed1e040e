"""A store's subscriptions, read: what it pays for each month, and how that stands."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from storecredit.postgres.buckets import Buckets
from storecredit.postgres.servers import Record

SUBSCRIPTIONS_MAX: Final = 100


class SubscriptionStatus(StrEnum):
    """The states of a subscription (https://developer.paddle.com/build/subscriptions)."""

    ACTIVE = "active"
    TRIALING = "trialing"
    PAST_DUE = "past_due"
    PAUSED = "paused"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription; `credits` for `amount` (the currency's smallest unit) every month."""

    provider_subscription_id: str
    status: SubscriptionStatus
    plan: str
    credits: int
    amount: int
    currency: str
    period_starts_at: datetime | None
    period_ends_at: datetime | None
    created_at: datetime

    @property
    def is_over(self) -> bool:
        """Whether another one may be sold."""
        return self.status is SubscriptionStatus.CANCELED

    @property
    def is_charged(self) -> bool:
        """Whether a top-up can be paid through it."""
        return self.status in {SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING}


class Subscriptions:
    """Reads the subscriptions of stores; they change by their provider's events only."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def of_store(self, store_id: UUID) -> tuple[Subscription, ...]:
        """The store's subscriptions, newest first, at most `SUBSCRIPTIONS_MAX`."""
        database = await self._buckets.of_store(store_id)
        rows = await database.fetch(
            """SELECT s.* FROM subscriptions s JOIN accounts a USING (account_id)
               WHERE a.owner_kind = 'store' AND a.owner_id = $1
               ORDER BY s.created_at DESC, s.provider_subscription_id LIMIT $2""",
            store_id,
            SUBSCRIPTIONS_MAX,
        )
        return tuple(_subscription(row) for row in rows)


def _subscription(row: Record) -> Subscription:
    return Subscription(
        provider_subscription_id=row["provider_subscription_id"],
        status=SubscriptionStatus(row["status"]),
        plan=row["plan"],
        credits=row["credits"],
        amount=row["amount"],
        currency=row["currency"],
        period_starts_at=row["period_starts_at"],
        period_ends_at=row["period_ends_at"],
        created_at=row["created_at"],
    )
