"""Answers of the database, kept in memory for as long as they are sure to hold.

Hides the cache, its bounds and its races. Promises that an answer is never older than the
listener's lease allows: it is kept for a limited time, used only while the lease is fresh, dropped
when what it rests on is announced as changed, and not kept if that happened while it was under way.
Many who ask the same thing at once share one query. "There is none" is not kept, nor is an answer
that lasts no time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from cachetools import FIFOCache

from storecredit.postgres.listener import LEASE_SECONDS, Listener
from storecredit.postgres.pool import DatabaseUnavailable

CACHED_SECONDS_MAX: Final = 60.0
UNDER_WAY_MAX: Final = 1_000
QUERY_TIMEOUT_SECONDS: Final = 5.0

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Answer(Generic[V]):
    """What the database says, and how long by its own clock; None: until announced otherwise.

    0: it holds for those who asked, and is not kept.
    """

    value: V
    expires_in_seconds: float | None


@dataclass(frozen=True, slots=True)
class _Cached(Generic[V]):
    value: V
    usable_until: float


@dataclass(frozen=True, slots=True)
class _UnderWay(Generic[V]):
    task: asyncio.Task[V | None]
    begun_at: float


class Lookups(Generic[K, V]):
    """One kind of question to the database, asked by key."""

    def __init__(
        self,
        query: Callable[[K], Awaitable[Answer[V] | None]],
        listener: Listener,
        *,
        clock: Callable[[], float],
        cached_max: int,
    ) -> None:
        """`query` asks the database; `clock` gives seconds and never goes back."""
        self._query = query
        self._listener = listener
        self._clock = clock
        # First in, first out: the oldest answer would have been the first to lapse anyway.
        self._cached: FIFOCache[K, _Cached[V]] = FIFOCache(cached_max)
        self._under_way: dict[K, _UnderWay[V]] = {}
        self._announcements = 0

    async def get(self, key: K) -> V | None:
        """The database's answer for `key`, from memory where that is as good; None: there is none.

        Raises DatabaseUnavailable when the database cannot be asked.
        """
        cached = self.cached(key)
        if cached is not None:
            return cached
        under_way = self._under_way.get(key)
        # Whoever joins a query gets an answer as old as that query.
        if under_way is None or self._clock() - under_way.begun_at >= LEASE_SECONDS:
            under_way = self._begin(key)
        # The query is everyone's: one client that goes away must not take it from the others.
        return await asyncio.shield(under_way.task)

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

    def forget(self, is_affected: Callable[[V], bool]) -> None:
        """Drop the answers that `is_affected`, and keep none that is under way now."""
        self._announcements += 1
        affected = [key for key, cached in self._cached.items() if is_affected(cached.value)]
        for key in affected:
            del self._cached[key]

    def _begin(self, key: K) -> _UnderWay[V]:
        if len(self._under_way) >= UNDER_WAY_MAX:
            raise DatabaseUnavailable(f"{UNDER_WAY_MAX} look-ups wait for the database already")
        under_way = _UnderWay(asyncio.create_task(self._ask(key)), self._clock())
        self._under_way[key] = under_way

        def end(task: asyncio.Task[V | None]) -> None:
            if self._under_way.get(key) is under_way:
                del self._under_way[key]
            if not task.cancelled():
                task.exception()  # Seen: those who waited for it may all be gone.

        under_way.task.add_done_callback(end)
        return under_way

    async def _ask(self, key: K) -> V | None:
        announcements, asked_at = self._announcements, self._clock()
        try:
            async with asyncio.timeout(QUERY_TIMEOUT_SECONDS):
                answer = await self._query(key)
        except TimeoutError as error:
            raise DatabaseUnavailable("the database did not answer in time") from error
        if answer is None:
            self._cached.pop(key, None)
            return None
        remaining = answer.expires_in_seconds
        lasts_seconds = min(
            CACHED_SECONDS_MAX, CACHED_SECONDS_MAX if remaining is None else remaining
        )
        if lasts_seconds <= 0:
            self._cached.pop(key, None)
        elif announcements == self._announcements:
            self._cached[key] = _Cached(answer.value, asked_at + lasts_seconds)
        return answer.value
