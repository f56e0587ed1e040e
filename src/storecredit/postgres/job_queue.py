"""The job queue, on the same database (PgQueuer).

A job says "look at this": it may come twice, or be made again. It goes in with the data it is
about, in the same transaction. A job whose worker died is picked up again by another.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import msgspec
from pgqueuer.core.qm import QueueManager
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job as PickedJob
from pgqueuer.queries import Queries

from storecredit import telemetry
from storecredit.postgres.errors import DatabaseUnavailable, translated
from storecredit.postgres.pacing import pause
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection

log = telemetry.get_logger("postgres.job_queue")

LOG_KEPT: Final = timedelta(hours=24)
RESTART_WAIT_SECONDS: Final = 1.0
CUT_OFF_WAIT_SECONDS: Final = 1.0
CUT_OFF_ATTEMPTS_MAX: Final = 10
# New jobs are notified; a job that is to run again is not, and a notification can be lost with its
# connection. So the queue is looked at this often, and a wait between attempts is as much longer.
POLL_INTERVAL: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Job:
    """What to look at. `key` names it: while a job of that key lives, another is not made."""

    key: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How many jobs wait, and for how long (seconds) the oldest of them has."""

    waiting: int
    oldest_seconds: float


class LivingJob(msgspec.Struct, frozen=True):
    """A job that waits (`queued`) or is worked on (`picked`).

    `due_at`: not before then. `seen_at`: when its worker last said that it is at it.
    """

    status: str
    created_at: datetime
    due_at: datetime
    seen_at: datetime


class TryAgainLater(Exception):
    """Raised by a job's handler: run this job again after `delay_seconds`."""

    def __init__(self, delay_seconds: float) -> None:
        super().__init__(f"again in {delay_seconds:g} s")
        self.delay_seconds = delay_seconds


async def enqueue(connection: Connection, entrypoint: str, jobs: Sequence[Job]) -> None:
    """Add jobs in the caller's transaction; one whose key has a living job is left out.

    `entrypoint` names the queue: who runs a `JobQueue` of that name handles them.
    """
    if jobs:
        await connection.execute(
            "SELECT enqueue_jobs($1, $2, $3)",
            entrypoint,
            [job.key for job in jobs],
            [job.payload for job in jobs],
        )


def without_job(key: str) -> str:
    """The SQL condition that no job lives whose key is `key`, a text expression of the query.

    A row that has work to be done and no job is an orphan: its worker was lost, or gave up. Whoever
    keeps such rows looks for them with this, and makes their jobs anew.
    """
    # The predicate of PgQueuer's unique index on dedupe_key, which then answers.
    return (
        f"NOT EXISTS (SELECT FROM pgqueuer j WHERE j.dedupe_key = {key}"
        " AND j.status IN ('queued', 'picked'))"
    )


def standing_of(entrypoint: str, *, counted_max: int) -> str:
    """The SQL of a row about a queue, which takes no longer when it is long.

    `entrypoint`: a text expression of the query. Columns: `waiting`, jobs that could be worked on
    now, and `working`, those that are, each counted up to one more than `counted_max`; `oldest_at`,
    since when the first of those that wait does, null if none does.
    """
    # Each by an index of PgQueuer's with this predicate.
    waiting = f"status = 'queued' AND entrypoint = {entrypoint} AND execute_after <= now()"
    return f"""
        SELECT (SELECT count(*) FROM (
                SELECT FROM pgqueuer WHERE {waiting} LIMIT {counted_max + 1}) w) AS waiting,
            (SELECT count(*) FROM (
                SELECT FROM pgqueuer WHERE status = 'picked' AND entrypoint = {entrypoint}
                LIMIT {counted_max + 1}) p) AS working,
            (SELECT execute_after FROM pgqueuer WHERE {waiting}
             ORDER BY execute_after LIMIT 1) AS oldest_at"""  # noqa: S608 - an expression


async def living_jobs(
    connection: Connection, entrypoint: str, keys: Sequence[str]
) -> dict[str, LivingJob]:
    """The jobs of these keys that live, by key; one without a living job is left out."""
    rows = await connection.fetch(
        """SELECT dedupe_key, status::text, created AS created_at, execute_after AS due_at,
               heartbeat AS seen_at
           FROM pgqueuer
           WHERE entrypoint = $1 AND dedupe_key = ANY ($2) AND status IN ('queued', 'picked')""",
        entrypoint,
        keys,
    )
    return {
        row["dedupe_key"]: LivingJob(
            row["status"], row["created_at"], row["due_at"], row["seen_at"]
        )
        for row in rows
    }


