"""Takes in what Paddle tells: each event kept once, processed as a job, visible when it fails.

A webhook is answered as soon as its event and the job that will look at it are committed. The job
books (see `settlement`) and settles the event in one transaction. What cannot be booked yet, or
broke, is tried again after a doubling wait, in the database, and set aside after
`billing_attempts`: the operator sees it, and may have it tried again.
"""

import asyncio
from datetime import timedelta
from enum import StrEnum
from typing import Final, assert_never

from storecredit import telemetry
from storecredit.billing.catalogue import Catalogue
from storecredit.billing.paddle import PROVIDER
from storecredit.billing.paddle.ownership import is_ours
from storecredit.billing.paddle.reading import (
    UnreadableContent,
    keep,
    read_content,
    read_event,
    read_references,
)
from storecredit.billing.paddle.settlement import settle
from storecredit.billing.paddle.verdicts import Ignored, NotYet, Processed, SetAside, Verdict
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.job_queue import Job, JobQueue, TryAgainLater, enqueue, without_job
from storecredit.postgres.pacing import backoff, every
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection, Record
from storecredit.settings import Settings

log = telemetry.get_logger("billing.events")

ENTRYPOINT: Final = "paddle_event"
"""Where the jobs of events wait in the job queue."""
CONCURRENCY: Final = 4
"""Events one process works on at a time: money comes in seldom, beside generations."""
BACKOFF_MAX_SECONDS: Final = 3600.0
DATABASE_RETRY_SECONDS: Final = 1.0
ROUND_MAX: Final = 1000
UNKNOWN_TYPE: Final = "Events of this type are not used."
NOT_OURS: Final = "It is about nothing that was sold here."


class Receipt(StrEnum):
    """What became of an event that arrived."""

    KEPT = "kept"
    KNOWN = "known"


class PaddleEvents:
    """Receives, processes and retries Paddle's events."""

    def __init__(self, database: Database, settings: Settings, catalogue: Catalogue) -> None:
        self._database = database
        self._settings = settings
        self._catalogue = catalogue
        self._queue = JobQueue(database, ENTRYPOINT)

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
        async with self._database.acquire() as connection, connection.transaction():
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
                await enqueue(connection, ENTRYPOINT, [_job(event.event_id)])
        receipt = Receipt.KEPT if is_new else Receipt.KNOWN
        log.info(
            "paddle_event_received",
            event_id=event.event_id,
            event_type=event.event_type,
            receipt=receipt.value,
        )
        return receipt

    async def retry(self, event_id: str) -> bool:
        """Process anew an event that was set aside, and all others of the same problem.

        false: there is none such.
        """
        async with self._database.acquire() as connection, connection.transaction():
            found = await connection.fetchval(
                "SELECT retry_provider_event($1, $2)", PROVIDER, event_id
            )
            if found:
                await enqueue(connection, ENTRYPOINT, [_job(each) for each in found])
        return bool(found)

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
                wait_seconds = await self._attempt(event_id)
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
                await enqueue(connection, ENTRYPOINT, [_job(row["event_id"]) for row in rows])
        return len(rows)

    async def _look_for_orphans(self) -> None:
        try:
            await self.requeue_orphans()
        except DatabaseUnavailable as error:
            log.warning("paddle_events_not_looked_through", error=str(error))
        except Exception:
            # A look that broke must not keep the process from serving.
            log.exception("looking_for_paddle_events_broke")

    async def _attempt(self, event_id: str) -> float | None:
        """Book and settle; the seconds until the next attempt, None if there is to be none."""
        try:
            async with self._database.acquire() as connection, connection.transaction():
                event = await connection.fetchrow(
                    """SELECT event_id, event_type, occurred_at, content FROM provider_events
                       WHERE provider = $1 AND event_id = $2
                         AND status IN ('received', 'failing')""",
                    PROVIDER,
                    event_id,
                )
                if event is None:
                    log.info("paddle_event_already_settled")
                    return None
                verdict = await self._verdict(connection, event)
                return await self._conclude(connection, event, verdict)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            # Whatever broke was rolled back; the event stays, for an operator who can mend it.
            log.exception("paddle_event_broke")
            async with self._database.acquire() as connection:
                return await self._note(
                    connection, event_id, f"Processing broke: {type(error).__name__}."
                )

    async def _verdict(self, connection: Connection, event: Record) -> Verdict:
        """What the event comes to; whose it is comes first, so that others' may be of any form."""
        event_type, kept = event["event_type"], event["content"]
        try:
            names = read_references(event_type, kept)
            if not await is_ours(connection, names):
                return Ignored(NOT_OURS, names.subscription_id, names.transaction_id)
            content = read_content(event_type, kept)
        except UnreadableContent as error:
            return SetAside(
                f"It cannot be read: {error}. Try it again after an upgrade, or book it by hand."
            )
        grace = timedelta(days=self._settings.refund_grace_days)
        return await settle(connection, content, event["occurred_at"], self._catalogue, grace)

    async def _conclude(
        self, connection: Connection, event: Record, verdict: Verdict
    ) -> float | None:
        subject: str | None = None
        foreign: tuple[str | None, str | None] = (None, None)
        match verdict:
            case Processed(note):
                status, reason = "processed", note
            case Ignored(reason, subscription_id, transaction_id):
                status, foreign = "ignored", (subscription_id, transaction_id)
            case SetAside(reason, subject):
                status = "set_aside"
            case NotYet(reason):
                return await self._note(connection, event["event_id"], reason)
            case _:
                assert_never(verdict)
        await connection.fetchval(
            "SELECT settle_provider_event($1, $2, $3, $4, $5, $6, $7)",
            PROVIDER,
            event["event_id"],
            status,
            reason,
            subject,
            *foreign,
        )
        say = log.error if status == "set_aside" else log.info
        say("paddle_event_settled", event_type=event["event_type"], status=status, reason=reason)
        return None

    async def _note(self, connection: Connection, event_id: str, reason: str) -> float | None:
        attempts: int | None = await connection.fetchval(
            "SELECT note_provider_event_failure($1, $2, $3, $4)",
            PROVIDER,
            event_id,
            reason,
            self._settings.billing_attempts,
        )
        if attempts is None:
            log.error("paddle_event_set_aside", reason=reason)
            return None
        wait_seconds = backoff(
            self._settings.billing_backoff_seconds, attempts, BACKOFF_MAX_SECONDS
        )
        log.warning(
            "paddle_event_failing", reason=reason, attempt=attempts, again_in_seconds=wait_seconds
        )
        return wait_seconds


def _job(event_id: str) -> Job:
    """The job as the queue keeps it, one alive per event."""
    return Job(event_id, event_id.encode())
