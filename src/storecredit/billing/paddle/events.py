"""Takes in what Paddle tells: each event kept once, processed as a job, visible when it fails.

A webhook is answered as soon as its event and the job that will look at it are committed. Of
several buckets all events come in at the first, which knows by itself whether it was sent this one
before, and answers whichever others are away; the job takes it to the bucket it belongs to.
"""

import asyncio
from enum import StrEnum
from typing import Final

from storecredit import telemetry
from storecredit.billing.catalogue import Catalogue
from storecredit.billing.paddle import PROVIDER
from storecredit.billing.paddle.event_jobs import EventJobs
from storecredit.billing.paddle.event_queue import enqueue_events
from storecredit.billing.paddle.moving import Moving
from storecredit.billing.paddle.processing import Processing
from storecredit.billing.paddle.reading import UnreadableContent, keep, read_event
from storecredit.billing.paddle.whereabouts import Whereabouts
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.pool import Database
from storecredit.settings import Settings

log = telemetry.get_logger("billing.events")

UNKNOWN_TYPE: Final = "Events of this type are not used."


class Receipt(StrEnum):
    """What became of an event that arrived."""

    KEPT = "kept"
    KNOWN = "known"


class PaddleEvents:
    """Receives, processes and retries Paddle's events."""

    def __init__(self, buckets: Buckets, settings: Settings, catalogue: Catalogue) -> None:
        self._home = buckets.home
        self._whereabouts = whereabouts = Whereabouts(buckets)
        moving = Moving(self._home, whereabouts) if buckets.several else None
        self._jobs = [
            EventJobs(
                database,
                Processing(database, settings, catalogue, whereabouts),
                moving if database is self._home else None,
                settings,
            )
            for database in buckets.all
        ]

    async def receive(self, body: bytes) -> Receipt:
        """Keep the event in an authentic webhook's body, and have it processed.

        Raises MalformedEvent (nothing is written), DatabaseUnavailable (Paddle sends it again).
        """
        event = read_event(body)
        kept, status, reason = None, "received", None
        try:
            kept = keep(event)
            if kept is None:
                status, reason = "ignored", UNKNOWN_TYPE
        except UnreadableContent as error:
            status, reason = "set_aside", f"It cannot be read, book it by hand: {error}."
        async with self._home.acquire() as connection, connection.transaction():
            is_new = await connection.fetchval(
                "SELECT receive_provider_event($1, $2, $3, $4, $5, $6, $7)",
                PROVIDER,
                event.event_id,
                event.event_type,
                event.occurred_at,
                kept,
                status,
                reason,
            )
            if is_new and kept is not None:
                await enqueue_events(connection, [event.event_id])
        receipt = Receipt.KEPT if is_new else Receipt.KNOWN
        log.info(
            "paddle_event_received",
            event_id=event.event_id,
            event_type=event.event_type,
            receipt=receipt.value,
        )
        return receipt

    async def retry(self, event_id: str, database: Database | None = None) -> bool:
        """Process anew an event that was set aside, and all others of the same problem.

        `database`: the bucket that has it; None: it is looked for. false: there is none such.
        """
        database = database or await self._whereabouts.of_problem(event_id)
        async with database.acquire() as connection, connection.transaction():
            found = await connection.fetchval(
                "SELECT retry_provider_event($1, $2)", PROVIDER, event_id
            )
            if found:
                await enqueue_events(connection, found)
        return bool(found)

    async def run(self, stop: asyncio.Event) -> None:
        """Process events until `stop` is set, then finish those begun."""
        async with asyncio.TaskGroup() as group:
            for jobs in self._jobs:
                group.create_task(jobs.run(stop))

    async def requeue_orphans(self) -> int:
        """Make a job for each unsettled event that has none; how many there were."""
        return sum([await jobs.requeue_orphans() for jobs in self._jobs])
