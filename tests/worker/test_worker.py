"""The worker on real PostgreSQL: every deduction ends in a result or a refund, whoever paid."""

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image

from storecredit.generation.generators import (
    GenerationFailed,
    GeneratorUnavailable,
    ModerationBlocked,
)
from storecredit.generation.sessions import Failure, FailureCode
from storecredit.ledger.owners import Account
from storecredit.service import Service
from tests.worker.owners import Books
from tests.worker.scripted_generator import (
    TAKEN,
    TAKEN_AND_GIVEN_BACK,
    WAIT_MAX_SECONDS,
    ScriptedGenerator,
    create,
    die_over,
    ended,
    working,
)


async def test_a_completed_generation_keeps_its_credit_and_has_a_result_that_opens(
    service: Service, account: Account, books: Books
) -> None:
    generator = ScriptedGenerator()
    async with working(service, generator):
        job = await create(service, account)
        row = await ended(books, job)
    assert row["status"] == "completed"
    assert row["input"] is None
    assert generator.requests[0].prompt == "a red hat"
    result = await service.parts.results.load(row["result_key"])
    assert result is not None
    assert Image.open(io.BytesIO(result.content)).size == (3, 4)
    assert await books.movements("req-1") == TAKEN
    assert await books.balance() == 9


@pytest.mark.parametrize(
    "error, code",
    [
        (ModerationBlocked("Blocked."), "MODERATION_BLOCKED"),
        (GenerationFailed("No."), "GENERATION_FAILED"),
        (GenerationFailed("No.", FailureCode.GENERATOR_REJECTED), "GENERATOR_REJECTED"),
    ],
    ids=["moderation", "processing error", "refused"],
)
async def test_a_final_failure_gives_the_credit_back_at_the_first_attempt(
    service: Service, account: Account, books: Books, error: Exception, code: str
) -> None:
    generator = ScriptedGenerator([error])
    async with working(service, generator):
        row = await ended(books, await create(service, account))
    assert (row["status"], row["error_code"], row["error_message"]) == ("failed", code, str(error))
    assert row["attempts"] == len(generator.requests) == 1
    assert await books.movements("req-1") == TAKEN_AND_GIVEN_BACK
    assert await books.balance() == 10


async def test_a_generator_that_is_away_is_tried_three_times_then_the_credit_comes_back(
    service: Service, account: Account, books: Books
) -> None:
    generator = ScriptedGenerator([GeneratorUnavailable("away")] * 3)
    async with working(service, generator):
        row = await ended(books, await create(service, account))
    assert (row["status"], row["error_code"]) == ("failed", "GENERATOR_UNAVAILABLE")
    assert row["attempts"] == len(generator.requests) == 3
    assert await books.movements("req-1") == TAKEN_AND_GIVEN_BACK


async def test_a_generator_that_comes_back_completes_on_the_next_attempt(
    service: Service, account: Account, books: Books
) -> None:
    generator = ScriptedGenerator([GeneratorUnavailable("away")])
    async with working(service, generator):
        row = await ended(books, await create(service, account))
    assert (row["status"], row["attempts"]) == ("completed", 2)
    assert await books.movements("req-1") == TAKEN


async def test_an_attempt_past_its_time_limit_counts_as_one_that_failed(
    service: Service, account: Account, books: Books
) -> None:
    generator = ScriptedGenerator([asyncio.Event().wait] * 3)  # type: ignore[list-item]  # any awaitable
    async with working(service, generator, generation_timeout_seconds=0.05):
        row = await ended(books, await create(service, account))
    assert (row["status"], row["error_code"]) == ("failed", "GENERATOR_TIMEOUT")
    assert row["error_message"] == "The generation took too long."
    assert row["attempts"] == 3
    assert await books.movements("req-1") == TAKEN_AND_GIVEN_BACK


