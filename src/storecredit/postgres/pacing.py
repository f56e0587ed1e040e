"""When something is done again: at every interval, and after a failure."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
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


async def side_by_side(stop: asyncio.Event, *loops: Coroutine[None, None, None]) -> None:
    """Run loops of the same kind together until all have ended.

    One that breaks for good ends the others by `stop`, and is told when they have ended.
    """
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        if any(task.done() and task.exception() is not None for task in tasks):
            stop.set()
            await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    for task in tasks:
        task.result()


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
