"""The loop of everything that is done at intervals, and the wait after a failure."""

import asyncio
import math

import pytest

from storecredit.postgres.pacing import backoff, every, pause

AN_AGE_SECONDS = 1e6


class Part:
    """Counts how often it was done; the `last` time sets `stop`, or fails if there is an error."""

    def __init__(self, stop: asyncio.Event, last: int, error: Exception | None = None) -> None:
        self.done = 0
        self._stop = stop
        self._last = last
        self._error = error

    async def __call__(self) -> None:
        self.done += 1
        if self.done == self._last:
            if self._error is not None:
                raise self._error
            self._stop.set()


async def test_a_part_is_done_at_once_and_again_until_the_loop_is_stopped() -> None:
    stop = asyncio.Event()
    part = Part(stop, last=3)
    await every(0, stop, part)
    assert part.done == 3


async def test_a_loop_that_is_stopped_while_it_waits_ends_without_waiting_on() -> None:
    stop = asyncio.Event()
    part = Part(stop, last=1)
    async with asyncio.timeout(AN_AGE_SECONDS / 1000):
        await every(AN_AGE_SECONDS, stop, part)
        loop = asyncio.create_task(pause(AN_AGE_SECONDS, waited_for := asyncio.Event()))
        await asyncio.sleep(0)
        waited_for.set()
        await loop
    assert part.done == 1


async def test_a_loop_that_was_stopped_before_it_began_does_nothing() -> None:
    stop = asyncio.Event()
    stop.set()
    part = Part(stop, last=1)
    await every(0, stop, part)
    assert part.done == 0


async def test_a_part_that_fails_ends_its_loop_and_says_why() -> None:
    stop = asyncio.Event()
    part = Part(stop, last=2, error=ZeroDivisionError("nothing to divide by"))
    with pytest.raises(ZeroDivisionError, match="nothing"):
        await every(0, stop, part)
    assert part.done == 2


@pytest.mark.parametrize(
    "first_seconds, attempt, seconds",
    [
        (2.0, 1, 2.0),
        (2.0, 2, 4.0),
        (2.0, 5, 32.0),
        (2.0, 6, 60.0),
        (90.0, 1, 60.0),
        (0.0, 7, 0.0),
        (0.0, 10**6, 0.0),
        (1e-9, 10**6, 60.0),
        (3.0, 10**6, 60.0),
        (math.inf, 1, 60.0),
    ],
)
def test_the_wait_doubles_with_each_attempt_up_to_its_maximum(
    first_seconds: float, attempt: int, seconds: float
) -> None:
    assert backoff(first_seconds, attempt, 60.0) == seconds
