"""Who waits for the end of a generation, and how they learn of it.

Hides the announcements (`announce_ends()` in sql/functions/sessions.sql) and the look-ups that
follow them. Promises that nobody who waits is overlooked: who begins to wait is on the list before
the session is read for the first time, an announcement that cannot have been heard makes everybody
on the list be looked up, and a look-up that fails is made again. However many wait, the database is
asked by one statement for many of them, and not at all for those of whom nothing is announced.
Each bucket is asked by itself: one that does not answer holds up those alone who live in it.
"""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final
from uuid import UUID

from storecredit import telemetry
from storecredit.generation.sessions import Session, Sessions
from storecredit.postgres.buckets import bucket_of
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.listener import EVERYTHING, Listener
from storecredit.postgres.pacing import backoff

log = telemetry.get_logger("generation.endings")

CHANNEL: Final = "storecredit_ends"
"""Where functions announce that sessions have ended: their ids, with commas between."""
WAIT_MAX_SECONDS: Final = 60
"""How long one answer may be waited for."""
LOOKED_UP_MAX: Final = 1000
"""Sessions in one statement."""
LOOK_MAX_SECONDS: Final = 3.0
"""A stop waits for two of them at most."""
AGAIN_FIRST_SECONDS: Final = 0.1
AGAIN_MAX_SECONDS: Final = 1.0


class Waiter:
    """One who waits for the end of one session.

    `found` is the session once it has ended, or as it is once a last look was asked for; None: the
    account has no such session. It raises what reading it raised, at the first look or the last.
    """

    __slots__ = ("account_id", "bucket", "found", "is_known", "is_last_look", "session_id")

    def __init__(self, account_id: int, session_id: UUID) -> None:
        self.account_id = account_id
        self.bucket = bucket_of(account_id)
        self.session_id = session_id
        self.found: asyncio.Future[Session | None] = asyncio.get_running_loop().create_future()
        self.is_known = False
        self.is_last_look = False

    def tell(self, session: Session | None, *, is_last: bool) -> None:
        """What a look found."""
        self.is_known = True
        if (session is None or session.has_ended or is_last) and not self.found.done():
            self.found.set_result(session)

    def fail(self, error: Exception) -> bool:
        """A look failed. Whether another is to be made."""
        if self.found.done():
            return False
        if self.is_known and not self.is_last_look:
            return True
        self.found.set_exception(error)
        return False


