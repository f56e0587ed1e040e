"""Generation sessions, as the store or the end user reads them that they belong to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, assert_never
from uuid import UUID

import msgspec

from storecredit.postgres.buckets import Buckets
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

PAGE_MAX: Final = 100
OFFSET_MAX: Final = 2**63 - 1
"""What PostgreSQL can count to: nobody has that many sessions."""
_COLUMNS: Final = (
    "session_id, status, request_id, result_key, error_code, error_message, generator_message,"
    " metadata, attempts, credits, created_at, started_at, completed_at"
)

# A request's session is the one its credits were taken for: the ledger has one such movement, which
# its key finds.
_OF_REQUEST: Final = """AND account_id = $1 AND session_id = (
    SELECT m.session_id FROM movements m
    WHERE m.account_id = $1 AND m.request_id = $4 AND movement_role(m.type) = 'charge'
    ORDER BY m.type LIMIT 1)
"""


FAILURE_TEXT_MAX: Final = 500
"""Characters of what is said about a failure, to the store and to the operator."""


class SessionStatus(StrEnum):
    """queued -> processing -> completed | failed; the last two are final."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class FailureCode(StrEnum):
    """Why a session failed; its credits were given back.

    MODERATION_BLOCKED: moderation refuses the prompt, the images or what came of them.
    IMAGE_UNREACHABLE: an input image could not be fetched.
    IMAGE_UNREADABLE: an input image is here, and is none that can be used.
    GENERATOR_REJECTED: the generator refuses the request.
    GENERATOR_QUOTA_EXCEEDED: the generator's account has no quota or money left.
    GENERATOR_UNAVAILABLE: the generator was away or busy until the last attempt.
    GENERATOR_TIMEOUT: the generator took too long at the last attempt.
    GENERATION_FAILED: anything else.
    """

    MODERATION_BLOCKED = "MODERATION_BLOCKED"
    IMAGE_UNREACHABLE = "IMAGE_UNREACHABLE"
    IMAGE_UNREADABLE = "IMAGE_UNREADABLE"
    GENERATOR_REJECTED = "GENERATOR_REJECTED"
    GENERATOR_QUOTA_EXCEEDED = "GENERATOR_QUOTA_EXCEEDED"
    GENERATOR_UNAVAILABLE = "GENERATOR_UNAVAILABLE"
    GENERATOR_TIMEOUT = "GENERATOR_TIMEOUT"
    GENERATION_FAILED = "GENERATION_FAILED"


def printable(text: str, characters_max: int) -> str:
    """The text as it can be stored and shown, cut: one line, nothing in it that does not print.

    PostgreSQL stores no NUL, and UTF-8 has no form for half a surrogate pair.
    """
    spaced = "".join(" " if character.isspace() else character for character in text)
    shown = "".join(character for character in spaced if character.isprintable())
    return " ".join(shown.split())[:characters_max]


class Failure(msgspec.Struct, frozen=True):
    """Why a session fails: for the store, and in the generator's own words for the operator."""

    code: FailureCode
    message: str
    generator_message: str | None = None

    def storable(self) -> "Failure":
        """The same, its texts as they can be stored."""
        said = self.generator_message
        return Failure(
            self.code,
            printable(self.message, FAILURE_TEXT_MAX),
            None if said is None else printable(said, FAILURE_TEXT_MAX),
        )


