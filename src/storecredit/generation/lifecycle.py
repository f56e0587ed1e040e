"""The life of a generation: take its price, make an image, or give the credits back.

Every step is one call of a SQL function that changes work and credits together; steps of many
generations, of stores and end users alike, share a transaction (group commit). Create and refund
stand side by side here as they do in `sql/functions/generations.sql`.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, assert_never
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from uuid_utils.compat import uuid7

from storecredit.generation.sessions import FAILURE_TEXT_MAX, Failure, SessionStatus, printable
from storecredit.ledger.batches import as_sent, ascending, fingerprint
from storecredit.ledger.outcomes import ChargedAs
from storecredit.ledger.owners import Account, Owner, OwnerKind
from storecredit.postgres import job_queue
from storecredit.postgres.buckets import Buckets, bucket_of
from storecredit.postgres.group_commit import Bounds, GroupCommit
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection, Record
from storecredit.settings import Settings
from storecredit.telemetry import Metrics

ENTRYPOINT: Final = "generation"
"""Where the jobs of generations wait in the job queue."""
_STORE: Final = OwnerKind.STORE


class GenerationInput(msgspec.Struct, frozen=True):
    """What the worker needs; kept in the session's row until the session ends.

    `options`: what the generator is told beside it, if anything is.
    """

    image_urls: tuple[str, ...]
    prompt: str | None = None
    # What is unset is not encoded: without options a request keeps its fingerprint.
    options: dict[str, str] | UnsetType = UNSET


class _Queued(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A job as it waits in the queue.

    Its form stays as it is: what waits outlives the process that put it there.
    """

    store_id: UUID | None = None
    user_id: UUID | None = None
    session_id: UUID
    request_id: str
    account_id: str


class GenerationJob(msgspec.Struct, frozen=True):
    """A queued "look at this session"."""

    account: Account
    session_id: UUID
    request_id: str

    def names(self) -> dict[str, str]:
        """What names it in every log line about it."""
        owner = self.account.owner
        return {
            owner.kind.id_name: str(owner.id),
            "session_id": str(self.session_id),
            "request_id": self.request_id,
        }

    def queued(self) -> job_queue.Job:
        """The job as the queue keeps it, one alive per session."""
        return job_queue.Job(str(self.session_id), self.payload())

    def payload(self) -> bytes:
        """What of it is queued, JSON."""
        owner = self.account.owner
        is_store = owner.kind is _STORE
        return msgspec.json.encode(
            _Queued(
                store_id=owner.id if is_store else None,
                user_id=None if is_store else owner.id,
                session_id=self.session_id,
                request_id=self.request_id,
                account_id=str(self.account.id),
            )
        )

    @classmethod
    def from_payload(cls, payload: bytes) -> "GenerationJob":
        """The job as it was queued. Raises ValueError for what is none, and for two owners."""
        queued = msgspec.json.decode(payload, type=_Queued)
        ids = {OwnerKind.STORE: queued.store_id, OwnerKind.USER: queued.user_id}
        (owner,) = (Owner(kind, id_) for kind, id_ in ids.items() if id_ is not None)
        return cls(Account(int(queued.account_id), owner), queued.session_id, queued.request_id)


class Created(msgspec.Struct, frozen=True):
    """The credits were taken and the generation queued."""

    session_id: UUID
    balance: int
    charged_as: ChargedAs
    credits: int


class Replayed(msgspec.Struct, frozen=True):
    """This very request made the session before; nothing was taken now.

    `credits` and `charged_as` are what was taken then.
    """

    session_id: UUID
    status: SessionStatus
    balance: int
    charged_as: ChargedAs
    credits: int


class InsufficientCredits(msgspec.Struct, frozen=True):
    """Nothing was taken or queued."""

    balance: int
    required: int


class RequestConflict(msgspec.Struct, frozen=True):
    """The request id was used for another request; nothing was taken or queued."""


CreateOutcome = Created | Replayed | InsufficientCredits | RequestConflict


class Started(msgspec.Struct, frozen=True):
    """An attempt begins: what to make, and which attempt this is (1, 2, …)."""

    attempt: int
    input: GenerationInput


