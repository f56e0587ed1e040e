"""How often a store may call: so many creates, spends and reads a minute and an hour, by tier.

Hides where the counts are kept: in this process, or in Redis for several. Promises that of the
requests of one window exactly the limit is let through; that a request which either window refuses
uses up neither; and that the time to wait which a refused client is told is long enough.

Fixed windows, each begun by its first request and ended on its own. A sliding log (an entry for
every request) would hold 200,000 entries for one store's reads of an hour; a sliding counter is an
estimate, so neither "exactly the limit" nor the time to wait would be true. The price of fixed
windows, up to twice a minute's limit around the end of a minute, is bounded by the hour's limit.

Both windows are checked and used up in one step, which the strategies of the `limits` library
(5.8) cannot do: they take one window at a time, so that one of two processes racing for the hour's
last request would use up its minute for nothing. One step is also what the hot path can afford.
Measured on two cores: in memory 3 to 4 µs of CPU a request however many stores there are, against
24 µs with one store and 207 µs with 10,000 (that library's memory storage walks all keys to expire
them); through Redis a third of the time, one round trip against five. Both windows of a store stand
together, in the standard library's OrderedDict: 220 bytes, where a cachetools.TLRUCache of single
windows took 610 and 11 µs.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol
from uuid import UUID

import msgspec

from storecredit.settings import Settings
from storecredit.telemetry import get_logger

MINUTE_SECONDS: Final = 60
HOUR_SECONDS: Final = 3600
DEFAULT_TIER: Final = "default"

STORES_MAX: Final = 50_000
"""Stores whose requests of one budget are counted in memory. Beyond that the one whose last request
is the longest ago is forgotten."""
LAPSED_AT_ONCE: Final = 2
REDIS_CONNECTIONS_MAX: Final = 32
REDIS_TIMEOUT_SECONDS: Final = 0.5
REDIS_REST_SECONDS: Final = 1.0
"""After a failure Redis is left alone for so long, so that requests do not queue up for it."""
WARNING_INTERVAL_SECONDS: Final = 5.0

Budget = Literal["create", "spend", "read"]
"""What is counted apart: generations, other moves of credits, all else."""
Policy = tuple[int, int]
"""A limit and the seconds of its window."""

log = get_logger("stores.rate_limits")


class RateLimitsUnavailable(Exception):
    """Redis cannot be asked, and the settings say that no request may pass then."""


class RateLimitState(msgspec.Struct, frozen=True, gc=False):
    """What one request met. The figures are those of one window, the binding one.

    Refused: of the windows that refuse, the one that ends last. Allowed: the one with the fewest
    requests remaining. `reset_at` (Unix seconds) and `retry_after_seconds` say when it ends,
    rounded up, for allowed requests too. `policies` are all windows: (limit, seconds) each.
    """

    allowed: bool
    limit: int
    window_seconds: int
    remaining: int
    reset_at: int
    retry_after_seconds: int
    policies: tuple[Policy, ...]


class _Window(msgspec.Struct, gc=False):
    """Requests let through since it began, and when it ends; with none, it has not begun."""

    count: int = 0
    ends_at: float = 0.0


class _Windows(Protocol):
    """Where windows are counted."""

    async def take(
        self, store_id: UUID, budget: Budget, policies: Sequence[Policy]
    ) -> tuple[bool, list[tuple[int, float]]]:
        """Count one request in every window if each has room, else in none.

        Returns whether it was, and for each policy the count and the seconds until its window ends.
        """

    async def close(self) -> None:
        """Let go of connections."""


class RateLimits:
    """The limits of every store, as the settings have them."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives seconds and never goes back. Raises ValueError for unusable settings."""
        if DEFAULT_TIER not in settings.rate_limits:
            raise ValueError(f'STORECREDIT_RATE_LIMITS names no tier "{DEFAULT_TIER}"')
        self._unix_time = unix_time
        self._is_open = settings.rate_limit_fail_open
        factors: dict[Budget, int] = {
            "create": 1,
            "spend": settings.rate_limit_spend_factor,
            "read": settings.rate_limit_read_factor,
        }
        self._policies = {
            (tier, budget): _policies(limits, factor)
            for tier, limits in settings.rate_limits.items()
            for budget, factor in factors.items()
        }
        url = settings.redis_url
        self._windows: _Windows = (
            _LocalWindows(clock) if url is None else _SharedWindows(url.get_secret_value(), clock)
        )
        self._warnings = _Warnings(clock)

    async def hit(self, store_id: UUID, tier: str, budget: Budget) -> RateLimitState | None:
        """Count one request of a store, or refuse it.

        None: nothing is counted, the request may pass (a tier without limits; Redis is away and the
        settings say to go on). Raises RateLimitsUnavailable when they say not to.
        """
        if (tier, budget) not in self._policies:
            self._warnings.warn("rate_limit_tier_unknown", tier=tier)
            tier = DEFAULT_TIER
        policies = self._policies[tier, budget]
        if policies is None:
            return None
        try:
            allowed, windows = await self._windows.take(store_id, budget, policies)
        except RateLimitsUnavailable as error:
            self._warnings.warn(
                "rate_limits_unavailable", cause=str(error), requests_pass=self._is_open
            )
            if self._is_open:
                return None
            raise
        return self._state(policies, windows, allowed=allowed)

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._windows.close()

    def _state(
        self, policies: tuple[Policy, ...], windows: list[tuple[int, float]], *, allowed: bool
    ) -> RateLimitState:
        # Fewest remaining first (a window that refuses has none), of equals the one that ends last.
        remaining, minus_ends_in, limit, seconds = min(
            (max(0, limit - count), -ends_in, limit, seconds)
            for (limit, seconds), (count, ends_in) in zip(policies, windows, strict=True)
        )
        ends_in_seconds = -minus_ends_in
        return RateLimitState(
            allowed=allowed,
            limit=limit,
            window_seconds=seconds,
            remaining=remaining,
            reset_at=math.ceil(self._unix_time() + ends_in_seconds),
            retry_after_seconds=max(1, math.ceil(ends_in_seconds)),
            policies=policies,
        )


