"""Jobs put into the queue, and workers that handle them as a test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg

from storecredit.generation.lifecycle import ENTRYPOINT
from storecredit.postgres.job_queue import Job, JobQueue, enqueue
from storecredit.postgres.pool import Database
from tests.postgres.commits import WAIT_MAX_SECONDS, until


async def add(database: Database, *keys: str) -> None:
    async with database.acquire() as connection, connection.transaction():
        await enqueue(connection, ENTRYPOINT, [Job(key, key.encode()) for key in keys])


async def keys(admin: asyncpg.Connection) -> list[str]:
    rows = await admin.fetch("SELECT dedupe_key FROM pgqueuer ORDER BY id")
    return [row["dedupe_key"] for row in rows]


class Handled:
    """What a worker was given, in order; `then` is what it does about it."""

    def __init__(self, then: Callable[[str], Awaitable[None]] | None = None) -> None:
        self.keys: list[str] = []
        self._then = then

    async def __call__(self, payload: bytes) -> None:
        self.keys.append(payload.decode())
        if self._then is not None:
            await self._then(payload.decode())

    async def times(self, count: int) -> None:
        async def is_so() -> bool:
            return len(self.keys) >= count

        await until(is_so)


class Held:
    """Jobs that do not end before they are let go."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.ended: list[str] = []

    async def __call__(self, key: str) -> None:
        await self.go_on.wait()
        self.ended.append(key)


@asynccontextmanager
async def working(
    queue: JobQueue,
    handled: Handled,
    *,
    concurrency: int = 4,
    heartbeat_timeout_seconds: float = 30,
    drain_seconds: float = WAIT_MAX_SECONDS,
) -> AsyncIterator[asyncio.Event]:
    """A worker of the queue; at the end it is stopped, and has to end."""
    stop = asyncio.Event()
    running = asyncio.create_task(
        queue.run(
            handled,
            stop=stop,
            concurrency=concurrency,
            heartbeat_timeout_seconds=heartbeat_timeout_seconds,
            drain_seconds=drain_seconds,
        )
    )
    try:
        yield stop
    finally:
        stop.set()
        await asyncio.wait_for(running, 2 * WAIT_MAX_SECONDS)


async def die_over(admin: asyncpg.Connection, key: str, *, silent_for: str) -> None:
    """What a worker leaves behind that was killed in the middle of a job."""
    await admin.execute(
        """UPDATE pgqueuer SET status = 'picked', queue_manager_id = $2,
               heartbeat = now() - $3::text::interval WHERE dedupe_key = $1""",
        key,
        uuid4(),
        silent_for,
    )
