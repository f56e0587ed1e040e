"""Waiting for what other processes do: bounded, and telling what was awaited in vain."""

import asyncio
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.02


async def until(
    is_so: Callable[[], bool], what: str, max_seconds: float, state: Callable[[], str]
) -> None:
    """Return once `is_so`; after `max_seconds` fail with `what` did not happen, and the `state`."""
    try:
        async with asyncio.timeout(max_seconds):
            # Other processes set no event.
            while not is_so():  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {max_seconds:g} s: {what}\n{state()}") from None


async def until_true(
    is_so: Callable[[], Awaitable[bool]], what: str, max_seconds: float, state: Callable[[], str]
) -> None:
    """The same, where it takes a question to a server to know."""
    try:
        async with asyncio.timeout(max_seconds):
            while not await is_so():  # noqa: ASYNC110 - a server's rows set no event
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {max_seconds:g} s: {what}\n{state()}") from None
