"""The worker and the sweep on real PostgreSQL: every deduction ends in a result or a refund."""

import asyncio
import io
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from PIL import Image

from storecredit.generation.generators import (
    GeneratedImage,
    GenerationFailed,
    GenerationRequest,
    GeneratorUnavailable,
    ModerationBlocked,
)
from storecredit.generation.lifecycle import Created, GenerationInput, GenerationJob
from storecredit.generation.sessions import ErrorCode
from storecredit.generation.worker import Worker
from storecredit.ledger.owners import Owner
from storecredit.postgres.pool import Database
from storecredit.service import Service, assembled
from storecredit.settings import Settings

WAIT_MAX_SECONDS = 30.0


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


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    return Settings(
        data_dir=data_dir,
        generator_backoff_seconds=0.01,
        worker_heartbeat_timeout_seconds=2,
        worker_drain_seconds=10,
        sweep_interval_seconds=3600,
    )


@pytest.fixture
async def service(settings: Settings, database: Database) -> AsyncIterator[Service]:
    async with assembled(settings, database) as running:
        yield running


@pytest.fixture
async def store_id(service: Service) -> UUID:
    store = await service.parts.stores.create(
        name="Shop", shop_domain="shop.example", credit_count=10, request_id="opening"
    )
    return store.store_id