async def test_a_generator_that_breaks_gives_the_credit_back_and_shows_no_trace_to_the_store(
    service: Service, account: Account, books: Books
) -> None:
    generator = ScriptedGenerator([KeyError("secret internals")])
    async with working(service, generator):
        row = await ended(books, await create(service, account))
    assert row["status"] == "failed"
    assert "secret" not in row["error_message"]
    assert await books.movements("req-1") == TAKEN_AND_GIVEN_BACK


async def test_a_result_that_the_disk_does_not_take_is_made_again_then_given_back(
    service: Service, account: Account, books: Books, data_dir: Path
) -> None:
    in_the_way = data_dir / "results"
    in_the_way.write_bytes(b"no directory can be made here")
    generator = ScriptedGenerator()
    async with working(service, generator):
        row = await ended(books, await create(service, account, "req-1"))
        assert (row["status"], row["attempts"]) == ("failed", 3)
        assert row["error_code"] == "GENERATION_FAILED"
        assert row["error_message"] == "The result could not be stored."
        assert await books.movements("req-1") == TAKEN_AND_GIVEN_BACK
        in_the_way.unlink()
        row = await ended(books, await create(service, account, "req-2"))
    assert row["status"] == "completed"
    assert await books.movements("req-2") == TAKEN


async def test_a_dead_workers_generation_is_picked_up_by_another(
    service: Service, account: Account, books: Books
) -> None:
    job = await create(service, account)
    await die_over(service, books.connection, job)
    generator = ScriptedGenerator()
    async with working(service, generator):
        row = await ended(books, job)
    assert (row["status"], row["attempts"]) == ("completed", 2)
    assert await books.movements("req-1") == TAKEN


async def test_a_generation_that_kills_every_worker_is_given_up_and_refunded(
    service: Service, account: Account, books: Books
) -> None:
    job = await create(service, account)
    for _ in range(3):
        await die_over(service, books.connection, job)
    generator = ScriptedGenerator()
    async with working(service, generator):
        row = await ended(books, job)
    assert (row["status"], row["error_code"]) == ("failed", "GENERATION_FAILED")
    assert generator.requests == []
    assert await books.movements("req-1") == TAKEN_AND_GIVEN_BACK


async def test_a_result_that_comes_after_the_refund_is_thrown_away(
    service: Service, account: Account, books: Books, data_dir: Path
) -> None:
    job = await create(service, account)

    async def meanwhile_given_up() -> None:
        await service.parts.lifecycle.fail_and_refund(
            job, Failure(FailureCode.GENERATION_FAILED, "Late.")
        )

    async with working(service, ScriptedGenerator([meanwhile_given_up])) as stop:
        await ended(books, job)
        await asyncio.sleep(0)
        stop.set()
    row = await books.session(job)
    assert (row["status"], row["result_key"]) == ("failed", None)
    assert await books.movements("req-1") == TAKEN_AND_GIVEN_BACK
    assert not list((data_dir / "results").rglob("*.png"))


async def test_a_worker_that_is_stopped_finishes_what_it_has_begun(
    service: Service, account: Account, books: Books
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait_in_the_middle() -> None:
        begun.set()
        await go_on.wait()

    async with working(service, ScriptedGenerator([wait_in_the_middle])) as stop:
        job = await create(service, account)
        await begun.wait()
        stop.set()
        go_on.set()
    assert (await books.session(job))["status"] == "completed"
    assert await books.connection.fetchval("SELECT count(*) FROM pgqueuer") == 0


async def test_a_generator_that_asks_for_patience_is_given_it(
    service: Service, account: Account, books: Books
) -> None:
    generator = ScriptedGenerator([GeneratorUnavailable("busy", retry_after_seconds=3300)])
    async with working(service, generator):
        job = await create(service, account)
        async with asyncio.timeout(WAIT_MAX_SECONDS):
            while True:
                if await books.connection.fetchval("SELECT attempts FROM pgqueuer"):
                    break
                await asyncio.sleep(0.02)
    waits = await books.connection.fetchval(
        "SELECT execute_after - now() > interval '50 minutes' FROM pgqueuer"
    )
    assert waits
    assert (await books.session(job))["status"] == "processing"
