"""The job queue, on the same database (PgQueuer); of several buckets each has its own.

A job says "look at this": it may come twice, or be made again. It goes in with the data it is
about, in the same transaction. A job whose worker died is picked up again by another.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import msgspec
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder
from pgqueuer.core.qm import QueueManager
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.domain.settings import DBSettings
from pgqueuer.domain.types import Channel, QueueEntrypoint, QueueManagerId
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job as PickedJob
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.queries import Queries

from storecredit import telemetry
from storecredit.postgres.databases import Databases
from storecredit.postgres.errors import DatabaseUnavailable, translated
from storecredit.postgres.pacing import pause, side_by_side
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import SCHEMA, Connection
from storecredit.postgres.shared_slots import Share, SharedSlots

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


@dataclass(frozen=True, slots=True)
class _Options:
    stop: asyncio.Event
    concurrency: int
    heartbeat_timeout_seconds: float
    drain_seconds: float


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
    settings = _settings(await connection.fetchval("SELECT current_schema()"))
    queries = Queries(AsyncpgDriver(connection), *_builders(settings))
    if await queries.schema_is_installed():
        await queries.upgrade()
    else:
        await queries.install()
    await queries.optimize_autovacuum()


async def forget_old_log(database: Database) -> None:
    """Delete what a bucket's queue noted about jobs longer ago than `LOG_KEPT`."""
    await database.fetch("DELETE FROM pgqueuer_log WHERE created < now() - $1::interval", LOG_KEPT)


async def depth_of(database: Database, entrypoint: str) -> QueueDepth:
    """How much waits now in a bucket's queue of that name."""
    row = await database.fetchrow(
        """SELECT count(*) AS waiting,
               coalesce(extract(epoch FROM now() - min(execute_after)), 0)::float8 AS oldest
           FROM pgqueuer WHERE status = 'queued' AND entrypoint = $1
               AND execute_after <= now()""",
        entrypoint,
    )
    if row is None:
        raise AssertionError("an aggregate without GROUP BY has one row")
    return QueueDepth(waiting=row["waiting"], oldest_seconds=row["oldest"])


def _settings(schema: str) -> DBSettings:
    """The library's names in a bucket: of each another channel, so that none wakes the others."""
    return DBSettings(channel=Channel(f"ch_pgqueuer{schema.removeprefix(SCHEMA)}"))


def _builders(settings: DBSettings) -> tuple[QueryBuilderEnvironment, QueryQueueBuilder]:
    return QueryBuilderEnvironment(settings), QueryQueueBuilder(settings)


@dataclasses.dataclass
class _SharingQueries(Queries):
    """Takes no more jobs than there are slots for."""

    share: Share | None = None

    async def dequeue(
        self,
        batch_size: int,
        entrypoints: dict[QueueEntrypoint, EntrypointExecutionParameter],
        queue_manager_id: QueueManagerId,
        global_concurrency_limit: int | None,
        heartbeat_timeout: timedelta,
    ) -> list[PickedJob]:
        assert self.share is not None, "it has one"
        with self.share.asking(batch_size) as granted:
            if not granted:
                return []
            return await super().dequeue(
                granted, entrypoints, queue_manager_id, global_concurrency_limit, heartbeat_timeout
            )

    async def eligible_queued_work(self, entrypoints: list[QueueEntrypoint]) -> int:
        """What the library asks when it was given none: whether to ask again soon."""
        assert self.share is not None, "it has one"
        jobs = await super().eligible_queued_work(entrypoints)
        self.share.is_waiting = jobs > 0
        return jobs


class _Manager(QueueManager):
    """The library's, for tables that are known to be its own."""

    async def verify_structure(self) -> None:
        """Ask nothing: the version of its tables is part of the schema's, which is looked at first.

        The library asks two dozen questions to the catalogs, at the start of each queue.
        """


class JobQueue:
    """Runs the jobs of one entrypoint, of all buckets."""

    def __init__(self, databases: Databases, entrypoint: str) -> None:
        self._databases = databases
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

        At most `concurrency` jobs at once, and of several buckets that have jobs about as many
        each. Jobs cut off then are found again by the sweep. While a database is away, tries again
        once a second.
        """
        options = _Options(stop, max(2, concurrency), heartbeat_timeout_seconds, drain_seconds)
        shares: Sequence[Share | None] = (None,)
        if len(self._databases.all) > 1:
            shares = SharedSlots(options.concurrency, len(self._databases.all)).shares
        await side_by_side(
            stop,
            *(
                self._run(database, handle, options, share)
                for database, share in zip(self._databases.all, shares, strict=True)
            ),
        )

    async def depth(self) -> QueueDepth:
        """How much waits in the queue now, in all buckets."""
        found = [await depth_of(database, self._entrypoint) for database in self._databases.all]
        return QueueDepth(
            sum(each.waiting for each in found), max(each.oldest_seconds for each in found)
        )

    async def _run(
        self,
        database: Database,
        handle: Callable[[bytes], Awaitable[None]],
        options: _Options,
        share: Share | None,
    ) -> None:
        stop, concurrency = options.stop, options.concurrency
        while not stop.is_set():
            manager = self._manager(database, handle, share)
            running = asyncio.create_task(
                manager.run(
                    dequeue_timeout=POLL_INTERVAL,
                    batch_size=concurrency // 2,
                    max_concurrent_tasks=concurrency,
                    # The library asks whether it hears before it listens, and ending a run waits
                    # for its jobs. A queue that hears nothing is looked at in any case.
                    shutdown_on_listener_failure=False,
                    heartbeat_timeout=timedelta(seconds=options.heartbeat_timeout_seconds),
                )
            )
            stopping = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if stop.is_set():
                    await _drain(manager, running, options.drain_seconds)
                    return
                await self._report_failure(running)
            finally:
                stopping.cancel()
                await _cut_off(running)
                if share is not None:
                    share.end()
            await pause(RESTART_WAIT_SECONDS, stop)

    def _manager(
        self, database: Database, handle: Callable[[bytes], Awaitable[None]], share: Share | None
    ) -> QueueManager:
        settings = _settings(database.schema)
        driver, builders = AsyncpgPoolDriver(database.pool), _builders(settings)
        if share is None:
            queries = Queries(driver, *builders)
        else:
            queries = _SharingQueries(driver, *builders, share=share)
        manager = _Manager(queries, settings.channel)
        if share is not None:
            share.begin(lambda: len(manager.job_context))

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