class Ended(msgspec.Struct, frozen=True):
    """The session has its final status (or is gone): nothing is left to do."""

    outcome: str


class Postponed(msgspec.Struct, frozen=True):
    """Another attempt is to be made: how long ago the session was created, and first begun."""

    seconds_open: float
    seconds_begun: float


class _Create(msgspec.Struct, frozen=True):
    account_id: int
    session_id: UUID
    request_id: str
    credits: int
    fingerprint: bytes
    input: str
    metadata: str | None
    job: bytes


class _Complete(msgspec.Struct, frozen=True):
    job: GenerationJob
    result_key: str


class _Fail(msgspec.Struct, frozen=True):
    job: GenerationJob
    failure: Failure


class _Failed(msgspec.Struct, frozen=True):
    """`refunded`: the credits given back by this; None: the session had ended before."""

    refunded: int | None


class _Commits:
    """The steps of one bucket's generations, each a group commit."""

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        many = Bounds.of(settings)
        # A worker's steps need no lanes: they are as many as its attempts under way.
        one = Bounds.of(settings, lanes=1)
        self.create: GroupCommit[_Create, CreateOutcome] = GroupCommit(
            "create", database, _create_all, many, metrics
        )
        self.start: GroupCommit[GenerationJob, Started | Ended] = GroupCommit(
            "start", database, _start_all, one, metrics
        )
        self.complete: GroupCommit[_Complete, str] = GroupCommit(
            "complete", database, _complete_all, one, metrics
        )
        self.fail: GroupCommit[_Fail, _Failed] = GroupCommit(
            "fail", database, _fail_all, one, metrics
        )

    async def open(self) -> None:
        for commit in (self.create, self.start, self.complete, self.fail):
            await commit.start()

    async def close(self) -> None:
        for commit in (self.create, self.start, self.complete, self.fail):
            await commit.stop()


class Lifecycle:
    """Creates, starts, completes and fails generations. `open()` before use, `close()` after."""

    def __init__(self, buckets: Buckets, settings: Settings, metrics: Metrics) -> None:
        self._buckets = buckets
        self._metrics = metrics
        self._commits = [_Commits(database, settings, metrics) for database in buckets.all]

    async def open(self) -> None:
        """Begin to serve; what nobody asks for opens no connection."""
        for commits in self._commits:
            await commits.open()

    async def close(self) -> None:
        """Finish what is under way, then end."""
        await asyncio.gather(*(commits.close() for commits in self._commits))

    async def create(
        self,
        account: Account,
        request_id: str,
        input_: GenerationInput,
        metadata: dict[str, str] | None,
        credits: int,
    ) -> CreateOutcome:
        """Take its price and queue a generation; the same request id answers as the first time.

        `credits` is what it costs now, which is no part of the request: a replay stays one.
        Raises WaitingLineFull, OutcomeUnknown, DatabaseUnavailable.
        """
        job = GenerationJob(account, uuid7(), request_id)
        item = _Create(
            account_id=account.id,
            session_id=job.session_id,
            request_id=request_id,
            credits=credits,
            fingerprint=fingerprint(input_, metadata),
            input=msgspec.json.encode(input_).decode(),
            metadata=None if metadata is None else msgspec.json.encode(metadata).decode(),
            job=job.payload(),
        )
        outcome = await self._of(account).create.submit(account.id, item)
        match outcome:
            case Created():
                self._metrics.credits_deducted.inc(outcome.credits)
            case InsufficientCredits():
                self._metrics.credits_refused.inc()
            case Replayed() | RequestConflict():
                pass
            case _:
                assert_never(outcome)
        return outcome

    async def start(self, job: GenerationJob) -> Started | Ended:
        """Begin an attempt at a session."""
        return await self._of(job.account).start.submit(job.account.id, job)

    async def complete(self, job: GenerationJob, result_key: str) -> bool:
        """The result is stored. False: the session had ended otherwise; it is not wanted."""
        outcome = await self._of(job.account).complete.submit(
            job.account.id, _Complete(job, result_key)
        )
        if outcome == "completed":
            self._metrics.generations.labels("completed").inc()
        return outcome == "completed"

    async def postpone(
        self, job: GenerationJob, generator_message: str | None, *, counts: bool
    ) -> Postponed | Ended:
        """An attempt made no image and there will be another; `counts` says if this one does.

        Not sent again if its outcome is unknown: an attempt may then count that need not have.
        Raises DatabaseUnavailable.
        """
        row = await self._buckets.of_account(job.account.id).fetchrow(
            "SELECT * FROM postpone_generation($1, $2, $3, $4)",
            job.account.id,
            job.session_id,
            generator_message and printable(generator_message, FAILURE_TEXT_MAX),
            counts,
        )
        if row is None:
            raise AssertionError("postponing a generation has one outcome")
        if row["outcome"] != "postponed":
            return Ended(row["outcome"])
        return Postponed(row["seconds_open"], row["seconds_begun"])

    async def fail_and_refund(self, job: GenerationJob, failure: Failure) -> bool:
        """Mark the session failed and give its credits back. False: it had ended before."""
        failed = await self._of(job.account).fail.submit(
            job.account.id, _Fail(job, failure.storable())
        )
        if failed.refunded is None:
            return False
        self._metrics.generations.labels(failure.code.value.lower()).inc()
        self._metrics.credits_refunded.inc(failed.refunded)
        return True

    def _of(self, account: Account) -> _Commits:
        return self._commits[bucket_of(account.id)]


