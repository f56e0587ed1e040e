"""Billing as a whole: its parts, wired together from the settings, and what runs beside requests.

Without Paddle's two secrets billing is off: no checkout is opened, no webhook taken, nothing runs.
"""

import asyncio
from dataclasses import dataclass
from typing import Self

from storecredit import telemetry
from storecredit.billing.bookings import Bookings
from storecredit.billing.catalogue import Catalogue, load_catalogue
from storecredit.billing.checkouts import Checkouts
from storecredit.billing.overage import OverageBilling
from storecredit.billing.paddle.events import PaddleEvents
from storecredit.billing.paddle.gateway import Paddle
from storecredit.billing.paddle.payments import Payments
from storecredit.billing.problems import Problems
from storecredit.billing.subscription_charges import SubscriptionCharges
from storecredit.billing.subscriptions import Subscriptions
from storecredit.billing.top_ups import ToppingUp, TopUps
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.pool import Database
from storecredit.settings import Settings

log = telemetry.get_logger("billing.assembly")


@dataclass(frozen=True, slots=True)
class Billing:
    """The parts of billing. While it is off, what asks Paddle is None, or not there.

    `overage`, `topping_up`: one for each bucket.
    """

    catalogue: Catalogue
    checkouts: Checkouts
    events: PaddleEvents
    problems: Problems
    bookings: Bookings
    subscriptions: Subscriptions
    paddle: Paddle | None
    overage: tuple[OverageBilling, ...]
    top_ups: TopUps
    topping_up: tuple[ToppingUp, ...]

    @classmethod
    def from_settings(cls, settings: Settings, buckets: Buckets) -> Self:
        """Wire the parts. Raises CatalogueError, PaddleMisconfigured."""
        catalogue = load_catalogue(settings.plans_file)
        paddle = Paddle.from_settings(settings)
        if paddle is None:
            _say_that_it_is_off(settings)
        charging = () if paddle is None else _charging(buckets, paddle, settings)
        return cls(
            catalogue=catalogue,
            checkouts=Checkouts(buckets, paddle, catalogue),
            events=PaddleEvents(buckets, settings, catalogue),
            problems=Problems(buckets),
            bookings=Bookings(buckets, Payments(buckets, paddle)),
            subscriptions=Subscriptions(buckets),
            paddle=paddle,
            overage=tuple(OverageBilling(*each, catalogue, settings) for each in charging),
            top_ups=TopUps(buckets, catalogue, is_billing_on=paddle is not None),
            topping_up=tuple(ToppingUp(*each, catalogue, settings) for each in charging),
        )

    @property
    def is_on(self) -> bool:
        """Whether Paddle is configured."""
        return self.paddle is not None

    async def run(self, stop: asyncio.Event) -> None:
        """What a worker does for billing, until `stop` is set."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.events.run(stop), name="paddle-events")
            for overage in self.overage:
                tasks.create_task(overage.run(stop), name="overage-billing")
            for topping_up in self.topping_up:
                tasks.create_task(topping_up.run(stop), name="topping-up")

    async def close(self) -> None:
        """Let requests to Paddle that are under way end."""
        if self.paddle is not None:
            await self.paddle.close()


def _charging(
    buckets: Buckets, paddle: Paddle, settings: Settings
) -> tuple[tuple[Database, SubscriptionCharges], ...]:
    return tuple(
        (database, SubscriptionCharges(database, paddle, settings)) for database in buckets.all
    )


def missing_secrets(settings: Settings) -> list[str]:
    """The settings without which billing is off, of those that are not set."""
    secrets = {
        "STORECREDIT_PADDLE_API_KEY": settings.paddle_api_key,
        "STORECREDIT_PADDLE_WEBHOOK_SECRET": settings.paddle_webhook_secret,
    }
    return [name for name, secret in secrets.items() if not (secret and secret.get_secret_value())]


def _say_that_it_is_off(settings: Settings) -> None:
    missing = missing_secrets(settings)
    # One without the other is a mistake; neither is a choice.
    say = log.warning if len(missing) == 1 else log.info
    say("billing_is_off", missing=missing)