@asynccontextmanager
async def working(
    service: Service, generator: ScriptedGenerator, **changes: float
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


async def create(service: Service, store_id: UUID, request_id: str = "req-1") -> GenerationJob:
    input_ = GenerationInput(("https://images.example/a.png",), "a red hat")
    outcome = await service.parts.lifecycle.create(Owner.store(store_id), request_id, input_, None)
    assert isinstance(outcome, Created)
    return GenerationJob(Owner.store(store_id), outcome.session_id, request_id)


async def ended(admin: asyncpg.Connection, job: GenerationJob) -> asyncpg.Record:
    """The session's row, once its status is final."""
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        while True:
            row = await session_row(admin, job)
            if row["status"] in {"completed", "failed"}:
                return row
            await asyncio.sleep(0.02)


async def session_row(admin: asyncpg.Connection, job: GenerationJob) -> asyncpg.Record:
    row = await admin.fetchrow(
        "SELECT * FROM store_generation_sessions WHERE session_id = $1", job.session_id
    )
    assert row is not None
    return row


async def movements(admin: asyncpg.Connection, request_id: str) -> list[tuple[str, int]]:
    rows = await admin.fetch(
        "SELECT type, amount FROM store_credit_transactions WHERE request_id = $1 ORDER BY seq",
        request_id,
    )
    return [(row["type"], row["amount"]) for row in rows]


async def balance(admin: asyncpg.Connection, store_id: UUID) -> int:
    value = await admin.fetchval("SELECT balance FROM store_credits WHERE store_id = $1", store_id)
    assert isinstance(value, int)
    return value


TAKEN = [("deduction", 1)]
TAKEN_AND_GIVEN_BACK = [("deduction", 1), ("refund", 1)]


async def test_a_completed_generation_keeps_its_credit_and_has_a_result_that_opens(
    service: Service, store_id: UUID, admin: asyncpg.Connection
) -> None:
    generator = ScriptedGenerator()
    async with working(service, generator):
        job = await create(service, store_id)
        row = await ended(admin, job)
    assert row["status"] == "completed"
    assert row["input"] is None
    assert generator.requests[0].prompt == "a red hat"
    result = await service.parts.results.load(row["result_key"])
    assert result is not None
    assert Image.open(io.BytesIO(result.content)).size == (3, 4)
    assert await movements(admin, "req-1") == TAKEN
    assert await balance(admin, store_id) == 9


@pytest.mark.parametrize(
    "error, code",
    [
        (ModerationBlocked("Blocked."), "MODERATION_BLOCKED"),
        (GenerationFailed("No."), "GENERATION_FAILED"),
    ],
    ids=["moderation", "processing error"],
)
async def test_a_final_failure_gives_the_credit_back_at_the_first_attempt(
    service: Service, store_id: UUID, admin: asyncpg.Connection, error: Exception, code: str
) -> None:
    generator = ScriptedGenerator([error])
    async with working(service, generator):
        row = await ended(admin, await create(service, store_id))
    assert (row["status"], row["error_code"], row["error_message"]) == ("failed", code, str(error))
    assert row["attempts"] == len(generator.requests) == 1
    assert await movements(admin, "req-1") == TAKEN_AND_GIVEN_BACK
    assert await balance(admin, store_id) == 10


async def test_a_generator_that_is_away_is_tried_three_times_then_the_credit_comes_back(
    service: Service, store_id: UUID, admin: asyncpg.Connection
) -> None:
    generator = ScriptedGenerator([GeneratorUnavailable("away")] * 3)
    async with working(service, generator):
        row = await ended(admin, await create(service, store_id))
    assert (row["status"], row["error_code"]) == ("failed", "GENERATION_FAILED")
    assert row["attempts"] == len(generator.requests) == 3
    assert await movements(admin, "req-1") == TAKEN_AND_GIVEN_BACK


async def test_a_generator_that_comes_back_completes_on_the_next_attempt(
    service: Service, store_id: UUID, admin: asyncpg.Connection
) -> None:
    generator = ScriptedGenerator([GeneratorUnavailable("away")])
    async with working(service, generator):
        row = await ended(admin, await create(service, store_id))
    assert (row["status"], row["attempts"]) == ("completed", 2)
    assert await movements(admin, "req-1") == TAKEN


async def test_an_attempt_past_its_time_limit_counts_as_one_that_failed(
    service: Service, store_id: UUID, admin: asyncpg.Connection
) -> None:
    generator = ScriptedGenerator([asyncio.Event().wait] * 3)  # type: ignore[list-item]  # any awaitable
    async with working(service, generator, generation_timeout_seconds=0.05):
        row = await ended(admin, await create(service, store_id))
    assert (row["status"], row["error_code"]) == ("failed", "GENERATION_FAILED")
    assert row["error_message"] == "The generation took too long."
    assert row["attempts"] == 3
    assert await movements(admin, "req-1") == TAKEN_AND_GIVEN_BACK


async def test_a_generator_that_breaks_gives_the_credit_back_and_shows_no_trace_to_the_store(
    service: Service, store_id: UUID, admin: asyncpg.Connection
) -> None:
    generator = ScriptedGenerator([KeyError("secret internals")])
    async with working(service, generator):
        row = await ended(admin, await create(service, store_id))
    assert row["status"] == "failed"
    assert "secret" not in row["error_message"]
    assert await movements(admin, "req-1") == TAKEN_AND_GIVEN_BACK


async def test_a_dead_workers_generation_is_picked_up_by_another(
    service: Service, store_id: UUID, admin: asyncpg.Connection
) -> None:
    job = await create(service, store_id)
    await die_over(service, admin, job)
    generator = ScriptedGenerator()
    async with working(service, generator):
        row = await ended(admin, job)
    assert (row["status"], row["attempts"]) == ("completed", 2)
    assert await movements(admin, "req-1") == TAKEN


async def test_a_generation_that_kills_every_worker_is_given_up_and_refunded(
    service: Service, store_id: UUID, admin: asyncpg.Connection
) -> None:
    job = await create(service, store_id)
    for _ in range(3):
        await die_over(service, admin, job)
    generator = ScriptedGenerator()
    async with working(service, generator):
        row = await ended(admin, job)
    assert (row["status"], row["error_code"]) == ("failed", "GENERATION_FAILED")
    assert generator.requests == []
    assert await movements(admin, "req-1") == TAKEN_AND_GIVEN_BACK


async def die_over(service: Service, admin: asyncpg.Connection, job: GenerationJob) -> None:
    """What a worker leaves behind that was killed in the middle of an attempt."""
    await service.parts.lifecycle.start(job)
    await admin.execute(
        """UPDATE pgqueuer SET status = 'picked', queue_manager_id = $2,
               heartbeat = now() - interval '1 hour' WHERE dedupe_key = $1""",
        str(job.session_id),
        uuid4(),
    )


async def test_a_session_without_a_job_gets_one_from_the_sweep(
    service: Service, store_id: UUID, admin: asyncpg.Connection
) -> None:
    job = await create(service, store_id)
    await admin.execute("DELETE FROM pgqueuer")
    await service.sweep.sweep()
    async with working(service, ScriptedGenerator()):
        row = await ended(admin, job)
    assert row["status"] == "completed"


async def test_the_sweep_makes_no_second_job_for_a_session_that_has_one(
    service: Service, store_id: UUID, admin: asyncpg.Connection
) -> None:
    await create(service, store_id)
    await service.sweep.sweep()
    assert await admin.fetchval("SELECT count(*) FROM pgqueuer") == 1


async def test_a_generation_past_its_deadline_is_refunded_without_any_worker(
    service: Service, store_id: UUID, admin: asyncpg.Connection
) -> None:
    job = await create(service, store_id)
    await admin.execute(
        "UPDATE store_generation_sessions SET created_at = now() - interval '61 minutes'"
    )
    await service.sweep.sweep()
    row = await session_row(admin, job)
    assert (row["status"], row["error_code"]) == ("failed", "GENERATION_FAILED")
    assert await movements(admin, "req-1") == TAKEN_AND_GIVEN_BACK


async def test_a_result_that_comes_after_the_refund_is_thrown_away(
    service: Service, store_id: UUID, admin: asyncpg.Connection, data_dir: Path
) -> None:
    job = await create(service, store_id)

    async def meanwhile_given_up() -> None:
        await service.parts.lifecycle.fail_and_refund(job, ErrorCode.GENERATION_FAILED, "Late.")

    async with working(service, ScriptedGenerator([meanwhile_given_up])) as stop:
        await ended(admin, job)
        await asyncio.sleep(0)
        stop.set()
    row = await session_row(admin, job)
    assert (row["status"], row["result_key"]) == ("failed", None)
    assert await movements(admin, "req-1") == TAKEN_AND_GIVEN_BACK
    assert not list((data_dir / "results").rglob("*.png"))


async def test_a_worker_that_is_stopped_finishes_what_it_has_begun(
    service: Service, store_id: UUID, admin: asyncpg.Connection
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait_in_the_middle() -> None:
        begun.set()
        await go_on.wait()

    async with working(service, ScriptedGenerator([wait_in_the_middle])) as stop:
        job = await create(service, store_id)
        await begun.wait()
        stop.set()
        go_on.set()
    assert (await session_row(admin, job))["status"] == "completed"
    assert await admin.fetchval("SELECT count(*) FROM pgqueuer") == 0


async def test_results_are_deleted_when_their_retention_is_over(
    service: Service, store_id: UUID, admin: asyncpg.Connection, data_dir: Path
) -> None:
    async with working(service, ScriptedGenerator()):
        old = await ended(admin, await create(service, store_id, "old"))
        new = await ended(admin, await create(service, store_id, "new"))
    await admin.execute(
        """UPDATE store_generation_sessions SET completed_at = now() - interval '361 minutes'
           WHERE session_id = $1""",
        old["session_id"],
    )
    await service.sweep.sweep()
    kept = list((data_dir / "results").rglob("*.png"))
    assert [path.stem for path in kept] == [str(new["session_id"])]
    session = await service.parts.sessions.get(Owner.store(store_id), old["session_id"])
    assert session is not None
    assert (session.status, session.result_key) == ("completed", None)


async def test_what_a_killed_process_left_among_the_results_is_deleted_and_new_files_are_not(
    service: Service, store_id: UUID, admin: asyncpg.Connection, data_dir: Path
) -> None:
    async with working(service, ScriptedGenerator()):
        await ended(admin, await create(service, store_id))
    (result,) = (data_dir / "results").rglob("*.png")
    draft = result.with_name(".left.draft")
    draft.write_bytes(b"half an ima")
    eight_hours_ago = time.time() - 8 * 3600
    os.utime(draft, (eight_hours_ago, eight_hours_ago))
    await service.sweep.sweep()
    assert list((data_dir / "results").rglob("*")) == [result.parent, result]


async def test_a_generator_that_asks_for_patience_is_given_it(
    service: Service, store_id: UUID, admin: asyncpg.Connection
) -> None:
    generator = ScriptedGenerator([GeneratorUnavailable("busy", retry_after_seconds=3600)])
    async with working(service, generator):
        job = await create(service, store_id)
        async with asyncio.timeout(WAIT_MAX_SECONDS):
            while True:
                if await admin.fetchval("SELECT attempts FROM pgqueuer"):
                    break
                await asyncio.sleep(0.02)
    waits = await admin.fetchval(
        "SELECT execute_after - now() > interval '50 minutes' FROM pgqueuer"
    )
    assert waits
    assert (await session_row(admin, job))["status"] == "processing"


async def test_a_hundred_generations_that_fail_and_complete_at_random_add_up(
    service: Service, admin: asyncpg.Connection
) -> None:
    store = await service.parts.stores.create(
        name="Busy", shop_domain="busy.example", credit_count=100, request_id="opening-busy"
    )
    script: list[Exception | Callable[[], Awaitable[None]]] = [
        GenerationFailed("No.") if place % 3 == 0 else _nothing for place in range(100)
    ]
    async with working(service, ScriptedGenerator(script)):
        jobs = await asyncio.gather(
            *(create(service, store.store_id, f"busy-{place}") for place in range(100))
        )
        rows = [await ended(admin, job) for job in jobs]
    failed = sum(row["status"] == "failed" for row in rows)
    assert failed == 34
    assert await balance(admin, store.store_id) == failed
    refunds = await admin.fetchval(
        "SELECT count(*) FROM store_credit_transactions WHERE type = 'refund' AND store_id = $1",
        store.store_id,
    )
    assert refunds == failed


async def _nothing() -> None:
    """An attempt without incident."""
