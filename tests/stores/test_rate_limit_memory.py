"""What rate limits remember in this process, and of whom they forget it."""

import tracemalloc
from typing import Literal
from uuid import UUID

import pytest

from storecredit.settings import Settings
from storecredit.stores import rate_limits
from storecredit.stores.rate_limits import RateLimits
from tests.running_listener import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limits_of(clock: Clock) -> RateLimits:
    """Five requests a minute, of either budget."""
    settings = {"rate_limits": {"default": (5, 50)}, "rate_limit_read_factor": 1}
    return RateLimits(Settings.model_validate(settings), clock=clock)


async def hit(limits: RateLimits, number: int, budget: Literal["create", "read"]) -> int:
    """How many requests the store of this number has left."""
    state = await limits.hit(UUID(int=number), "default", budget)
    assert state is not None
    return state.remaining


async def test_beyond_the_maximum_the_store_unused_for_longest_is_forgotten(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "STORES_MAX", 3)
    limits = limits_of(clock)
    assert [await hit(limits, store, "create") for store in (1, 2, 3, 1, 4)] == [4, 4, 4, 3, 4]
    # Reads do not push creates out.
    assert [await hit(limits, store, "read") for store in (5, 6, 7)] == [4, 4, 4]
    assert [await hit(limits, store, "create") for store in (1, 3, 4)] == [2, 3, 3]
    assert await hit(limits, 2, "create") == 4


async def test_what_is_over_is_forgotten_as_others_come_and_nothing_before(
    clock: Clock,
) -> None:
    tracemalloc.start()
    limits = limits_of(clock)
    kept = []
    for hour in range(4):
        for number in range(1_000):
            await hit(limits, hour * 1_000 + number, "create")
        kept.append(tracemalloc.get_traced_memory()[0])
        clock.now += 3_600
    tracemalloc.stop()
    # No more than two hours' stores are held, however many come.
    assert kept[3] < 1.5 * kept[1]