class Endings:
    """Those who wait in this process. `close()` ends all waits, and lets nobody wait any more."""

    def __init__(
        self,
        sessions: Sessions,
        listener: Listener,
        metrics: telemetry.Metrics,
        *,
        waiters_max: int,
    ) -> None:
        """`listener` listens on `CHANNEL`. Of more than `waiters_max` the last do not wait."""
        self._sessions = sessions
        self._metrics = metrics
        self._waiters_max = waiters_max
        self._waiters: dict[UUID, set[Waiter]] = {}
        self._count = 0
        self._to_look_up: dict[int, dict[Waiter, None]] = {}
        self._looking: dict[int, asyncio.Task[None]] = {}
        self._is_closed = False
        listener.subscribe(self._hear, CHANNEL)

    @property
    def waiters(self) -> int:
        """How many wait now."""
        return self._count

    @property
    def has_room(self) -> bool:
        """Whether one more may wait now."""
        return not self._is_closed and self._count < self._waiters_max

    async def wait(
        self,
        account_id: int,
        session_id: UUID,
        seconds: float,
        *,
        unless: "asyncio.Future[None] | None" = None,
    ) -> Session | None:
        """The session once it has ended, or as it is when `seconds` are over.

        Or sooner: where `unless` is done, the service stops, or too many wait. None: the account
        has no such session, which is known at once. Raises DatabaseUnavailable.
        """
        waiter = self.join(account_id, session_id)

        def is_over(*_: object) -> None:
            self.look_a_last_time(waiter)

        timer = asyncio.get_running_loop().call_later(seconds, is_over)
        if unless is not None:
            unless.add_done_callback(is_over)
        try:
            return await waiter.found
        finally:
            timer.cancel()
            if unless is not None:
                unless.remove_done_callback(is_over)
            self.leave(waiter)

    def join(self, account_id: int, session_id: UUID) -> Waiter:
        """Somebody on the list from now on, and looked up; to be followed by `leave`."""
        waiter = Waiter(account_id, session_id)
        waiter.is_last_look = not self.has_room
        self._waiters.setdefault(session_id, set()).add(waiter)
        self._count += 1
        self._metrics.waiting.set(self._count)
        self._look_up([waiter])
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Take one who joined off the list."""
        waiter.found.cancel()
        self._to_look_up.get(waiter.bucket, {}).pop(waiter, None)
        self._count -= 1
        self._metrics.waiting.set(self._count)
        of_session = self._waiters[waiter.session_id]
        of_session.discard(waiter)
        if not of_session:
            del self._waiters[waiter.session_id]

    def look_a_last_time(self, waiter: Waiter) -> None:
        """Have `waiter.found` be the session as it is now."""
        waiter.is_last_look = True
        self._look_up([waiter])

    def close(self) -> None:
        """Tell all who wait what there is now. Returns at once; they are told a moment later."""
        self._is_closed = True
        for waiter in self._everybody():
            self.look_a_last_time(waiter)

    def _everybody(self) -> list[Waiter]:
        return [waiter for of_session in self._waiters.values() for waiter in of_session]

    def _hear(self, payload: str) -> None:
        if not self._waiters:
            return
        if payload == EVERYTHING:
            self._look_up(self._everybody())
            return
        for text in payload.split(","):
            try:
                session_id = UUID(text)
            except ValueError:
                # What another version has to say: it may be about anybody.
                self._look_up(self._everybody())
                return
            self._look_up(self._waiters.get(session_id, ()))

    def _look_up(self, waiters: Iterable[Waiter]) -> None:
        for waiter in waiters:
            bucket = waiter.bucket
            self._to_look_up.setdefault(bucket, {})[waiter] = None
            if bucket not in self._looking:
                looking = asyncio.create_task(self._look(bucket), name="endings")
                self._looking[bucket] = looking

    async def _look(self, bucket: int) -> None:
        failures = 0
        try:
            while waiting := self._to_look_up[bucket]:
                batch = list(islice(waiting, LOOKED_UP_MAX))
                for waiter in batch:
                    del waiting[waiter]
                failures = 0 if await self._look_at(bucket, batch) else failures + 1
                if failures:
                    await asyncio.sleep(backoff(AGAIN_FIRST_SECONDS, failures, AGAIN_MAX_SECONDS))
        finally:
            del self._looking[bucket], self._to_look_up[bucket]

    async def _look_at(self, bucket: int, waiters: Sequence[Waiter]) -> bool:
        """Read the sessions of these, once. Who asks for a last look meanwhile is looked up again.

        False: they could not be read.
        """
        last = {waiter for waiter in waiters if waiter.is_last_look}
        try:
            async with asyncio.timeout(LOOK_MAX_SECONDS):
                found = await self._sessions.get_many(
                    list({(waiter.account_id, waiter.session_id) for waiter in waiters})
                )
        except Exception as error:  # noqa: BLE001 - it is the answer of who waits no longer
            if isinstance(error, TimeoutError):
                error = DatabaseUnavailable("the database did not answer in time")
            log.warning("endings_not_read", waiters=len(waiters), error=str(error))
            # Nor could those be read that are next: nobody waits for one failure after the other.
            affected = dict.fromkeys(waiters) | self._to_look_up[bucket]
            self._to_look_up[bucket] = {each: None for each in affected if each.fail(error)}
            return False
        for waiter in waiters:
            session = found.get((waiter.account_id, waiter.session_id))
            waiter.tell(session, is_last=waiter in last)
        return True
