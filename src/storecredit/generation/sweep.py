"""The sweep: nothing is forgotten, whatever died.

At every interval it makes a new job for each open session that has none, fails and refunds each
session that is past its deadline, and deletes results, and what generators said, when their
retention is over, and what is left of users who were erased. Any number of processes may sweep at
once.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final

from storecredit import telemetry
from storecredit.generation.erasure import Erasure
from storecredit.generation.lifecycle import ENTRYPOINT, GenerationJob, Lifecycle
from storecredit.generation.results.store import ResultStore, reason_of
from storecredit.generation.sessions import Failure, FailureCode
from storecredit.generation.strays import Strays
from storecredit.ledger.owners import Account, Owner, OwnerKind
from storecredit.postgres import job_queue
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import DatabaseUnavailable, StatementRefused
from storecredit.postgres.group_commit import OutcomeUnknown, WaitingLineFull
from storecredit.postgres.pacing import every, side_by_side
from storecredit.postgres.pool import Database
from storecredit.settings import Settings

log = telemetry.get_logger("generation.sweep")

ROUND_MAX: Final = 1000
RESULT_ROUNDS_MAX: Final = 20
"""Rounds over results that are due, in a row: more than a worker makes in the meantime."""
OPEN: Final = ("queued", "processing")
"""The statuses of sessions that have not ended."""


class Sweep:
    """Looks after sessions and results that nobody else looks after any more.

    Each bucket has a loop of its own, so that one which is away holds up no other.
    """

    def __init__(
        self,
        buckets: Buckets,
        lifecycle: Lifecycle,
        results: ResultStore,
        settings: Settings,
        metrics: telemetry.Metrics,
    ) -> None:
        figures = _Figures(metrics)
        strays = Strays(buckets, results, settings)
        self._interval_seconds = settings.sweep_interval_seconds
        self._each = [
            _BucketSweep(
                database,
                lifecycle,
                results,
                settings,
                figures,
                strays if database is buckets.home else None,
            )
            for database in buckets.all
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep at once and then at every interval, until `stop` is set."""
        await side_by_side(
            stop, *(every(self._interval_seconds, stop, each.sweep) for each in self._each)
        )

    async def sweep(self) -> None:
        """One round; each part takes some thousands of rows at most, and fails by itself alone."""
        await asyncio.gather(*(each.sweep() for each in self._each))


class _Figures:
    """What waits and what is open: the sums over all buckets, each as it was last seen."""

    def __init__(self, metrics: telemetry.Metrics) -> None:
        self._metrics = metrics
        self._oldest_seconds: dict[str, float] = {}
        self._open: dict[str, dict[str, int]] = {}

    def set(self, bucket: str, oldest_seconds: float, open_by_status: dict[str, int]) -> None:
        """What one bucket has now."""
        self._oldest_seconds[bucket] = oldest_seconds
        self._open[bucket] = open_by_status
        self._metrics.queue_oldest_seconds.set(max(self._oldest_seconds.values()))
        for status in OPEN:
            self._metrics.queue_depth.labels(status).set(
                sum(each[status] for each in self._open.values())
            )


