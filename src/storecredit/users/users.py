"""The end users: made, with their starter credits, when they first come.

Hides which ids are known to have an account. Promises that a user has its starter credits exactly
once however many calls, objects and processes race for the first, and that a user is taken for
known only after the database has said so.
"""

from typing import Final
from uuid import UUID

from cachetools import LRUCache

from storecredit import telemetry
from storecredit.postgres.pool import Database

log = telemetry.get_logger("users")

KNOWN_MAX: Final = 20_000
"""Ids remembered: a few megabytes. Who was forgotten costs one more call, no more."""


class Users:
    """All end users of the database."""

    def __init__(
        self, database: Database, starter_credits: int, *, known_max: int = KNOWN_MAX
    ) -> None:
        """`starter_credits` are what a new user is given; 0: nothing."""
        self._database = database
        self._starter_credits = starter_credits
        self._known: LRUCache[UUID, bool] = LRUCache(known_max)

    async def ensure(self, user_id: UUID) -> None:
        """Make the account if there is none yet. Raises DatabaseUnavailable.

        Nobody's account is ever deleted: who is known stays so, and costs nothing.
        """
        if self._known.get(user_id):
            return
        made = await self._database.fetchval(
            "SELECT ensure_user($1, $2)", user_id, self._starter_credits
        )
        self._known[user_id] = True
        if made:
            log.info("user_made", user_id=str(user_id), starter_credits=self._starter_credits)
