"""The sweep on real PostgreSQL: what nobody else looks after any more, of either kind of owner."""

import os
import time
from pathlib import Path

import asyncpg
from uuid_utils.compat import uuid7

from storecredit.generation.generators import GenerationFailed
from storecredit.generation.sweep import ROUND_MAX
from storecredit.ledger.owners import Account
from storecredit.service import Service
from tests.worker.owners import OPENING, Books, store, user
from tests.worker.scripted_generator import (
    TAKEN_AND_GIVEN_BACK,
    ScriptedGenerator,
    create,
    ended,
    working,
)


async def test_a_session_without_a_job_gets_one_from_the_sweep(
    service: Service, account: Account, books: Books
) -> None:
    job = await create(service, account)
    await books.connection.execute("DELETE FROM pgqueuer")
    await service.sweep.sweep()
    async with working(service, ScriptedGenerator()):
        row = await ended(books, job)
    assert row["status"] == "completed"


async def test_the_sweep_makes_no_second_job_for_a_session_that_has_one(
    service: Service, account: Account, books: Books
) -> None:
    await create(service, account)
    await service.sweep.sweep()
    assert await books.connection.fetchval("SELECT count(*) FROM pgqueuer") == 1


async def test_a_generation_past_its_deadline_is_refunded_without_any_worker(
    service: Service, account: Account, books: Books
) -> None:
    job = await create(service, account)
    await books.make_older("created_at", 61, job)
    await service.sweep.sweep()
    await service.sweep.sweep()
    row = await books.session(job)
    assert (row["status"], row["error_code"]) == ("failed", "GENERATION_FAILED")
    assert await books.movements("req-1") == TAKEN_AND_GIVEN_BACK
    assert await books.balance() == OPENING


async def test_results_are_deleted_when_their_retention_is_over(
    service: Service, account: Account, books: Books, data_dir: Path
) -> None:
    async with working(service, ScriptedGenerator()):
        old = await create(service, account, "old")
        new = await create(service, account, "new")
        await ended(books, old)
        await ended(books, new)
    await books.make_older("completed_at", 361, old)
    await service.sweep.sweep()
    kept = list((data_dir / "results").rglob("*.png"))
    assert [path.stem for path in kept] == [str(new.session_id)]
    session = await service.parts.sessions.get(account.id, old.session_id)
    assert session is not None
    assert (session.status, session.result_key) == ("completed", None)


async def test_what_a_generator_said_is_forgotten_after_its_retention_and_not_before(
    service: Service, account: Account, books: Books
) -> None:
    said = GenerationFailed("No.", generator_message="400 A red hat?")
    async with working(service, ScriptedGenerator([said] * 2)):
        old = await create(service, account, "req-1")
        new = await create(service, account, "req-2")
        for job in (old, new):
            await ended(books, job)
    week_minutes = 7 * 24 * 60
    await books.make_older("completed_at", week_minutes + 1, old)
    await books.make_older("completed_at", week_minutes - 1, new)
    await service.sweep.sweep()
    rows = [await books.session(job) for job in (old, new)]
    assert [row["generator_message"] for row in rows] == [None, "400 A red hat?"]
    assert {(row["error_code"], row["error_message"]) for row in rows} == {
        ("GENERATION_FAILED", "No.")
    }


async def test_what_a_killed_process_left_among_the_results_is_deleted_and_new_files_are_not(
    service: Service, account: Account, books: Books, data_dir: Path
) -> None:
    async with working(service, ScriptedGenerator()):
        await ended(books, await create(service, account))
    (result,) = (data_dir / "results").rglob("*.png")
    left = [
        result.with_name(".left.draft"),
        result.with_name(f".{result.stem}.draft"),
        result.with_name(f"{uuid7()}.png"),
    ]
    eight_hours_ago = time.time() - 8 * 3600
    for path in left:
        path.write_bytes(b"half an ima")
        os.utime(path, (eight_hours_ago, eight_hours_ago))
    await service.sweep.sweep()
    assert set((data_dir / "results").rglob("*")) == {result.parent, result, left[1]}


async def test_a_result_that_a_session_has_stays_however_old_the_machines_clock_takes_it_for(
    service: Service, account: Account, books: Books, data_dir: Path
) -> None:
    async with working(service, ScriptedGenerator()):
        await ended(books, await create(service, account))
    (result,) = (data_dir / "results").rglob("*.png")
    os.utime(result, (0, 0))
    await service.sweep.sweep()
    assert result.exists()


async def test_a_result_that_cannot_be_deleted_keeps_no_result_of_another_owner(
    service: Service, admin: asyncpg.Connection, data_dir: Path
) -> None:
    accounts = [await store(service), await user(service)]
    async with working(service, ScriptedGenerator()):
        for account in accounts:
            job = await create(service, account)
            await ended(Books(account, admin), job)
            await Books(account, admin).make_older("completed_at", 361, job)
    (result,) = (data_dir / "results" / str(accounts[0].owner.id)).iterdir()
    result.unlink()
    # A directory cannot be unlinked like a file.
    (result / "in the way").mkdir(parents=True)
    await service.sweep.sweep()
    assert not list((data_dir / "results" / str(accounts[1].owner.id)).iterdir())


async def test_more_results_than_a_round_takes_are_deleted_by_one_sweep(
    service: Service, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        """INSERT INTO sessions
               (account_id, session_id, credits, request_id, fingerprint, status, completed_at,
                result_key)
           SELECT $1, s.id, 1, s.id::text, '', 'completed', now() - interval '7 hours',
               gen_random_uuid() || '/' || s.id || '.png'
           FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $2)) s""",
        (await store(service)).id,
        2 * ROUND_MAX + 1,
    )
    await service.sweep.sweep()
    assert await admin.fetchval("SELECT count(*) FROM sessions WHERE result_key IS NOT NULL") == 0


async def test_open_generations_of_both_kinds_are_counted_together(service: Service) -> None:
    for account in (await store(service), await user(service)):
        started = await create(service, account, "started")
        await service.parts.lifecycle.start(started)
        await create(service, account, "queued")
    await service.sweep.sweep()
    depth = service.parts.metrics.registry.get_sample_value
    assert depth("storecredit_queue_depth", {"status": "queued"}) == 2
    assert depth("storecredit_queue_depth", {"status": "processing"}) == 2
