"""The notices of credits that will expire soon, to owners who listen.

Promises one `credits.expiring` for each addition, however many processes look, while some of it is
left that does not live on. Who begins to listen afterwards is told at the next look.
"""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Final

from storecredit import telemetry
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pacing import every, side_by_side
from storecredit.postgres.pool import Database
from storecredit.settings import Settings

log = telemetry.get_logger("webhooks.expiry_notices")

INTERVAL_SECONDS: Final = 3600.0
ACCOUNTS_MAX: Final = 1000
"""That one transaction looks at."""
FORGOTTEN_MAX: Final = 10_000
"""Notices that one transaction forgets."""


class ExpiryNotices:
    """Looks for what to tell, hourly."""

    def __init__(self, buckets: Buckets, settings: Settings) -> None:
        self._buckets = buckets
        self._within = timedelta(days=settings.expiring_notice_days)

    async def run(self, stop: asyncio.Event) -> None:
        """Look at once and then every hour, until `stop` is set; into each bucket by itself."""
        await side_by_side(
            stop,
            *(
                every(INTERVAL_SECONDS, stop, partial(self._notice, database, stop))
                for database in self._buckets.all
            ),
        )

    async def notice(self) -> None:
        """One look at all accounts. It breaks off in a bucket that is away."""
        stop = asyncio.Event()
        await asyncio.gather(*(self._notice(each, stop) for each in self._buckets.all))

    async def _notice(self, database: Database, stop: asyncio.Event) -> None:
        try:
            looked_at: int | None = 0
            while looked_at is not None and not stop.is_set():
                looked_at = await database.fetchval(
                    "SELECT notice_expiries($1, $2, $3)", self._within, looked_at, ACCOUNTS_MAX
                )
            forgotten = FORGOTTEN_MAX
            while forgotten == FORGOTTEN_MAX and not stop.is_set():
                forgotten = await database.fetchval(
                    "SELECT forget_expiry_notices($1)", FORGOTTEN_MAX
                )
        except DatabaseUnavailable as error:
            log.warning("notices_interrupted", error=str(error))
