"""The relay: the operator's endpoints, in the first bucket, are told what happens in others.

Promises that they are told each event of another bucket once, whoever dies meanwhile, and those of
one bucket in their order; and nothing but a look now and then while the operator has no endpoint.
`sql/functions/relay.sql` has the statements.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from storecredit import telemetry
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pacing import pause
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record
from storecredit.webhooks.capacity import Part

log = telemetry.get_logger("webhooks.relay")

RELAY: Final = UUID(int=0)
"""The endpoint that stands for those of the operator, in each bucket but the first."""
LEASE: Final = timedelta(seconds=20)
EVENTS_MAX: Final = 500
"""That are brought together."""
IDLE_SECONDS: Final = 0.25
"""How often is looked for events while there are none, and somebody hears them."""
AWAY_SECONDS: Final = 1.0
"""The same while either bucket is away."""
LOOK_SECONDS: Final = 10.0
"""How often is looked for what the operator hears, besides when that is changed."""


class Relay:
    """Brings the events of one bucket to the first one."""

    def __init__(self, home: Database, database: Database, part: Part) -> None:
        self._home = home
        self._database = database
        self._part = part

    async def run(self, stop: asyncio.Event) -> None:
        """Bring them until `stop` is set."""
        is_heard, look_at = False, time.monotonic()
        while not stop.is_set():
            seconds = LOOK_SECONDS
            try:
                if time.monotonic() >= look_at:
                    is_heard = await heard(self._home, self._database)
                    look_at = time.monotonic() + LOOK_SECONDS
                if is_heard:
                    brought = await self.bring()
                    seconds = 0.0 if brought == EVENTS_MAX else IDLE_SECONDS
            except DatabaseUnavailable as error:
                log.warning("relay_interrupted", bucket=self._database.schema, error=str(error))
                seconds = AWAY_SECONDS
            except Exception:
                # What nobody expected must not end the loop, and the service with it.
                log.exception("relay_failed", bucket=self._database.schema)
                seconds = LOOK_SECONDS
            await pause(seconds, stop)

    async def bring(self) -> int:
        """Bring those that are next: how many. Raises DatabaseUnavailable."""
        rows = await self._database.fetch("SELECT * FROM take_relayed($1, $2)", EVENTS_MAX, LEASE)
        self._part.relay_lag_seconds = 0.0
        if not rows:
            return 0
        try:
            await self._tell(rows)
        except BaseException:
            waited = datetime.now(UTC) - rows[0]["happened_at"]
            self._part.relay_lag_seconds = max(0.0, waited.total_seconds())
            await self._end(())
            raise
        await self._end([row["seq"] for row in rows])
        return len(rows)

    async def _tell(self, rows: Sequence[Record]) -> None:
        await self._home.fetchval(
            "SELECT relay_events($1, $2, $3, $4, $5, $6)",
            *(
                [row[column] for row in rows]
                for column in ("event_id", "type", "happened_at", "data", "owner_kind", "owner_id")
            ),
        )

    async def _end(self, seqs: Sequence[int]) -> None:
        await self._database.fetchval("SELECT end_relayed($1)", seqs)


async def heard(home: Database, *others: Database) -> bool:
    """Have what the operator hears be written in these buckets; whether that is anything.

    Raises DatabaseUnavailable.
    """
    types = await home.fetchval("SELECT operator_hears()")
    for database in others:
        await database.fetchval("SELECT set_relay($1)", types)
    return types is not None


async def heard_everywhere(buckets: Buckets) -> None:
    """The same in all buckets, as far as they are there: workers see to the others."""
    for database in buckets.all[1:]:
        try:
            await heard(buckets.home, database)
        except DatabaseUnavailable as error:
            log.warning("relay_not_set", bucket=database.schema, error=str(error))
