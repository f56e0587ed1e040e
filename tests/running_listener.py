"""What tests of the listener and of everything that rests on its lease have in common."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from storecredit.postgres.listener import Listener

WAIT_MAX_SECONDS = 60.0


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Heard:
    """What a listener told, in order."""

    def __init__(self, listener: Listener, channel: str | None = None) -> None:
        self.listener = listener
        self._payloads: asyncio.Queue[str] = asyncio.Queue()
        listener.subscribe(self._payloads.put_nowait, channel)

    async def next(self) -> str:
        return await asyncio.wait_for(self._payloads.get(), WAIT_MAX_SECONDS)


@contextlib.asynccontextmanager
async def running(listener: Listener) -> AsyncIterator[None]:
    """The listener at work."""
    task = asyncio.create_task(listener.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        while not is_so():  # noqa: ASYNC110  # a lease and a log line set no event
            await asyncio.sleep(0.01)
