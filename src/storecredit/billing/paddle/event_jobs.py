"""The jobs of the events that one bucket keeps: each event is looked at until it is settled.

What cannot be booked yet, or broke, is tried again after a doubling wait, in the database. An event
that has no job although it is not settled is given one, and so is one that was ignored as not ours
once what it names is known.
"""

import asyncio
from typing import Final

from storecredit import telemetry
from storecredit.billing.paddle import PROVIDER
from storecredit.billing.paddle.event_queue import ENTRYPOINT, enqueue_events
from storecredit.billing.paddle.moving import Moving
from storecredit.billing.paddle.processing import Processing
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.job_queue import JobQueue, TryAgainLater, without_job
from storecredit.postgres.pacing import every
from storecredit.postgres.pool import Database
from storecredit.settings import Settings

log = telemetry.get_logger("billing.events")

CONCURRENCY: Final = 4
"""Events one process works on at a time: money comes in seldom, beside generations."""
DATABASE_RETRY_SECONDS: Final = 1.0
ROUND_MAX: Final = 1000


class EventJobs:
    """Works on a bucket's events; `moving`: in the first of several, which takes in all."""

    def __init__(
        self,
        database: Database,
        processing: Processing,
        moving: Moving | None,
        settings: Settings,
    ) -> None:
        self._database = database
        self._processing = processing
        self._moving = moving
        self._settings = settings
        self._queue = JobQueue(database, ENTRYPOINT)

    async def run(self, stop: asyncio.Event) -> None:
        """Process events until `stop` is set, then finish those begun."""
        async with asyncio.TaskGroup() as group:
            group.create_task(
                every(self._settings.billing_interval_seconds, stop, self._look_for_orphans)
            )
            group.create_task(
                self._queue.run(
                    self.handle,
                    stop=stop,
                    concurrency=CONCURRENCY,
                    heartbeat_timeout_seconds=self._settings.worker_heartbeat_timeout_seconds,
                    drain_seconds=self._settings.worker_drain_seconds,
                )
            )

    async def handle(self, payload: bytes) -> None:
        """One attempt at one event. Raises TryAgainLater."""
        event_id = payload.decode()
        with telemetry.bound(event_id=event_id):
            try:
                if self._moving is not None and await self._moving.moved(event_id):
                    return
                wait_seconds = await self._processing.attempt(event_id)
            except DatabaseUnavailable as error:
                log.warning("paddle_event_interrupted", error=str(error))
                raise TryAgainLater(DATABASE_RETRY_SECONDS) from error
        if wait_seconds is not None:
            raise TryAgainLater(wait_seconds)

    async def requeue_orphans(self) -> int:
        """Make a job for each unsettled event that has none; how many there were.

        Among them are those that were ignored before their subscription was known for ours, or
        their transaction was booked by hand.
        """
        await self._database.fetchval("SELECT reopen_foreign_events($1)", PROVIDER)
        if self._moving is not None:
            await self._moving.reopen()
        rows = await self._database.fetch(
            f"""SELECT e.event_id FROM provider_events e
                WHERE e.provider = $2 AND e.status IN ('received', 'failing')
                  AND {without_job("e.event_id")}
                ORDER BY e.received_at LIMIT $1""",  # noqa: S608 - a constant
            ROUND_MAX,
            PROVIDER,
        )
        if rows:
            log.warning("paddle_events_without_job", events=len(rows))
            async with self._database.acquire() as connection, connection.transaction():
                await enqueue_events(connection, [row["event_id"] for row in rows])
        return len(rows)

    async def _look_for_orphans(self) -> None:
        try:
            await self.requeue_orphans()
        except DatabaseUnavailable as error:
            log.warning("paddle_events_not_looked_through", error=str(error))
        except Exception:
            # A look that broke must not keep the process from serving.
            log.exception("looking_for_paddle_events_broke")
