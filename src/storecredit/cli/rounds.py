"""`serve` and `worker` for as long as they run: anew each time the database has got more buckets.

What works with the buckets is made for those that there are. So all of it is stopped as it always
is, and made once more in the same process, over the same pool and on the same socket: who connects
between waits in its line, and is told after a while that the service starts.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storecredit.postgres.pool import Database

Round = Callable[[asyncio.Event], Awaitable[None]]
"""Runs the service until the event is set, and then stops it in order."""


class Rounds:
    """Runs the service until `stop` is set, or it ends by itself.

    Each round serves on duplicates of `sockets`, which are closed when the service is to stop: then
    whoever connects is refused, as soon as the round has closed its own. `between` answers who asks
    while one round ends and the next one begins, until `ready()` says that it has begun.
    """

    def __init__(
        self,
        database: "Database",
        stop: asyncio.Event,
        sockets: Iterable[socket.socket | None],
        between: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self._database = database
        self._stop = stop
        self._sockets = [each for each in sockets if each is not None]
        self._between = between
        self._answering: asyncio.Task[None] | None = None
        self.number = 0
        """Of the round that runs, from 1."""

    async def run(self, service: Round) -> None:
        """Run round after round."""
        try:
            while await self._one(service):
                pass
        finally:
            await _ended(self._answering)

    def ready(self) -> None:
        """The round serves."""
        if self._answering is not None:
            self._answering.cancel()

    async def _one(self, service: Round) -> bool:
        """Run one; whether another one is to follow."""
        self.number += 1
        over = asyncio.Event()
        looking = asyncio.create_task(self._look(over), name="buckets-look")
        stopping = asyncio.create_task(self._stop_too(over))
        try:
            await service(over)
            return looking.done() and looking.result() and not self._stop.is_set()
        finally:
            await _ended(looking)
            await _ended(stopping)

    async def _look(self, over: asyncio.Event) -> bool:
        from storecredit import telemetry
        from storecredit.postgres.buckets import outgrown

        if not await outgrown(self._database, over):
            return False
        log = telemetry.get_logger("cli.rounds")
        log.info("buckets_taken_up", buckets=self._database.bucket_count)
        await _ended(self._answering)
        self._answering = asyncio.create_task(self._between(), name="answering-between")
        over.set()
        return True

    async def _stop_too(self, over: asyncio.Event) -> None:
        await self._stop.wait()
        for each in self._sockets:
            each.close()
        over.set()


async def _ended(task: "asyncio.Task[Any] | None") -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
