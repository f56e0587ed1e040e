"""The life of a generation: take a credit, make an image, or give the credit back.

Every step is one call of a SQL function that changes work and credits together; steps of many
generations share a transaction (group commit). Create and refund stand side by side here as they
do in `sql/functions/generation.sql`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from storecredit.generation.sessions import ErrorCode, SessionStatus
from storecredit.postgres import job_queue
from storecredit.postgres.group_commit import Bounds, GroupCommit
from storecredit.postgres.pool import Connection, Database, Record
from storecredit.settings import Settings
from storecredit.telemetry import Metrics

CREDITS_PER_GENERATION: Final = 1
ENTRYPOINT: Final = "generation"
"""Where the jobs of generations wait in the job queue."""
ERROR_MESSAGE_MAX: Final = 500


class GenerationInput(msgspec.Struct, frozen=True):
    """What the worker needs; kept in the session's row until the session ends."""

    image_urls: tuple[str, ...]
    prompt: str | None = None


class GenerationJob(msgspec.Struct, frozen=True):
    """A queued "look at this session"."""

    store_id: UUID
    session_id: UUID
    request_id: str

    def queued(self) -> job_queue.Job:
        """The job as the queue keeps it, one alive per session."""
        return job_queue.Job(str(self.session_id), msgspec.json.encode(self))


@dataclass(frozen=True, slots=True)
class Created:
    """One credit was taken and the generation queued."""

    session_id: UUID
    balance: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """This very request made the session before; nothing was taken now."""

    session_id: UUID
    status: SessionStatus
    balance: int


@dataclass(frozen=True, slots=True)
class InsufficientCredits:
    """Nothing was taken or queued."""

    balance: int
    required: int = CREDITS_PER_GENERATION


@dataclass(frozen=True, slots=True)
class RequestConflict:
    """The request id was used for another request; nothing was taken or queued."""