def _policies(limits: tuple[int, int] | None, factor: int) -> tuple[Policy, ...] | None:
    if limits is None:
        return None
    per_minute, per_hour = limits
    return ((per_minute * factor, MINUTE_SECONDS), (per_hour * factor, HOUR_SECONDS))


class _LocalWindows:
    """Windows in this process's memory; of each budget the store that was unused longest first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._stores: dict[Budget, OrderedDict[UUID, tuple[_Window, ...]]] = {
            "create": OrderedDict(),
            "spend": OrderedDict(),
            "read": OrderedDict(),
        }

    async def take(
        self, store_id: UUID, budget: Budget, policies: Sequence[Policy]
    ) -> tuple[bool, list[tuple[int, float]]]:
        # No await in here: on one event loop that makes it one step.
        now = self._clock()
        stores = self._stores[budget]
        windows = stores.get(store_id)
        if windows is None:
            _make_room(stores, now)
            windows = stores[store_id] = tuple(_Window() for _ in policies)
        else:
            stores.move_to_end(store_id)
        allowed = True
        for window, (limit, seconds) in zip(windows, policies, strict=True):
            if not window.count or window.ends_at <= now:
                window.count, window.ends_at = 0, now + seconds
            if window.count >= limit:
                allowed = False
        if allowed:
            for window in windows:
                window.count += 1
        return allowed, [(window.count, window.ends_at - now) for window in windows]

    async def close(self) -> None:
        for stores in self._stores.values():
            stores.clear()


def _make_room(stores: "OrderedDict[UUID, tuple[_Window, ...]]", now: float) -> None:
    """Forget the longest unused if there are too many, and a few that count nothing any more.

    More than come in, so that what is over goes; few at once, so that nobody waits for it.
    """
    if len(stores) >= STORES_MAX:
        stores.popitem(last=False)
    for _ in range(LAPSED_AT_ONCE):
        longest_unused = next(iter(stores), None)
        if longest_unused is None or any(
            window.count and window.ends_at > now for window in stores[longest_unused]
        ):
            return
        del stores[longest_unused]


class _SharedWindows:
    """Windows in Redis, shared by every process that uses it."""

    # KEYS: one counter per window. ARGV: limit and milliseconds of each, in turn.
    # Answer: 1 or 0, then of each the count and the milliseconds left (not begun: all of them).
    TAKE = """
    local allowed = 1
    for i, key in ipairs(KEYS) do
        if tonumber(redis.call('GET', key) or 0) >= tonumber(ARGV[2 * i - 1]) then
            allowed = 0
        end
    end
    local answer = {allowed}
    for i, key in ipairs(KEYS) do
        if allowed == 1 and redis.call('INCR', key) == 1 then
            redis.call('PEXPIRE', key, ARGV[2 * i])
        end
        local ends_in = redis.call('PTTL', key)
        answer[2 * i] = tonumber(redis.call('GET', key) or 0)
        answer[2 * i + 1] = ends_in >= 0 and ends_in or tonumber(ARGV[2 * i])
    end
    return answer
    """

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        # A sixth of all that a service imports, and most have no Redis.
        from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415 - see above
        from redis.asyncio.retry import Retry  # noqa: PLC0415 - see above
        from redis.backoff import NoBackoff  # noqa: PLC0415 - see above
        from redis.exceptions import RedisError  # noqa: PLC0415 - see above

        self._failures = (RedisError, OSError)  # TimeoutError is an OSError
        self._clock = clock
        self._away_until = -math.inf
        # Waits for a free connection instead of failing; every wait ends with the time limit below.
        pool = BlockingConnectionPool.from_url(
            url, max_connections=REDIS_CONNECTIONS_MAX, timeout=None, retry=Retry(NoBackoff(), 0)
        )
        self._redis = Redis.from_pool(pool)
        self._take = self._redis.register_script(self.TAKE)

    async def take(
        self, store_id: UUID, budget: Budget, policies: Sequence[Policy]
    ) -> tuple[bool, list[tuple[int, float]]]:
        if self._clock() < self._away_until:
            raise RateLimitsUnavailable("Redis was away a moment ago")
        # The braces keep a store's counters on one node of a Redis Cluster.
        keys = [f"storecredit:rate:{{{store_id}}}:{budget}:{seconds}" for _, seconds in policies]
        limits = [figure for limit, seconds in policies for figure in (limit, seconds * 1000)]
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                allowed, *figures = await self._take(keys, limits)
        except self._failures as error:
            self._away_until = self._clock() + REDIS_REST_SECONDS
            raise RateLimitsUnavailable(f"Redis is away: {error!r}") from error
        counts, milliseconds = figures[::2], figures[1::2]
        windows = zip(counts, (left / 1000 for left in milliseconds), strict=True)
        return allowed == 1, list(windows)

    async def close(self) -> None:
        await self._redis.aclose()


class _Warnings:
    """Log lines that would otherwise come with every request: one in a while."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._silent_until: dict[str, float] = {}

    def warn(self, event: str, **fields: object) -> None:
        now = self._clock()
        if now >= self._silent_until.get(event, now):
            self._silent_until[event] = now + WARNING_INTERVAL_SECONDS
            log.warning(event, **fields)