async def _create_all(connection: Connection, items: Sequence[_Create]) -> Sequence[CreateOutcome]:
    places = ascending([item.account_id for item in items])
    ordered = [items[place] for place in places]
    row = await connection.fetchrow(
        "SELECT * FROM create_generations($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        [item.account_id for item in ordered],
        [item.session_id for item in ordered],
        [item.request_id for item in ordered],
        [item.credits for item in ordered],
        [item.fingerprint for item in ordered],
        [item.input for item in ordered],
        [item.metadata for item in ordered],
        ENTRYPOINT,
        [item.job for item in ordered],
    )
    if row is None:
        raise AssertionError("creating generations has one answer")
    answers = map(
        _create_outcome,
        row["outcomes"],
        row["session_ids"],
        row["statuses"],
        row["balances"],
        row["charged_as"],
        row["credits"],
    )
    return as_sent(places, list(answers))


def _create_outcome(
    outcome: str, session_id: UUID, status: str, balance: int, charged_as: ChargedAs, credits: int
) -> CreateOutcome:
    match outcome:
        case "created":
            return Created(session_id, balance, charged_as, credits)
        case "replayed":
            return Replayed(session_id, SessionStatus(status), balance, charged_as, credits)
        case "insufficient":
            return InsufficientCredits(balance, credits)
        case "conflict":
            return RequestConflict()
        case other:
            raise AssertionError(f"creating a generation answered {other!r}")


async def _start_all(
    connection: Connection, jobs: Sequence[GenerationJob]
) -> Sequence[Started | Ended]:
    rows = await connection.fetch(
        "SELECT * FROM start_generations($1, $2)",
        [job.account.id for job in jobs],
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
        "SELECT * FROM complete_generations($1, $2, $3)",
        [item.job.account.id for item in items],
        [item.job.session_id for item in items],
        [item.result_key for item in items],
    )
    return [row["outcome"] for row in _in_order(rows)]


async def _fail_all(connection: Connection, items: Sequence[_Fail]) -> Sequence[_Failed]:
    rows = await connection.fetch(
        "SELECT * FROM fail_generations($1, $2, $3, $4, $5)",
        [item.job.account.id for item in items],
        [item.job.session_id for item in items],
        [item.failure.code.value for item in items],
        [item.failure.message for item in items],
        [item.failure.generator_message for item in items],
    )
    return [_Failed(row["credits"]) for row in _in_order(rows)]


def _in_order(rows: Sequence[Record]) -> list[Record]:
    return sorted(rows, key=lambda row: int(row["ord"]))
