"""Deliverers of all buckets, which share what one process may have under way."""

import asyncio

from storecredit.outbound.name_lookups import NameLookups
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.pacing import side_by_side
from storecredit.settings import Settings
from storecredit.telemetry import Metrics
from storecredit.webhooks.capacity import Capacity
from storecredit.webhooks.deliverer import Deliverer
from storecredit.webhooks.relay import Relay


class Delivering:
    """Delivers, for as long as it runs. `open()` before use, `close()` after."""

    def __init__(self, buckets: Buckets, settings: Settings, metrics: Metrics) -> None:
        resolve = NameLookups()
        parts = Capacity(settings, len(buckets.all)).parts
        self._each = [
            Deliverer(database, settings, metrics, resolve=resolve, part=part)
            for database, part in zip(buckets.all, parts, strict=True)
        ]
        self._relays = [
            Relay(buckets.home, database, part)
            for database, part in zip(buckets.all[1:], parts[1:], strict=True)
        ]

    async def open(self) -> None:
        """Begin to serve."""
        for each in self._each:
            await each.open()

    async def close(self) -> None:
        """End what is still under way, and record what came of the rest."""
        await asyncio.gather(*(each.close() for each in self._each))

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set, each bucket by itself; what is under way is finished."""
        delivering = [each.run(stop) for each in self._each]
        await side_by_side(stop, *delivering, *(each.run(stop) for each in self._relays))
