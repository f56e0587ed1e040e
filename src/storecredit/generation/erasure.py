"""What is personal of an end user, erased: in the database at once, results as soon as may be.

Hides what that is and where it is; docs/b2c.md tells people. Promises that the ledger stays as
it is and adds up, that generations under way are ended and given back, that whoever dies meanwhile
leaves the rest to the sweep, and that what a call writes which was under way is removed, too.
"""

from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from storecredit import telemetry
from storecredit.generation.results.store import ResultStore
from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.buckets import Buckets, fetched
from storecredit.settings import Settings

log = telemetry.get_logger("generation.erasure")


class Erasing(StrEnum):
    """What erasing a user came to."""

    ERASED = "erased"
    ALREADY_ERASED = "already_erased"
    """Before; what might be left is looked for again."""
    NOT_FOUND = "not_found"


class Erasure:
    """Erases users."""

    def __init__(self, buckets: Buckets, results: ResultStore, settings: Settings) -> None:
        self._buckets = buckets
        self._results = results
        # Until then an attempt or a request may be under way that began before.
        self._late = timedelta(seconds=settings.generation_deadline_seconds)

    async def erase(self, user_id: UUID) -> Erasing:
        """Erase what the database has of a user, and block the user.

        Results are deleted by `settle`, which the sweep calls, too. Raises StatementRefused
        where the ledger is damaged, DatabaseUnavailable.
        """
        database = await self._buckets.of_user(user_id)
        outcome = Erasing(await database.fetchval("SELECT erase_user($1)", user_id))
        if outcome is Erasing.ERASED:
            log.info("user_erased", user_id=str(user_id))
        return outcome

    async def settle(self, user_id: UUID) -> None:
        """Delete an erased user's results, and look for what else is left.

        Raises OSError if the disk or the bucket fails, DatabaseUnavailable; both leave it to the
        next time.
        """
        database = await self._buckets.of_user(user_id)
        account_id = await database.fetchval("SELECT account_of($1, $2)", OwnerKind.USER, user_id)
        kept = await self._results.sessions_of(user_id)
        # A store of the same id has its results below the same name.
        rows = await database.fetch(
            """SELECT session_id, result_key FROM sessions
               WHERE account_id = $1 AND (session_id = ANY ($2) OR result_key IS NOT NULL)""",
            account_id,
            list(kept),
        )
        await self._results.delete_sessions(user_id, {row["session_id"] for row in rows})
        for row in rows:
            if row["result_key"] is not None:
                await database.fetchval(
                    "SELECT forget_result($1, $2)", account_id, row["session_id"]
                )
        await database.fetchval("SELECT settle_erasure($1, $2)", user_id, self._late)

    async def due(self, limit: int) -> list[UUID]:
        """Erased users of whom something may be left, at most so many, the first due first."""
        rows = await fetched(
            self._buckets,
            "SELECT user_id, erasure_due_at FROM users WHERE erasure_due_at <= now()"
            " ORDER BY erasure_due_at LIMIT $1",
            limit,
        )
        rows.sort(key=lambda row: row["erasure_due_at"])
        return [row["user_id"] for row in rows[:limit]]
