"""What the database says about the whole service, asked for when somebody reads `/metrics`.

Promises that readers of `/metrics`, of whom no key is asked, cost the database little: it is asked
once in a while at most and for a limited time. What it does not answer is left out of the metrics,
not made up: while it is away these gauges are absent, and the rest stands.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from storecredit import telemetry
from storecredit.billing.problems import Problems
from storecredit.ledger import verification
from storecredit.ledger.checkpoints import making
from storecredit.ledger.credits import Credits
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.webhooks.endpoints import Endpoints

ANSWER_MAX_SECONDS: Final = 2.0
"""How long a scrape waits for each gauge; Prometheus itself waits for 10 s in all."""
FRESH_SECONDS: Final = 5.0
"""How long what was found out is told again, however many scrape."""

log = telemetry.get_logger("web.gauges")


class Gauges:
    """Found out together, each for itself: one that takes too long keeps no other away."""

    def __init__(
        self,
        buckets: Buckets,
        credits: Credits,
        problems: Problems,
        endpoints: Endpoints,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds and never goes back."""
        self._buckets = buckets
        self._credits = credits
        self._problems = problems
        self._endpoints = endpoints
        self._clock = clock
        self._asking = asyncio.Lock()
        self._found: tuple[Metric, ...] = ()
        self._asked_at: float | None = None

    async def read(self) -> tuple[Metric, ...]:
        """What is known now, `FRESH_SECONDS` old at most; what is not known is not in it."""
        async with self._asking:
            now = self._clock()
            if self._asked_at is None or now - self._asked_at >= FRESH_SECONDS:
                sources = (
                    self._billing_problems,
                    self._webhook_endpoints,
                    self._stores_at_zero,
                    self._last_verification,
                    self._last_checkpoint,
                )
                answers = await asyncio.gather(*(_in_time(source) for source in sources))
                self._found = tuple(metric for answer in answers for metric in answer)
                self._asked_at = now
            return self._found

    async def _billing_problems(self) -> Iterable[Metric]:
        gauge = GaugeMetricFamily(
            "storecredit_billing_problems",
            "What `storecredit billing problems` shows, by kind.",
            labels=["kind"],
        )
        for kind, count in (await self._problems.count()).items():
            gauge.add_metric([kind], count)
        return [gauge]

    async def _webhook_endpoints(self) -> Iterable[Metric]:
        gauge = GaugeMetricFamily(
            "storecredit_webhook_endpoints",
            "Webhook endpoints: working, failing, given up (disabled because they failed).",
            labels=["standing"],
        )
        for standing, count in (await self._endpoints.count()).items():
            gauge.add_metric([standing], count)
        return [gauge]

    async def _stores_at_zero(self) -> Iterable[Metric]:
        return [
            GaugeMetricFamily(
                "storecredit_stores_at_zero",
                "Active stores whose balance is 0.",
                value=await self._credits.count_at_zero(),
            )
        ]

    async def _last_verification(self) -> Iterable[Metric]:
        last = await verification.last(self._buckets)
        if last is None:
            return []
        return [
            GaugeMetricFamily(
                "storecredit_verify_timestamp_seconds",
                "The moment that the last `verify` looked at, in Unix time.",
                value=last.verified_at.timestamp(),
            ),
            GaugeMetricFamily(
                "storecredit_verify_discrepancies",
                "Discrepancies that the last `verify` found; 1000 means at least so many.",
                value=last.discrepancies,
            ),
        ]

    async def _last_checkpoint(self) -> Iterable[Metric]:
        passed_at = await making.passed_at(self._buckets)
        if passed_at is None:
            return []
        return [
            GaugeMetricFamily(
                "storecredit_checkpoint_timestamp_seconds",
                "When all movements were last chained and signed, in Unix time.",
                value=passed_at.timestamp(),
            )
        ]


async def _in_time(source: Callable[[], Awaitable[Iterable[Metric]]]) -> Iterable[Metric]:
    try:
        async with asyncio.timeout(ANSWER_MAX_SECONDS):
            return await source()
    except (DatabaseUnavailable, TimeoutError) as error:
        log.warning("gauge_not_known", gauge=source.__name__, cause=type(error).__name__)
        return ()