async def install_tables(connection: asyncpg.Connection) -> None:
    """Make the library's tables in the connection's schema, or bring them to its version.

    In the caller's transaction. Here, because two threads cannot import the library at once: its
    modules refer to each other. Whoever needs it imports this module, which Python does once.
    """
    queries = Queries.from_asyncpg_connection(connection)
    if await queries.schema_is_installed():
        await queries.upgrade()
    else:
        await queries.install()
    await queries.optimize_autovacuum()


class JobQueue:
    """Runs the jobs of one entrypoint of one database."""

    def __init__(self, database: Database, entrypoint: str) -> None:
        self._database = database
        self._entrypoint = entrypoint

    async def run(
        self,
        handle: Callable[[bytes], Awaitable[None]],
        *,
        stop: asyncio.Event,
        concurrency: int,
        heartbeat_timeout_seconds: float,
        drain_seconds: float,
    ) -> None:
        """Handle jobs until `stop` is set, then finish those begun, at most `drain_seconds` long.

        Jobs cut off then are found again by the sweep. While the database is away, tries again
        once a second.
        """
        while not stop.is_set():
            manager = self._manager(handle)
            running = asyncio.create_task(
                manager.run(
                    dequeue_timeout=POLL_INTERVAL,
                    batch_size=max(1, concurrency // 2),
                    max_concurrent_tasks=max(2, concurrency),
                    # The library asks whether it hears before it listens, and ending a run waits
                    # for its jobs. A queue that hears nothing is looked at in any case.
                    shutdown_on_listener_failure=False,
                    heartbeat_timeout=timedelta(seconds=heartbeat_timeout_seconds),
                )
            )
            stopping = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if stop.is_set():
                    await _drain(manager, running, drain_seconds)
                    return
                await self._report_failure(running)
            finally:
                stopping.cancel()
                await _cut_off(running)
            await pause(RESTART_WAIT_SECONDS, stop)

    async def depth(self) -> QueueDepth:
        """How much waits in the queue now."""
        row = await self._database.fetchrow(
            """SELECT count(*) AS waiting,
                   coalesce(extract(epoch FROM now() - min(execute_after)), 0)::float8 AS oldest
               FROM pgqueuer WHERE status = 'queued' AND entrypoint = $1
                   AND execute_after <= now()""",
            self._entrypoint,
        )
        if row is None:
            raise AssertionError("an aggregate without GROUP BY has one row")
        return QueueDepth(waiting=row["waiting"], oldest_seconds=row["oldest"])

    async def forget_old_log(self) -> None:
        """Delete what the queue noted about jobs longer ago than `LOG_KEPT`."""
        await self._database.fetch(
            "DELETE FROM pgqueuer_log WHERE created < now() - $1::interval", LOG_KEPT
        )

    def _manager(self, handle: Callable[[bytes], Awaitable[None]]) -> QueueManager:
        manager = QueueManager(Queries(AsyncpgPoolDriver(self._database.pool)))

        @manager.entrypoint(self._entrypoint, accepts_context=False)
        async def run_job(job: PickedJob) -> None:
            try:
                await handle(job.payload or b"")
            except TryAgainLater as again:
                raise RetryRequested(delay=timedelta(seconds=again.delay_seconds)) from again

        return manager

    async def _report_failure(self, running: asyncio.Task[None]) -> None:
        try:
            with translated():
                await running
        except DatabaseUnavailable as error:
            log.warning("job_queue_interrupted", error=str(error))
        except Exception:
            # The queue must go on whatever happens to one run of it; the cause is in the log.
            log.exception("job_queue_failed")


async def _drain(manager: QueueManager, running: asyncio.Task[None], drain_seconds: float) -> None:
    manager.shutdown.set()
    _, late = await asyncio.wait({running}, timeout=drain_seconds)
    if late:
        log.warning("jobs_cut_off", drain_seconds=drain_seconds)


async def _cut_off(running: asyncio.Task[None]) -> None:
    """Cancel the run and the jobs it still has.

    Once is not always enough: cancelled anywhere else than where it waits for its jobs, the
    library goes there, and waits for them without a limit.
    """
    for _ in range(CUT_OFF_ATTEMPTS_MAX):
        running.cancel()
        done, _ = await asyncio.wait({running}, timeout=CUT_OFF_WAIT_SECONDS)
        if done:
            await asyncio.gather(running, return_exceptions=True)
            return
    log.error("jobs_do_not_end", waited_seconds=CUT_OFF_ATTEMPTS_MAX * CUT_OFF_WAIT_SECONDS)
