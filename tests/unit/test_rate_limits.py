"""Rate limits: exactly as many as allowed, in memory and in a real Redis, and Redis away."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from storecredit.settings import Settings
from storecredit.stores import rate_limits
from storecredit.stores.rate_limits import Budget, RateLimits, RateLimitState, RateLimitsUnavailable
from tests.free_ports import free_port

STORE, OTHER_STORE = UUID(int=1), UUID(int=2)
UNIX_NOW = 1_700_000_000.25
TIERS: dict[str, tuple[int, int] | None] = {
    "default": (5, 12),
    "starter": (10, 100),
    "unlimited": None,
}

MakeLimits = Callable[..., RateLimits]


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def local_limits(clock: Clock, **settings: object) -> RateLimits:
    return RateLimits(
        Settings.model_validate({"rate_limits": TIERS, **settings}),
        clock=clock,
        unix_time=lambda: UNIX_NOW + clock.now - 1000.0,
    )


async def hits(limits: RateLimits, count: int, budget: Budget = "create") -> list[RateLimitState]:
    states = []
    for _ in range(count):
        state = await limits.hit(STORE, "default", budget)
        assert state is not None
        states.append(state)
    return states


async def test_exactly_the_limit_is_let_through_in_a_minute(clock: Clock) -> None:
    states = await hits(local_limits(clock), 8)
    assert [state.allowed for state in states] == [True] * 5 + [False] * 3
    assert [state.remaining for state in states] == [4, 3, 2, 1, 0, 0, 0, 0]
    assert {(state.limit, state.window_seconds) for state in states} == {(5, 60)}
    assert {state.policies for state in states} == {((5, 60), (12, 3600))}


async def test_a_window_begins_with_its_first_request_and_ends_on_its_own(clock: Clock) -> None:
    limits = local_limits(clock)
    await hits(limits, 1)
    clock.now += 59.5
    allowed, *_, refused = await hits(limits, 5)
    assert (allowed.allowed, allowed.retry_after_seconds) == (True, 1)
    assert (refused.allowed, refused.retry_after_seconds) == (False, 1)
    clock.now += 0.5
    assert [state.allowed for state in await hits(limits, 6)] == [True] * 5 + [False]


async def test_whoever_waits_as_long_as_told_is_let_through(clock: Clock) -> None:
    limits = local_limits(clock)
    await hits(limits, 5)
    clock.now += 17.3
    [refused] = await hits(limits, 1)
    assert (refused.allowed, refused.retry_after_seconds) == (False, 43)
    # 1700000000.25 + 60, rounded up.
    assert refused.reset_at == 1_700_000_061
    clock.now += refused.retry_after_seconds
    assert (await hits(limits, 1))[0].allowed


async def test_the_hour_refuses_when_its_limit_is_reached(clock: Clock) -> None:
    limits = local_limits(clock)
    let_through = 0
    for _ in range(4):
        let_through += sum(state.allowed for state in await hits(limits, 5))
        clock.now += 60
    assert let_through == 12
    [refused] = await hits(limits, 1)
    assert (refused.limit, refused.window_seconds, refused.remaining) == (12, 3600, 0)
    assert refused.retry_after_seconds == 3600 - 240
    clock.now += refused.retry_after_seconds
    assert (await hits(limits, 1))[0].allowed


async def test_a_request_refused_by_the_hour_does_not_use_up_the_minute(clock: Clock) -> None:
    limits = local_limits(clock)
    for _ in range(3):
        await hits(limits, 4)
        clock.now += 60
    clock.now += 3600 - 180 - 1
    assert not any(state.allowed for state in await hits(limits, 20))
    clock.now += 1
    assert [state.allowed for state in await hits(limits, 6)] == [True] * 5 + [False]


async def test_a_request_refused_by_the_minute_does_not_use_up_the_hour(clock: Clock) -> None:
    limits = local_limits(clock)
    await hits(limits, 50)
    clock.now += 60
    assert [state.allowed for state in await hits(limits, 5)] == [True] * 5


async def test_both_refusing_the_one_that_ends_last_is_told(clock: Clock) -> None:
    limits = local_limits(clock, rate_limits={"default": (5, 5)})
    *_, refused = await hits(limits, 6)
    assert (refused.window_seconds, refused.retry_after_seconds) == (3600, 3600)


async def test_the_window_with_the_fewest_remaining_is_told(clock: Clock) -> None:
    limits = local_limits(clock)
    for _ in range(2):
        await hits(limits, 5)
        clock.now += 60
    [state] = await hits(limits, 1)
    assert (state.window_seconds, state.remaining) == (3600, 1)


async def test_reads_and_spends_have_budgets_of_their_own(clock: Clock) -> None:
    limits = local_limits(clock, rate_limit_read_factor=3, rate_limit_spend_factor=2)
    await hits(limits, 5)
    states = await hits(limits, 11, "spend")
    assert [state.allowed for state in states] == [True] * 10 + [False]
    states = await hits(limits, 16, "read")
    assert [state.allowed for state in states] == [True] * 15 + [False]
    assert states[0].policies == ((15, 60), (36, 3600))


async def test_stores_are_counted_apart(clock: Clock) -> None:
    limits = local_limits(clock)
    await hits(limits, 6)
    state = await limits.hit(OTHER_STORE, "default", "create")
    assert state is not None
    assert (state.allowed, state.remaining) == (True, 4)


async def test_a_better_tier_counts_what_was_used_before(clock: Clock) -> None:
    limits = local_limits(clock)
    await hits(limits, 5)
    state = await limits.hit(STORE, "starter", "create")
    assert state is not None
    assert (state.allowed, state.limit, state.remaining) == (True, 10, 4)


async def test_a_tier_without_limits_is_never_refused(clock: Clock) -> None:
    limits = local_limits(clock)
    assert {await limits.hit(STORE, "unlimited", "create") for _ in range(1000)} == {None}


async def test_an_unknown_tier_has_the_default_limits_and_is_logged_once_in_a_while(
    clock: Clock,
) -> None:
    limits = local_limits(clock)
    with capture_logs() as logs:
        states = [await limits.hit(STORE, "platinum", "create") for _ in range(6)]
        clock.now += 10
        await limits.hit(STORE, "platinum", "create")
    assert [state.allowed for state in states if state] == [True] * 5 + [False]
    assert [(line["event"], line["tier"]) for line in logs] == [
        ("rate_limit_tier_unknown", "platinum")
    ] * 2


def test_settings_without_a_default_tier_are_refused(clock: Clock) -> None:
    with pytest.raises(ValueError, match='names no tier "default"'):
        local_limits(clock, rate_limits={"starter": (10, 100)})


async def test_a_hundred_at_once_get_exactly_the_limit(clock: Clock) -> None:
    limits = local_limits(clock)
    states = await asyncio.gather(*(limits.hit(STORE, "default", "create") for _ in range(100)))
    assert sum(state.allowed for state in states if state) == 5


@pytest.fixture
async def redis_url(tmp_path: Path) -> AsyncIterator[str]:
    """A real Redis of this test's own, on a Unix socket."""
    executable = shutil.which("redis-server") or shutil.which("valkey-server")
    if executable is None:
        pytest.skip("needs redis-server on the PATH: the limits shared through Redis are UNTESTED")
    path = tmp_path / "redis.sock"
    server = await asyncio.create_subprocess_exec(
        executable,
        *("--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await until_it_answers(f"unix://{path}")
        yield f"unix://{path}"
    finally:
        server.kill()
        await server.wait()


async def until_it_answers(url: str) -> None:
    for _ in range(1000):
        with contextlib.suppress(RedisError):
            async with Redis.from_url(url) as client:
                assert await client.ping()
                return
        await asyncio.sleep(0.02)
    pytest.fail("redis-server did not start")


@pytest.fixture
def shared_limits(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RateLimits]:
    """Redis is there, however long a busy machine takes to answer."""
    monkeypatch.setattr(rate_limits, "REDIS_TIMEOUT_SECONDS", 30.0)
    return lambda **settings: RateLimits(
        Settings.model_validate(
            {"rate_limits": TIERS, "redis_url": SecretStr(redis_url), **settings}
        )
    )


async def test_two_processes_share_one_limit_through_redis(shared_limits: MakeLimits) -> None:
    first, second = shared_limits(), shared_limits()
    states = await asyncio.gather(
        *(limits.hit(STORE, "default", "create") for _ in range(50) for limits in (first, second))
    )
    assert sum(state.allowed for state in states if state) == 5
    [refused] = await hits(first, 1)
    assert (refused.limit, refused.window_seconds, refused.remaining) == (5, 60, 0)
    assert 1 <= refused.retry_after_seconds <= 60
    await asyncio.gather(first.close(), second.close())


async def test_redis_counts_neither_window_of_a_refused_request(
    shared_limits: MakeLimits, redis_url: str
) -> None:
    limits = shared_limits(rate_limits={"default": (5, 7)})
    await hits(limits, 6)
    async with Redis.from_url(redis_url) as client:
        await client.delete(f"storecredit:rate:{{{STORE}}}:create:60")
        states = await hits(limits, 5)
        assert [state.allowed for state in states] == [True] * 2 + [False] * 3
        assert {state.window_seconds for state in states} == {3600}
        assert await client.get(f"storecredit:rate:{{{STORE}}}:create:60") == b"2"
        assert await client.get(f"storecredit:rate:{{{STORE}}}:create:3600") == b"7"
    await limits.close()


async def test_every_window_in_redis_ends_on_its_own(
    shared_limits: MakeLimits, redis_url: str
) -> None:
    limits = shared_limits()
    await hits(limits, 8)
    async with Redis.from_url(redis_url) as client:
        lasts = {key: await client.ttl(key) async for key in client.scan_iter()}
    assert len(lasts) == 2
    assert all(0 < seconds <= int(key.rsplit(b":")[-1]) for key, seconds in lasts.items())
    await limits.close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def refusing_port() -> int:
    return free_port()


@pytest.mark.parametrize("away", ["silent_port", "refusing_port"])
async def test_with_redis_away_requests_pass_and_it_is_logged_once(
    away: str, clock: Clock, request: pytest.FixtureRequest
) -> None:
    url = SecretStr(f"redis://127.0.0.1:{request.getfixturevalue(away)}/0")
    limits = local_limits(clock, redis_url=url)
    with capture_logs() as logs:
        assert [await limits.hit(STORE, "default", "create") for _ in range(100)] == [None] * 100
    assert [(line["event"], line["requests_pass"]) for line in logs] == [
        ("rate_limits_unavailable", True)
    ]
    await limits.close()


@pytest.mark.parametrize("away", ["silent_port", "refusing_port"])
async def test_with_redis_away_requests_are_refused_where_the_settings_say_so(
    away: str, clock: Clock, request: pytest.FixtureRequest
) -> None:
    url = SecretStr(f"redis://127.0.0.1:{request.getfixturevalue(away)}/0")
    limits = local_limits(clock, redis_url=url, rate_limit_fail_open=False)
    for _ in range(2):
        with pytest.raises(RateLimitsUnavailable):
            await limits.hit(STORE, "default", "create")
    assert await limits.hit(STORE, "unlimited", "create") is None
    await limits.close()


async def test_limits_hold_again_when_redis_is_back(redis_url: str, clock: Clock) -> None:
    limits = local_limits(clock, redis_url=SecretStr(redis_url))
    async with Redis.from_url(redis_url) as client:
        await client.config_set("maxclients", "1")
        assert await limits.hit(STORE, "default", "create") is None
        await client.config_set("maxclients", "100")
    assert await limits.hit(STORE, "default", "create") is None
    clock.now += 1
    assert [state.allowed for state in await hits(limits, 6)] == [True] * 5 + [False]
    await limits.close()


def test_the_password_in_the_redis_url_is_not_in_the_error_for_a_bad_one() -> None:
    bad = Settings(redis_url=SecretStr("http://:hunter2@127.0.0.1:6379"))
    with pytest.raises(ValueError, match="redis://") as raised:
        RateLimits(bad)
    assert "hunter2" not in str(raised.value)