@dataclass(frozen=True, slots=True)
class Session:
    """One generation. `credits` were taken for it; once it failed they were given back.

    `generator_message` is for the operator alone.
    """

    session_id: UUID
    status: SessionStatus
    request_id: str
    result_key: str | None
    error_code: FailureCode | None
    error_message: str | None
    generator_message: str | None
    metadata: dict[str, str] | None
    attempts: int
    credits: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None

    @property
    def has_ended(self) -> bool:
        """Whether its status is final."""
        return self.status in {SessionStatus.COMPLETED, SessionStatus.FAILED}

    @property
    def credits_refunded(self) -> int:
        """What was given back: a session that fails is refunded in the same statement."""
        return self.credits if self.status is SessionStatus.FAILED else 0


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Sessions, newest first; `next_before` continues the list, None at its end."""

    items: tuple[Session, ...]
    next_before: UUID | None


@dataclass(frozen=True, slots=True)
class Stats:
    """How many sessions an account has, or had; `active` are those that have not ended."""

    total: int
    completed: int
    active: int
    failed: int


class Sessions:
    """Reads the sessions of one account at a time; another's are as absent as unknown ones."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def get(self, account_id: int, session_id: UUID) -> Session | None:
        """One session of this account, or None."""
        row = await self._buckets.of_account(account_id).fetchrow(
            f"SELECT {_COLUMNS} FROM sessions WHERE account_id = $1 AND session_id = $2",  # noqa: S608 - constants
            account_id,
            session_id,
        )
        return None if row is None else _session(row)

    async def get_many(self, wanted: Sequence[tuple[int, UUID]]) -> dict[tuple[int, UUID], Session]:
        """Sessions of any accounts, by account and session; one that there is not is left out."""

        async def found(database: Database) -> Sequence[Record]:
            here = [each for each in wanted if self._buckets.of_account(each[0]) is database]
            return await _of_many(database, here) if here else ()

        rows = [row for rows in await self._buckets.each(found) for row in rows]
        return {(row["account_id"], row["session_id"]): _session(row) for row in rows}

    async def list(
        self,
        account_id: int,
        *,
        status: SessionStatus | None,
        limit: int,
        before: UUID | None = None,
        request_id: str | None = None,
    ) -> SessionPage:
        """This account's sessions, newest first (their ids are in order of time).

        `request_id`: only the session that this request made, if it made one.
        """
        limit = min(limit, PAGE_MAX)
        wanted, args = _of_status(status), []
        if request_id is not None:
            wanted, args = f"{wanted} {_OF_REQUEST}", [request_id]
        rows = await self._buckets.of_account(account_id).fetch(
            f"SELECT {_COLUMNS} FROM sessions WHERE {wanted} AND session_id < $2"  # noqa: S608 - constants
            " ORDER BY session_id DESC LIMIT $3",
            account_id,
            before or UUID(int=2**128 - 1),
            limit + 1,
            *args,
        )
        items = tuple(_session(row) for row in rows[:limit])
        return SessionPage(items, items[-1].session_id if len(rows) > limit else None)

    async def history(
        self, account_id: int, *, status: SessionStatus | None, limit: int, offset: int
    ) -> tuple[Session, ...]:
        """This account's sessions, newest first, from the `offset`-th on."""
        rows = await self._buckets.of_account(account_id).fetch(
            f"SELECT {_COLUMNS} FROM sessions WHERE {_of_status(status)}"  # noqa: S608 - constants
            " ORDER BY session_id DESC LIMIT $2 OFFSET $3",
            account_id,
            min(limit, PAGE_MAX),
            min(offset, OFFSET_MAX),
        )
        return tuple(_session(row) for row in rows)

    async def stats(self, account_id: int) -> Stats:
        """How many sessions this account has, by what became of them; archived ones with them."""
        row = await self._buckets.of_account(account_id).fetchrow(
            """SELECT s.total + a.total AS total, s.completed + a.total - a.failed AS completed,
                   s.active, s.failed + a.failed AS failed
               FROM (SELECT count(*) AS total,
                         count(*) FILTER (WHERE status = 'completed') AS completed,
                         count(*) FILTER (WHERE status IN ('queued', 'processing')) AS active,
                         count(*) FILTER (WHERE status = 'failed') AS failed
                     FROM sessions WHERE account_id = $1) s,
                    (SELECT coalesce(sum(sessions), 0)::bigint AS total,
                         coalesce(sum(failed), 0)::bigint AS failed
                     FROM archived_sessions WHERE account_id = $1) a""",
            account_id,
        )
        if row is None:
            raise AssertionError("an aggregate without GROUP BY has one row")
        return Stats(row["total"], row["completed"], row["active"], row["failed"])


async def _of_many(database: Database, wanted: Sequence[tuple[int, UUID]]) -> Sequence[Record]:
    # Looked up one by one, whatever the planner knows of the table.
    return await database.fetch(
        f"""SELECT w.account_id, s.* FROM unnest($1::bigint[], $2::uuid[]) AS w (account_id, id)
            CROSS JOIN LATERAL (
                SELECT {_COLUMNS} FROM sessions
                WHERE account_id = w.account_id AND session_id = w.id LIMIT 1) s""",  # noqa: S608 - constants
        [account_id for account_id, _ in wanted],
        [session_id for _, session_id in wanted],
    )


def _of_status(status: SessionStatus | None) -> str:
    """The account's sessions of this status, in the words of the one index made for them."""
    match status:
        case None:
            return "account_id = $1"
        case SessionStatus.QUEUED | SessionStatus.PROCESSING:
            return f"account_id + 0 = $1 AND status = '{status.value}' AND completed_at IS NULL"
        case SessionStatus.FAILED:
            return "account_id + 0 = $1 AND error_code IS NOT NULL"
        case SessionStatus.COMPLETED:
            return "account_id = $1 AND status = 'completed'"
        case _:
            assert_never(status)


def _session(row: Record) -> Session:
    metadata = row["metadata"]
    return Session(
        session_id=row["session_id"],
        status=SessionStatus(row["status"]),
        request_id=row["request_id"],
        result_key=row["result_key"],
        error_code=FailureCode(row["error_code"]) if row["error_code"] else None,
        error_message=row["error_message"],
        generator_message=row["generator_message"],
        metadata=None if metadata is None else msgspec.json.decode(metadata, type=dict[str, str]),
        attempts=row["attempts"],
        credits=row["credits"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
    )