CreateOutcome = Created | Replayed | InsufficientCredits | RequestConflict


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt begins: what to make, and which attempt this is (1, 2, …)."""

    attempt: int
    input: GenerationInput


@dataclass(frozen=True, slots=True)
class Ended:
    """The session has its final status (or is gone): nothing is left to do."""

    outcome: str


@dataclass(frozen=True, slots=True)
class _Create:
    store_id: UUID
    session_id: UUID
    request_id: str
    fingerprint: bytes
    input: str
    metadata: str | None


@dataclass(frozen=True, slots=True)
class _Complete:
    job: GenerationJob
    result_key: str


@dataclass(frozen=True, slots=True)
class _Fail:
    job: GenerationJob
    code: ErrorCode
    message: str


class Lifecycle:
    """Creates, starts, completes and fails generations. `start()` before use, `stop()` after."""

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        self._metrics = metrics
        many = Bounds(
            lanes=settings.commit_lanes,
            batch_max=settings.commit_batch_max,
            waiting_max=settings.commit_waiting_max,
            deadline_seconds=settings.commit_deadline_seconds,
        )
        # A worker's steps need no lanes: they are as many as its attempts under way.
        one = Bounds(1, many.batch_max, many.waiting_max, many.deadline_seconds)
        self._create = GroupCommit("create", database, _create_all, many, metrics)
        self._start = GroupCommit("start", database, _start_all, one, metrics)
        self._complete = GroupCommit("complete", database, _complete_all, one, metrics)
        self._fail = GroupCommit("fail", database, _fail_all, one, metrics)

    async def open(self) -> None:
        """Begin to serve."""
        for commit in (self._create, self._start, self._complete, self._fail):
            await commit.start()

    async def close(self) -> None:
        """Finish what is under way, then end."""
        for commit in (self._create, self._start, self._complete, self._fail):
            await commit.stop()

    async def create(
        self,
        store_id: UUID,
        request_id: str,
        input_: GenerationInput,
        metadata: dict[str, str] | None,
    ) -> CreateOutcome:
        """Take one credit and queue a generation; the same request id answers as the first time.

        Raises WaitingLineFull, OutcomeUnknown, DatabaseUnavailable.
        """
        item = _Create(
            store_id=store_id,
            session_id=uuid7(),
            request_id=request_id,
            fingerprint=_fingerprint(input_, metadata),
            input=msgspec.json.encode(input_).decode(),
            metadata=None if metadata is None else msgspec.json.encode(metadata).decode(),
        )
        outcome = await self._create.submit(store_id, item)
        match outcome:
            case Created():
                self._metrics.credits_deducted.inc(CREDITS_PER_GENERATION)
            case InsufficientCredits():
                self._metrics.credits_refused.inc()
            case Replayed() | RequestConflict():
                pass
            case _:
                assert_never(outcome)
        return outcome

    async def start(self, job: GenerationJob) -> Started | Ended:
        """Begin an attempt at a session."""
        return await self._start.submit(job.store_id, job)

    async def complete(self, job: GenerationJob, result_key: str) -> bool:
        """The result is stored. False: the session had ended otherwise; it is not wanted."""
        outcome = await self._complete.submit(job.store_id, _Complete(job, result_key))
        if outcome == "completed":
            self._metrics.generations.labels("completed").inc()
        return outcome == "completed"

    async def fail_and_refund(self, job: GenerationJob, code: ErrorCode, message: str) -> bool:
        """Mark the session failed and give its credit back. False: it had ended before."""
        fail = _Fail(job, code, message[:ERROR_MESSAGE_MAX])
        outcome = await self._fail.submit(job.store_id, fail)
        if outcome == "failed":
            self._metrics.generations.labels(code.value.lower()).inc()
            self._metrics.credits_refunded.inc(CREDITS_PER_GENERATION)
        return outcome == "failed"


def _fingerprint(input_: GenerationInput, metadata: dict[str, str] | None) -> bytes:
    """SHA-256 of the request's content; the order of metadata's keys does not matter."""
    content = msgspec.json.encode((input_, metadata), order="deterministic")
    return hashlib.sha256(content).digest()


async def _create_all(connection: Connection, items: Sequence[_Create]) -> Sequence[CreateOutcome]:
    rows = await connection.fetch(
        "SELECT * FROM create_generations_across_stores($1, $2, $3, $4, $5, $6)",
        [item.store_id for item in items],
        [item.session_id for item in items],
        [item.request_id for item in items],
        [item.fingerprint for item in items],
        [item.input for item in items],
        [item.metadata for item in items],
    )
    await job_queue.enqueue(
        connection,
        ENTRYPOINT,
        [
            GenerationJob(item.store_id, item.session_id, item.request_id).queued()
            for item, row in ((items[row["ord"] - 1], row) for row in rows)
            if row["outcome"] == "created"
        ],
    )
    return [_create_outcome(row) for row in _in_order(rows)]


def _create_outcome(row: Record) -> CreateOutcome:
    match row["outcome"]:
        case "created":
            return Created(row["session_id"], row["balance"])
        case "replayed":
            return Replayed(row["session_id"], SessionStatus(row["status"]), row["balance"])
        case "insufficient":
            return InsufficientCredits(row["balance"])
        case "conflict":
            return RequestConflict()
        case other:
            raise AssertionError(f"create_store_generations answered {other!r}")


async def _start_all(
    connection: Connection, jobs: Sequence[GenerationJob]
) -> Sequence[Started | Ended]:
    rows = await connection.fetch(
        "SELECT * FROM start_generations_across_stores($1, $2)",
        [job.store_id for job in jobs],
        [job.session_id for job in jobs],
    )
    return [
        Started(row["attempts"], msgspec.json.decode(row["input"], type=GenerationInput))
        if row["outcome"] == "started"
        else Ended(row["outcome"])
        for row in _in_order(rows)
    ]


async def _complete_all(connection: Connection, items: Sequence[_Complete]) -> Sequence[str]:
    rows = await connection.fetch(
        "SELECT * FROM complete_generations_across_stores($1, $2, $3)",
        [item.job.store_id for item in items],
        [item.job.session_id for item in items],
        [item.result_key for item in items],
    )
    return [row["outcome"] for row in _in_order(rows)]


async def _fail_all(connection: Connection, items: Sequence[_Fail]) -> Sequence[str]:
    rows = await connection.fetch(
        "SELECT * FROM fail_generations_across_stores($1, $2, $3, $4)",
        [item.job.store_id for item in items],
        [item.job.session_id for item in items],
        [item.code.value for item in items],
        [item.message for item in items],
    )
    return [row["outcome"] for row in _in_order(rows)]


def _in_order(rows: Sequence[Record]) -> list[Record]:
    return sorted(rows, key=lambda row: int(row["ord"]))
