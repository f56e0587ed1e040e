"""Workers whose generator follows a script: the outside world, one entry per attempt."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import asyncpg
from PIL import Image

from storecredit.generation.generators import GeneratedImage, GenerationRequest, Generator
from storecredit.generation.lifecycle import Created, GenerationInput, GenerationJob
from storecredit.generation.worker import Worker
from storecredit.ledger.owners import Account
from storecredit.service import Service
from tests.worker.owners import Books

WAIT_MAX_SECONDS = 30.0
TAKEN = [("deduction", 1)]
TAKEN_AND_GIVEN_BACK = [("deduction", 1), ("refund", 1)]


def png() -> GeneratedImage:
    content = io.BytesIO()
    Image.new("RGB", (3, 4), "white").save(content, "PNG")
    return GeneratedImage(content.getvalue(), "image/png")


@dataclass
class ScriptedGenerator:
    """The outside world: does what the script says, one entry per attempt, then succeeds."""

    script: list[Exception | Callable[[], Awaitable[None]]] = field(default_factory=list)
    requests: list[GenerationRequest] = field(default_factory=list)

    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        self.requests.append(request)
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        if step is not None:
            await step()
        return png()

    async def aclose(self) -> None:
        """Nothing to close."""


@asynccontextmanager
async def working(
    service: Service, generator: Generator, **changes: float
) -> AsyncIterator[asyncio.Event]:
    settings = service.parts.settings.model_copy(update=changes)
    worker = Worker(
        service.queue,
        service.parts.lifecycle,
        generator,
        service.parts.results,
        settings,
        service.parts.metrics,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    try:
        yield stop
    finally:
        stop.set()
        await running


async def create(
    service: Service,
    account: Account,
    request_id: str = "req-1",
    image_url: str = "https://images.example/a.png",
) -> GenerationJob:
    input_ = GenerationInput((image_url,), "a red hat")
    outcome = await service.parts.lifecycle.create(account, request_id, input_, None, 1)
    assert isinstance(outcome, Created)
    return GenerationJob(account, outcome.session_id, request_id)


async def ended(books: Books, job: GenerationJob) -> asyncpg.Record:
    """The session's row, once its status is final."""
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        while True:
            row = await books.session(job)
            if row["status"] in {"completed", "failed"}:
                return row
            await asyncio.sleep(0.02)


async def die_over(service: Service, admin: asyncpg.Connection, job: GenerationJob) -> None:
    """What a worker leaves behind that was killed in the middle of an attempt."""
    await service.parts.lifecycle.start(job)
    await admin.execute(
        """UPDATE pgqueuer SET status = 'picked', queue_manager_id = $2,
               heartbeat = now() - interval '1 hour' WHERE dedupe_key = $1""",
        str(job.session_id),
        uuid4(),
    )
