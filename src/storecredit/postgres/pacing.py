"""When something is done again: at every interval, and after a failure."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

DOUBLINGS_MAX: Final = 1023
"""As many as a float holds; one more is an OverflowError and no longer wait."""


async def every(seconds: float, stop: asyncio.Event, part: Callable[[], Awaitable[object]]) -> None:
    """Do `part` at once, and again `seconds` after it ended each time, until `stop` is set.

    `stop` ends a wait at once, and does not cut `part` off. What `part` raises ends the loop: a
    part that must go on sees to its own failures.
    """
    while not stop.is_set():
        await part()
        await pause(seconds, stop)


async def pause(seconds: float, stop: asyncio.Event) -> None:
    """Wait `seconds`, or until `stop` is set if that is sooner."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def backoff(first_seconds: float, attempt: int, most_seconds: float) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1).

    `first_seconds` after the first, twice as long after each further one, never more than
    `most_seconds`.
    """
    return min(first_seconds * 2.0 ** min(attempt - 1, DOUBLINGS_MAX), most_seconds)
