"""The sums of each hour, kept by the database beside the busy path: what charts are drawn from.

Nothing is written for them where credits move: what was committed is counted afterwards, each
movement once, within seconds (`sql/functions/sums.sql`), in each bucket by itself. Any number of
processes may have this job; one of them counts at a time, a bounded piece to each transaction, so
it may be killed at any moment. The first run over a ledger of an earlier build goes on until all is
counted.
"""

import asyncio
import time
from datetime import timedelta
from functools import partial
from typing import Final

from storecredit import telemetry
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pacing import every, pause, side_by_side
from storecredit.postgres.pool import Database
from storecredit.settings import Settings

log = telemetry.get_logger("ledger.summing")

MOVEMENTS_MAX: Final = 50_000
"""That one transaction counts."""
ACCOUNTS_MAX: Final = 3_000
"""That one transaction walks over, to find what the newest pages do not show."""
TURN_SHARE: Final = 0.75
"""Of the interval: if a pass ended so much ago or less, another process has had this turn."""
REST_SHARE: Final = 1.0
"""After a piece it rests so many times as long as that took: others use the database, too."""


class Summing:
    """Counts what has happened into the sums."""

    def __init__(self, buckets: Buckets, settings: Settings) -> None:
        self._buckets = buckets
        self._interval_seconds = settings.sums_interval_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Count at once and then at every interval, until `stop` is set."""
        await side_by_side(
            stop,
            *(
                every(self._interval_seconds, stop, partial(self._sum_up, database, stop))
                for database in self._buckets.all
            ),
        )

    async def sum_up(self) -> int:
        """One pass, unless another process has this turn: how many movements were counted.

        It breaks off in a bucket that is away.
        """
        stop = asyncio.Event()
        return sum(await asyncio.gather(*(self._sum_up(each, stop) for each in self._buckets.all)))

    async def _sum_up(self, database: Database, stop: asyncio.Event) -> int:
        summed, pieces, is_behind = 0, 0, True
        try:
            while is_behind and not stop.is_set():
                began = time.monotonic()
                more, is_behind = await self._sum_some(database)
                summed, pieces = summed + more, pieces + 1
                if is_behind:
                    await pause((time.monotonic() - began) * REST_SHARE, stop)
        except DatabaseUnavailable as error:
            log.warning("summing_interrupted", error=str(error))
        if pieces > 1:
            log.info("movements_summed", movements=summed)
        return summed

    async def _sum_some(self, database: Database) -> tuple[int, bool]:
        row = await database.fetchrow(
            "SELECT * FROM sum_up($1, $2, $3)",
            timedelta(seconds=self._interval_seconds * TURN_SHARE),
            ACCOUNTS_MAX,
            MOVEMENTS_MAX,
        )
        assert row is not None, "it has one row"
        return row["summed"] or 0, bool(row["is_behind"])