class _BucketSweep:
    """The sweep of one bucket; of what is everybody's, too, where it is given `strays`."""

    def __init__(
        self,
        database: Database,
        lifecycle: Lifecycle,
        results: ResultStore,
        settings: Settings,
        figures: _Figures,
        strays: Strays | None,
    ) -> None:
        self._database = database
        self._lifecycle = lifecycle
        self._results = results
        self._erasure = Erasure(database, results, settings)
        self._settings = settings
        self._figures = figures
        self._strays = strays

    async def sweep(self) -> None:
        """One round."""
        for part in (
            self._fail_overdue,
            self._requeue_orphans,
            self._delete_old_results,
            self._forget_old_messages,
            self._settle_erasures,
            self._delete_strays,
            self._forget_old_log,
            self._measure,
        ):
            await self._by_itself(part.__name__, part())

    async def _by_itself(self, name: str, part: Awaitable[None]) -> None:
        try:
            await part
        except (DatabaseUnavailable, OutcomeUnknown, WaitingLineFull) as error:
            log.warning("sweep_interrupted", part=name, error=str(error))
        except Exception:
            # A result that cannot be deleted must not keep a credit from being given back.
            log.exception("sweep_failed", part=name)

    async def _fail_overdue(self) -> None:
        for job in await self._open_jobs(
            "AND s.created_at < now() - $2::interval",
            timedelta(seconds=self._settings.generation_deadline_seconds),
        ):
            with telemetry.bound(**job.names()):
                await self._fail(job)

    async def _fail(self, job: GenerationJob) -> None:
        try:
            refunded = await self._lifecycle.fail_and_refund(
                job,
                Failure(FailureCode.GENERATION_FAILED, "The generation was not finished in time."),
            )
        except StatementRefused as refused:
            # Its credit was never taken: `storecredit verify` names it. The others go on.
            log.error("refund_refused", reason=str(refused))  # noqa: TRY400
        else:
            log.warning("generation_overdue", refunded=refunded)

    async def _requeue_orphans(self) -> None:
        orphans = await self._open_jobs(f"AND {job_queue.without_job('s.session_id::text')}")
        if not orphans:
            return
        async with self._database.acquire() as connection, connection.transaction():
            await job_queue.enqueue(connection, ENTRYPOINT, [job.queued() for job in orphans])
        for job in orphans:
            log.warning("session_without_job", **job.names())

    async def _open_jobs(self, condition: str, *args: object) -> list[GenerationJob]:
        rows = await self._database.fetch(
            f"""SELECT o.*, a.owner_kind, a.owner_id FROM (
                   SELECT s.account_id, s.session_id, s.request_id FROM sessions s
                   WHERE s.completed_at IS NULL {condition}
                   ORDER BY s.account_id + 0, s.session_id LIMIT $1
               ) o JOIN accounts a USING (account_id)
               ORDER BY o.account_id, o.session_id""",  # noqa: S608 - constants
            ROUND_MAX,
            *args,
        )
        return [
            GenerationJob(
                Account(row["account_id"], Owner(OwnerKind(row["owner_kind"]), row["owner_id"])),
                row["session_id"],
                row["request_id"],
            )
            for row in rows
        ]

    async def _delete_old_results(self) -> None:
        for _ in range(RESULT_ROUNDS_MAX):
            if not await self._delete_some_old_results():
                return

    async def _delete_some_old_results(self) -> bool:
        """Delete the oldest of them; whether there may be more."""
        rows = await self._database.fetch(
            """SELECT account_id, session_id, result_key FROM sessions
               WHERE result_key IS NOT NULL AND completed_at < now() - $1::interval
               ORDER BY completed_at LIMIT $2""",
            timedelta(seconds=self._settings.result_retention_seconds),
            ROUND_MAX,
        )
        if not rows:
            return False
        failures = await self._results.delete([row["result_key"] for row in rows])
        # Those stay due; the others must not stay with them.
        gone = [row for row in rows if row["result_key"] not in failures]
        await self._database.fetchval(
            """SELECT count(forget_result(g.account_id, g.session_id)) FROM (
                   SELECT * FROM unnest($1::bigint[], $2::uuid[]) AS u (account_id, session_id)
                   ORDER BY 1, 2) g""",
            [row["account_id"] for row in gone],
            [row["session_id"] for row in gone],
        )
        # Of a bucket that is away all have the same: it is told once.
        for reason, several in Counter(map(reason_of, failures.values())).items():
            log.error("result_not_deleted", reason=reason, results=several)
        return len(gone) == ROUND_MAX

    async def _forget_old_messages(self) -> None:
        rows = await self._database.fetch(
            """SELECT account_id, session_id FROM sessions
               WHERE generator_message IS NOT NULL AND completed_at < now() - $1::interval
               ORDER BY completed_at LIMIT $2""",
            timedelta(seconds=self._settings.generator_message_retention_seconds),
            ROUND_MAX,
        )
        for row in rows:
            await self._database.fetchval(
                "SELECT forget_generator_message($1, $2)", row["account_id"], row["session_id"]
            )

    async def _settle_erasures(self) -> None:
        for user_id in await self._erasure.due(ROUND_MAX):
            with telemetry.bound(user_id=str(user_id)):
                try:
                    await self._erasure.settle(user_id)
                except (OSError, StatementRefused) as error:
                    # It stays due; the others must not stay with it.
                    reason = reason_of(error) if isinstance(error, OSError) else str(error)
                    log.error("erasure_not_settled", reason=reason)  # noqa: TRY400 - the reason says it

    async def _delete_strays(self) -> None:
        if self._strays is not None:
            await self._strays.delete()

    async def _forget_old_log(self) -> None:
        await job_queue.forget_old_log(self._database)

    async def _measure(self) -> None:
        depth = await job_queue.depth_of(self._database, ENTRYPOINT)
        open_by_status = dict.fromkeys(OPEN, 0)
        for row in await self._database.fetch(
            """SELECT status, count(*) AS sessions FROM sessions
               WHERE completed_at IS NULL GROUP BY status"""
        ):
            open_by_status[row["status"]] = row["sessions"]
        self._figures.set(self._database.schema, depth.oldest_seconds, open_by_status)
