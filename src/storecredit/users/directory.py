"""The end users as the operator sees them: found, blocked, let in again.

What is personal of a user is erased by `storecredit.generation.erasure`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from storecredit import telemetry
from storecredit.postgres.buckets import Buckets, fetched
from storecredit.postgres.servers import Record

log = telemetry.get_logger("users.directory")

UserStatus = Literal["active", "blocked", "erased"]
"""Who is erased is blocked, too, for ever."""


@dataclass(frozen=True, slots=True)
class User:
    """One end user. Its credits are the ledger's business."""

    user_id: UUID
    status: UserStatus
    created_at: datetime
    blocked_at: datetime | None
    erased_at: datetime | None


class Unblocking(StrEnum):
    """What letting a user in again came to."""

    UNBLOCKED = "unblocked"
    """Nothing blocks the user, now or before."""
    ERASED = "erased"
    """Who was erased stays blocked."""
    NOT_FOUND = "not_found"


class UserDirectory:
    """All end users of the database."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def get(self, user_id: UUID) -> User | None:
        """The user, or None where there is none of that id."""
        return next(iter(await self.several([user_id])), None)

    async def several(self, user_ids: Sequence[UUID]) -> tuple[User, ...]:
        """The users of these ids, in this order; one that there is not is left out."""
        rows = await fetched(
            self._buckets, "SELECT * FROM users WHERE user_id = ANY ($1)", user_ids
        )
        found = {row["user_id"]: _user(row) for row in rows}
        return tuple(found[user_id] for user_id in user_ids if user_id in found)

    async def block(self, user_id: UUID) -> bool:
        """Refuse all that the user asks for, within a second; False: there is no such user."""
        database = await self._buckets.of_user(user_id)
        blocked: bool = await database.fetchval("SELECT block_user($1)", user_id)
        if blocked:
            log.info("user_blocked", user_id=str(user_id))
        return blocked

    async def unblock(self, user_id: UUID) -> Unblocking:
        """Let the user in again, within a second."""
        database = await self._buckets.of_user(user_id)
        outcome = Unblocking(await database.fetchval("SELECT unblock_user($1)", user_id))
        if outcome is Unblocking.UNBLOCKED:
            log.info("user_unblocked", user_id=str(user_id))
        return outcome


def _user(row: Record) -> User:
    return User(
        user_id=row["user_id"],
        status=row["status"],
        created_at=row["created_at"],
        blocked_at=row["blocked_at"],
        erased_at=row["erased_at"],
    )
