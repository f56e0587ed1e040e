"""Stores and end users share lifecycle, worker and queue; their credits and sessions never mix."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from storecredit.generation.generators import GenerationFailed, GeneratorUnavailable
from storecredit.generation.lifecycle import ENTRYPOINT, Ended, GenerationJob
from storecredit.generation.sessions import Failure, FailureCode
from storecredit.ledger.credits import Cause
from storecredit.ledger.outcomes import Addition, AdditionType
from storecredit.ledger.owners import Account
from storecredit.postgres import job_queue
from storecredit.postgres.pool import Database
from storecredit.service import Service
from tests.log_stream import LogStream
from tests.worker.owners import OPENING, Books, store, user
from tests.worker.scripted_generator import (
    TAKEN,
    TAKEN_AND_GIVEN_BACK,
    ScriptedGenerator,
    create,
    ended,
    working,
)

NO = Failure(FailureCode.GENERATION_FAILED, "No.")


@pytest.fixture
async def namesakes(service: Service, admin: asyncpg.Connection) -> tuple[Books, Books]:
    """A store and an end user with the same id."""
    shop = await store(service)
    return Books(shop, admin), Books(await user(service, shop.owner.id), admin)


async def both(service: Service, namesakes: tuple[Books, Books]) -> list[GenerationJob]:
    """A generation of each, asked for under the same request id."""
    return [await create(service, books.account) for books in namesakes]


async def test_of_two_with_one_id_and_one_request_id_each_pays_for_its_own(
    service: Service, namesakes: tuple[Books, Books]
) -> None:
    async with working(service, ScriptedGenerator()):
        jobs = await both(service, namesakes)
        rows = [await ended(books, job) for books, job in zip(namesakes, jobs, strict=True)]
    assert [row["status"] for row in rows] == ["completed", "completed"]
    assert rows[0]["result_key"] != rows[1]["result_key"]
    for books in namesakes:
        assert await books.movements("req-1") == TAKEN
        assert await books.balance() == OPENING - 1


@pytest.mark.parametrize("place", [0, 1], ids=["the store", "the user"])
async def test_of_two_with_one_id_only_the_one_whose_generation_fails_is_refunded(
    service: Service, namesakes: tuple[Books, Books], place: int
) -> None:
    jobs = await both(service, namesakes)
    failing, other = namesakes[place], namesakes[1 - place]
    lifecycle = service.parts.lifecycle
    assert await lifecycle.fail_and_refund(jobs[place], NO)
    assert not await lifecycle.fail_and_refund(jobs[place], NO)
    assert await failing.movements("req-1") == TAKEN_AND_GIVEN_BACK
    assert await failing.balance() == OPENING
    assert await other.movements("req-1") == TAKEN
    assert await other.balance() == OPENING - 1
    assert (await other.session(jobs[1 - place]))["status"] == "queued"


async def test_a_session_is_out_of_reach_under_the_other_kinds_name(
    service: Service, namesakes: tuple[Books, Books]
) -> None:
    jobs = await both(service, namesakes)
    for books, others in zip(namesakes, reversed(jobs), strict=True):
        mistaken = GenerationJob(books.account, others.session_id, others.request_id)
        assert await service.parts.sessions.get(books.account.id, others.session_id) is None
        assert await service.parts.lifecycle.start(mistaken) == Ended("not_found")
        assert not await service.parts.lifecycle.complete(mistaken, "no result")
        assert not await service.parts.lifecycle.fail_and_refund(mistaken, NO)
        assert await books.movements("req-1") == TAKEN
    for books, job in zip(namesakes, jobs, strict=True):
        assert (await books.session(job))["status"] == "queued"


async def test_a_hundred_generations_of_both_kinds_that_fail_and_complete_add_up(
    service: Service, admin: asyncpg.Connection
) -> None:
    each = 50
    shop = await store(service, credit_count=each)
    person = await user(service, shop.owner.id)
    added = await service.parts.credits.add(
        person.owner, each - OPENING, AdditionType.GRANT, Cause("more")
    )
    assert added is Addition.ADDED
    script: list[Exception | Callable[[], Awaitable[None]]] = [
        GenerationFailed("No.") if place % 3 == 0 else _nothing for place in range(2 * each)
    ]
    async with working(service, ScriptedGenerator(script)):
        jobs = await asyncio.gather(
            *(
                create(service, account, f"busy-{place}")
                for place in range(each)
                for account in (shop, person)
            )
        )
        rows = [(job.account, await ended(Books(job.account, admin), job)) for job in jobs]
    assert sum(row["status"] == "failed" for _, row in rows) == 34
    for account in (shop, person):
        of_it = [row for of, row in rows if of == account]
        failed = [row["request_id"] for row in of_it if row["status"] == "failed"]
        books = Books(account, admin)
        assert await books.balance() == len(failed)
        for place in range(each):
            request_id = f"busy-{place}"
            expected = TAKEN_AND_GIVEN_BACK if request_id in failed else TAKEN
            assert await books.movements(request_id) == expected


async def _nothing() -> None:
    """An attempt without incident."""


# Jobs


async def test_a_queued_job_has_the_form_that_other_processes_read(
    service: Service, account: Account, books: Books
) -> None:
    job = await create(service, account)
    payload = await books.connection.fetchval("SELECT payload FROM pgqueuer")
    assert payload.decode() == (
        f'{{"{account.owner.kind}_id":"{account.owner.id}","session_id":"{job.session_id}",'
        f'"request_id":"req-1","account_id":"{account.id}"}}'
    )


async def test_a_job_in_the_form_that_a_migration_leaves_is_done(
    service: Service, database: Database, account: Account, books: Books
) -> None:
    job = await create(service, account)
    await books.connection.execute("DELETE FROM pgqueuer")
    payload = (
        f'{{"{account.owner.kind}_id": "{account.owner.id}", "account_id": "{account.id}",'
        f' "request_id": "{job.request_id}", "session_id": "{job.session_id}"}}'
    )
    queued = job_queue.Job(str(job.session_id), payload.encode())
    async with database.acquire() as connection:
        await job_queue.enqueue(connection, ENTRYPOINT, [queued])
    async with working(service, ScriptedGenerator()):
        row = await ended(books, job)
    assert row["status"] == "completed"


async def test_a_job_comes_out_of_the_queue_as_it_went_in(account: Account) -> None:
    job = GenerationJob(account, account.owner.id, "req-1")
    assert GenerationJob.from_payload(job.queued().payload) == job


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b'{%(rest)s,"account_id":"1"}',
        b'{%(rest)s,"account_id":"1","store_id":"%(id)s","user_id":"%(id)s"}',
        b'{%(rest)s,"account_id":"1","user_id":"nobody"}',
        b'{%(rest)s,"account_id":"one","user_id":"%(id)s"}',
        b'{%(rest)s,"user_id":"%(id)s"}',
    ],
    ids=["nothing", "a list", "no owner", "two owners", "no id", "no account id", "no account"],
)
def test_what_is_no_job_is_refused(payload: bytes) -> None:
    payload = payload.replace(b"%(rest)s", b'"session_id":"%(id)s","request_id":"r"')
    payload = payload.replace(b"%(id)s", b"22222222-2222-4222-8222-222222222222")
    with pytest.raises(ValueError):  # noqa: PT011 - the messages are Python's and msgspec's
        GenerationJob.from_payload(payload)


# Log lines


async def test_every_line_about_a_generation_names_its_owner_and_its_request(
    log: LogStream, service: Service, account: Account, books: Books
) -> None:
    script: list[Exception | Callable[[], Awaitable[None]]] = [GeneratorUnavailable("away")] * 3
    async with working(service, ScriptedGenerator(script)):
        job = await create(service, account)
        await ended(books, job)
    overdue = await create(service, account, "req-2")
    await books.make_older("created_at", 61, overdue)
    orphan = await create(service, account, "req-3")
    await books.connection.execute("DELETE FROM pgqueuer")
    await service.sweep.sweep()
    about = [line for line in log.lines() if line.get("component", "").startswith("generation.")]
    of = [job, job, job, overdue, orphan]
    assert [line["event"] for line in about] == [
        "attempt_failed",
        "attempt_failed",
        "generation_failed",
        "generation_overdue",
        "session_without_job",
    ]
    for line, named in zip(about, of, strict=True):
        assert {key: line.get(key) for key in ("store_id", "user_id")} == {
            "store_id": None,
            "user_id": None,
            f"{account.owner.kind}_id": str(account.owner.id),
        }
        assert (line["session_id"], line["request_id"]) == (
            str(named.session_id),
            named.request_id,
        )
        assert "images.example" not in str(line)
