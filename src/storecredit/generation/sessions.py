"""Generation sessions, as a store reads them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from storecredit.postgres.pool import Database, Record

PAGE_MAX: Final = 100
_COLUMNS: Final = (
    "session_id, status, request_id, result_key, error_code, error_message, metadata,"
    " attempts, created_at, started_at, completed_at"
)


class SessionStatus(StrEnum):
    """queued -> processing -> completed | failed; the last two are final."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class ErrorCode(StrEnum):
    """Why a session failed; its credit was given back."""

    MODERATION_BLOCKED = "MODERATION_BLOCKED"
    GENERATION_FAILED = "GENERATION_FAILED"


@dataclass(frozen=True, slots=True)
class Session:
    """One generation of a store. A failed one was refunded in the same statement."""

    session_id: UUID
    status: SessionStatus
    request_id: str
    result_key: str | None
    error_code: ErrorCode | None
    error_message: str | None
    metadata: dict[str, str] | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Sessions, newest first; `next_before` continues the list, None at its end."""

    items: tuple[Session, ...]
    next_before: UUID | None


class Sessions:
    """Reads the sessions of one store at a time; another store's are as absent as unknown ones."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, store_id: UUID, session_id: UUID) -> Session | None:
        """One session of this store, or None."""
        row = await self._database.fetchrow(
            f"SELECT {_COLUMNS} FROM store_generation_sessions"  # noqa: S608 - a constant
            " WHERE store_id = $1 AND session_id = $2",
            store_id,
            session_id,
        )
        return None if row is None else _session(row)

    async def list(
        self,
        store_id: UUID,
        *,
        status: SessionStatus | None,
        limit: int,
        before: UUID | None = None,
    ) -> SessionPage:
        """This store's sessions, newest first (their ids are in order of time)."""
        limit = min(limit, PAGE_MAX)
        # One statement per status, so that each can use the partial index made for it.
        wanted = f"AND status = '{status.value}'" if status else ""
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM store_generation_sessions"  # noqa: S608 - constants
            f" WHERE store_id = $1 AND session_id < $2 {wanted}"
            " ORDER BY session_id DESC LIMIT $3",
            store_id,
            before or UUID(int=2**128 - 1),
            limit + 1,
        )
        items = tuple(_session(row) for row in rows[:limit])
        return SessionPage(items, items[-1].session_id if len(rows) > limit else None)


def _session(row: Record) -> Session:
    metadata = row["metadata"]
    return Session(
        session_id=row["session_id"],
        status=SessionStatus(row["status"]),
        request_id=row["request_id"],
        result_key=row["result_key"],
        error_code=ErrorCode(row["error_code"]) if row["error_code"] else None,
        error_message=row["error_message"],
        metadata=None if metadata is None else msgspec.json.decode(metadata, type=dict[str, str]),
        attempts=row["attempts"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
    )
