"""Answers of the database, kept in memory for as long as they are sure to hold.

Hides the cache, its bounds and its races. Promises that an answer is never older than the
listener's lease allows: it is kept for a limited time, used only while the lease is fresh, dropped
when what it rests on is announced as changed, and not kept if that happened while it was under way.
"There is none" is not kept, nor is an answer that lasts no time.

Questions that come while others are under way wait and go together, as one statement: a service
with more callers than memory holds asks the database once for many. Nobody waits for more than one
statement before his own, nor longer than the lease for one that does not come back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from itertools import islice
from typing import Final, Generic, TypeVar

import msgspec

from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.listener import LEASE_SECONDS, Listener

CACHED_SECONDS_MAX: Final = 60.0
CALLERS_MAX: Final = 5_000
"""Who may wait for an answer at once."""
ASKED_AT_ONCE_MAX: Final = 256
QUERY_TIMEOUT_SECONDS: Final = 5.0
DROPPED_SHARE: Final = 512
"""Of a full cache one entry in so many is dropped at once, the oldest: to find them in a dict is to
walk past the places of all that were there before."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_Batch = dict[K, list[asyncio.Future[V | None]]]
"""Who asks what."""


class Answer(msgspec.Struct, Generic[V], frozen=True, gc=False):
    """What the database says, and how long by its own clock; None: until announced otherwise.

    0: it holds for those who asked, and is not kept.
    """

    value: V
    expires_in_seconds: float | None


class _Cached(msgspec.Struct, Generic[V], frozen=True, gc=False):
    value: V
    usable_until: float


class Lookups(Generic[K, V]):
    """One kind of question to the database, asked by key."""

    def __init__(
        self,
        query: Callable[[Sequence[K]], Awaitable[Mapping[K, Answer[V]]]],
        listener: Listener,
        *,
        clock: Callable[[], float],
        cached_max: int,
        subject_of: Callable[[V], Hashable] | None = None,
    ) -> None:
        """`query` asks the database for many keys at once, and leaves out those without an answer.

        `clock` gives seconds and never goes back. `subject_of` says of an answer what it rests on,
        which is what `forget` is told; None: it may rest on anything.
        """
        self._query = query
        self._listener = listener
        self._clock = clock
        self._cached_max = cached_max
        self._subject_of = subject_of
        # First in, first out: the oldest answer would have been the first to lapse anyway.
        self._cached: dict[K, _Cached[V]] = {}
        self._keys_of: dict[Hashable, tuple[K, ...]] = {}
        self._waiting: _Batch[K, V] = {}
        self._callers = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._asked_at = 0.0
        self._announcements = 0

    async def get(self, key: K) -> V | None:
        """The database's answer for `key`, from memory where that is as good; None: there is none.

        Raises DatabaseUnavailable when the database cannot be asked.
        """
        cached = self.cached(key)
        if cached is not None:
            return cached
        if self._callers >= CALLERS_MAX:
            raise DatabaseUnavailable(f"{CALLERS_MAX} callers wait for the database already")
        # A future for each: one client that goes away must not take the answer from the others.
        answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(answer)
        if not self._under_way or self._clock() - self._asked_at >= LEASE_SECONDS:
            self._begin()
        self._callers += 1
        try:
            return await answer
        finally:
            self._callers -= 1

    def cached(self, key: K) -> V | None:
        """The answer for `key` if memory is as good as the database now; None: ask."""
        cached = self._cached.get(key)
        if cached is not None and self._clock() < cached.usable_until and self._listener.is_fresh():
            return cached.value
        return None

    def remembered(self, key: K) -> V | None:
        """The last answer for `key` that is still in memory, whether it holds or not; None: none.

        Decides nothing: by now the database may say something else.
        """
        cached = self._cached.get(key)
        return None if cached is None else cached.value

    def forget(self, subject: Hashable) -> None:
        """Drop the answers that rest on `subject`, and keep none that is under way now."""
        self._announcements += 1
        for key in self._keys_of.pop(subject, ()):
            del self._cached[key]

    def forget_all(self) -> None:
        """Drop all answers, and keep none that is under way now."""
        self._announcements += 1
        self._cached, self._keys_of = {}, {}

    def _begin(self) -> None:
        self._asked_at = self._clock()
        asking = asyncio.create_task(self._ask())
        self._under_way.add(asking)
        asking.add_done_callback(self._end)

    def _end(self, asked: "asyncio.Task[None]") -> None:
        self._under_way.discard(asked)
        if self._waiting and not asked.cancelled():
            self._begin()

    async def _ask(self) -> None:
        """Every caller of the next batch has its answer, or why there is none, at the end."""
        batch = self._next_batch()
        if not batch:
            return  # Another one, begun in the same turn, has them.
        announcements, asked_at = self._announcements, self._clock()
        try:
            async with asyncio.timeout(QUERY_TIMEOUT_SECONDS):
                answers = await self._query(list(batch))
        except TimeoutError:
            _fail(batch, DatabaseUnavailable("the database did not answer in time"))
        except Exception as error:  # noqa: BLE001 - it becomes the answer of all who asked
            _fail(batch, error)
        else:
            is_unchanged = announcements == self._announcements
            latest = asked_at + CACHED_SECONDS_MAX
            for key, callers in batch.items():
                answer = answers.get(key)
                self._drop(key)
                if answer is not None and is_unchanged:
                    self._keep(key, answer, asked_at, latest)
                for caller in callers:
                    if not caller.done():
                        caller.set_result(None if answer is None else answer.value)

    def _next_batch(self) -> _Batch[K, V]:
        """The keys that wait, or as many of them as one statement may have, and who asked."""
        if len(self._waiting) <= ASKED_AT_ONCE_MAX:
            batch, self._waiting = self._waiting, {}
            return batch
        first = list(islice(self._waiting, ASKED_AT_ONCE_MAX))
        return {key: self._waiting.pop(key) for key in first}

    def _keep(self, key: K, answer: Answer[V], asked_at: float, latest: float) -> None:
        """Keep an answer until it expires, or the time is up that answers may be kept."""
        remaining = answer.expires_in_seconds
        # Most do not expire: one number, shared by all of a batch, and not one for each.
        usable_until = latest if remaining is None else min(latest, asked_at + remaining)
        if usable_until <= asked_at:
            return
        if len(self._cached) >= self._cached_max:
            for oldest in list(islice(self._cached, 1 + self._cached_max // DROPPED_SHARE)):
                self._drop(oldest)
        self._cached[key] = _Cached(answer.value, usable_until)
        if self._subject_of is not None:
            subject = self._subject_of(answer.value)
            self._keys_of[subject] = (*self._keys_of.get(subject, ()), key)

    def _drop(self, key: K) -> None:
        cached = self._cached.pop(key, None)
        if cached is None or self._subject_of is None:
            return
        subject = self._subject_of(cached.value)
        keys = self._keys_of.pop(subject)
        if len(keys) > 1:
            self._keys_of[subject] = tuple(each for each in keys if each != key)


def _fail(batch: _Batch[K, V], error: Exception) -> None:
    for callers in batch.values():
        for caller in callers:
            if not caller.done():
                caller.set_exception(error)
