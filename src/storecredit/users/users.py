"""The end users: made, with their starter credits, when they first come.

Hides which ids are known to have an account. Promises that a user has its starter credits exactly
once however many calls, objects and processes race for the first, also when they were withheld
while the user was anonymous, and that a user is taken for known only after the database has said
so: this database, since one that took over may not have had the user, and may give the number of
its account to another. That a user is blocked, or no longer, holds within a second on every process
(`storecredit.postgres.listener`).
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from cachetools import LRUCache

from storecredit import telemetry
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.listener import Listener

log = telemetry.get_logger("users")

KNOWN_MAX: Final = 20_000
"""Ids remembered: a few megabytes. Who was forgotten costs one more call, no more."""


class UserBlocked(Exception):
    """The operator has blocked the user, or erased what there was of it."""


@dataclass(frozen=True, slots=True)
class _Known:
    """`is_settled`: the starter credits were given, or there are none; else withheld so far."""

    account_id: int
    is_settled: bool
    is_blocked: bool


class Users:
    """All end users of the database."""

    def __init__(
        self,
        buckets: Buckets,
        starter_credits: int,
        *,
        anonymous_too: bool = True,
        known_max: int = KNOWN_MAX,
        listener: Listener | None = None,
    ) -> None:
        """`starter_credits` are what a new user is given; 0: nothing.

        `anonymous_too` False: who is anonymous is given them later, once that is over. `listener`
        knows whether the database is still the one that was asked; None: it never changes.
        """
        self._buckets = buckets
        self._starter_credits = starter_credits
        self._anonymous_too = anonymous_too
        self._known: LRUCache[UUID, _Known] = LRUCache(known_max)
        self._listener = listener
        self._announcements = 0
        if listener is not None:
            listener.subscribe(self._hear)

    async def ensure(self, user_id: UUID, *, is_anonymous: bool = False) -> int:
        """Make the account if there is none yet, and give what was withheld and no longer is.

        Returns the account's id. Nobody's account is ever deleted: who is known costs nothing.
        Raises UserBlocked, DatabaseUnavailable.
        """
        withhold = is_anonymous and not self._anonymous_too
        known = self._known.get(user_id) if self._is_sure() else None
        if known is None or not (known.is_settled or withhold):
            known = await self._ask(user_id, withhold=withhold)
        if known.is_blocked:
            raise UserBlocked(str(user_id))
        return known.account_id

    async def _ask(self, user_id: UUID, *, withhold: bool) -> _Known:
        announcements = self._announcements
        database = await self._buckets.of_new_user(user_id)
        row = await database.fetchrow(
            "SELECT * FROM ensure_user($1, $2, $3)", user_id, self._starter_credits, withhold
        )
        if row is None:
            raise AssertionError("making a user has one answer")
        outcome, account_id = row
        is_blocked = outcome == "blocked"
        # Who is blocked is let in again by an announcement alone, whatever may be withheld still.
        known = _Known(account_id, is_settled=is_blocked or not withhold, is_blocked=is_blocked)
        if announcements == self._announcements:
            self._known[user_id] = known
        credits = 0 if withhold else self._starter_credits
        match outcome:
            case "made":
                log.info("user_made", user_id=str(user_id), starter_credits=credits)
            case "given":
                log.info("starter_credits_given", user_id=str(user_id), starter_credits=credits)
            case "there" | "blocked":
                pass
            case _:
                raise AssertionError(f"ensure_user has no outcome {outcome!r}")
        return known

    def _is_sure(self) -> bool:
        return self._listener is None or self._listener.is_fresh()

    def _hear(self, payload: str) -> None:
        self._announcements += 1
        try:
            self._known.pop(UUID(payload), None)
        except ValueError:
            # EVERYTHING, or what another version has to say: it may be about anybody.
            self._known.clear()
