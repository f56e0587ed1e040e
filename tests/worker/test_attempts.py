"""Attempts and waits on real PostgreSQL: which count, how long is waited, what is kept of them."""

import asyncio

import pytest

from stand_ins.http_server import Answer, Received, json_answer, stand_in
from storecredit.generation.generators import (
    AttemptFailed,
    GeneratedImage,
    GenerationFailed,
    GenerationRequest,
    GeneratorBusy,
    GeneratorUnavailable,
    ModerationBlocked,
)
from storecredit.generation.lifecycle import Ended, GenerationJob, Postponed
from storecredit.generation.sessions import FAILURE_TEXT_MAX, Failure, FailureCode
from storecredit.generation.worker import BUSY_BACKOFF_MAX_SECONDS
from storecredit.ledger.owners import Account
from storecredit.service import Service
from tests.image_files import picture
from tests.worker.generators import generator
from tests.worker.owners import Books, store, user
from tests.worker.scripted_generator import (
    TAKEN,
    TAKEN_AND_GIVEN_BACK,
    WAIT_MAX_SECONDS,
    ScriptedGenerator,
    create,
    ended,
    working,
)

SAID = "429 rate_limit_exceeded: Slow down."


async def test_a_busy_generator_uses_up_no_attempts(
    service: Service, account: Account, books: Books
) -> None:
    busy = GeneratorBusy("busy", generator_message=SAID, retry_after_seconds=0.01)
    away = GeneratorUnavailable("away")
    generator = ScriptedGenerator([busy, away, busy, away, busy, busy])
    async with working(service, generator):
        row = await ended(books, await create(service, account))
    assert row["status"] == "completed"
    assert (len(generator.requests), row["attempts"]) == (7, 3)
    assert await books.movements("req-1") == TAKEN


WAITS: dict[str, tuple[GeneratorUnavailable, int, float]] = {
    "asked for": (GeneratorBusy("busy", retry_after_seconds=20), 0, 20),
    "asked for, longer than the back-off": (GeneratorBusy("busy", retry_after_seconds=90), 30, 90),
    "busy without a time": (GeneratorBusy("busy"), 0, 0.5),
    "busy for a minute": (GeneratorBusy("busy"), 1, 15),
    "busy for long": (GeneratorBusy("busy"), 30, BUSY_BACKOFF_MAX_SECONDS),
    "away, and asked for": (GeneratorUnavailable("away", retry_after_seconds=20), 0, 20),
    "away, asked for less": (GeneratorUnavailable("away", retry_after_seconds=0.1), 0, 0.5),
    "away at the second attempt": (GeneratorUnavailable("away"), 30, 1),
}
"""What the generator says, for how many minutes it has been tried, and the seconds to wait."""


class AwayOrBusy:
    """A generator that says the same of a request each time."""

    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        raise WAITS[request.request_id][0]

    async def aclose(self) -> None:
        """Nothing to close."""


async def test_the_wait_is_what_was_asked_for_or_the_back_off_if_longer(
    service: Service, books: Books, account: Account
) -> None:
    for name, (_, begun_minutes_ago, _) in WAITS.items():
        job = await create(service, account, name)
        if begun_minutes_ago:
            await service.parts.lifecycle.start(job)
            await books.make_older("started_at", begun_minutes_ago, job)
    async with working(service, AwayOrBusy(), generator_backoff_seconds=0.5):
        waits = await waits_of(books)
    for name, (*_, wait) in WAITS.items():
        # Time goes on between the attempts.
        assert wait <= waits[name] < wait + 10, name


async def waits_of(books: Books) -> dict[str, float]:
    """How long each request's job waits, once all have been tried; as the queue has it written."""
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        while True:
            rows = await books.connection.fetch(
                """SELECT convert_from(payload, 'UTF8')::json ->> 'request_id' AS request_id,
                          extract(epoch FROM execute_after - updated)::float8 AS wait
                   FROM pgqueuer WHERE attempts > 0 AND status = 'queued'"""
            )
            if len(rows) == len(WAITS):
                return {row["request_id"]: row["wait"] for row in rows}
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("error", [GeneratorBusy, GeneratorUnavailable])
async def test_a_wait_past_the_deadline_gives_the_credit_back_at_once(
    service: Service, account: Account, books: Books, error: type[GeneratorUnavailable]
) -> None:
    generator = ScriptedGenerator([error("busy", generator_message=SAID, retry_after_seconds=120)])
    async with working(service, generator, generation_deadline_seconds=100):
        row = await ended(books, await create(service, account))
    assert (row["error_code"], row["error_message"]) == ("GENERATOR_UNAVAILABLE", "busy")
    assert row["generator_message"] == SAID
    assert await books.movements("req-1") == TAKEN_AND_GIVEN_BACK


@pytest.mark.parametrize(
    "error, code",
    [
        (ModerationBlocked("No.", generator_message=SAID), "MODERATION_BLOCKED"),
        (
            GenerationFailed("No.", FailureCode.GENERATOR_QUOTA_EXCEEDED, generator_message=SAID),
            "GENERATOR_QUOTA_EXCEEDED",
        ),
        (GenerationFailed("No.", FailureCode.IMAGE_UNREADABLE), "IMAGE_UNREADABLE"),
    ],
    ids=["moderation", "quota", "image"],
)
async def test_a_failure_keeps_its_code_and_the_generators_words(
    service: Service, account: Account, books: Books, error: AttemptFailed, code: str
) -> None:
    async with working(service, ScriptedGenerator([error])):
        row = await ended(books, await create(service, account))
    assert (row["error_code"], row["error_message"]) == (code, "No.")
    assert row["generator_message"] == error.generator_message
    assert await books.movements("req-1") == TAKEN_AND_GIVEN_BACK


async def test_the_last_words_stay_when_a_later_attempt_has_none(
    service: Service, account: Account, books: Books
) -> None:
    away = GeneratorUnavailable("away", generator_message="503 Away")
    busy = GeneratorBusy("busy", generator_message=SAID)
    async with working(service, ScriptedGenerator([away, busy])):
        row = await ended(books, await create(service, account))
    assert (row["status"], row["generator_message"]) == ("completed", SAID)


async def test_words_that_cannot_be_stored_keep_no_credit(
    service: Service, account: Account, books: Books
) -> None:
    words = "a\0b\ud800\n" + "\U0001f600" * 600
    error = GenerationFailed(words, generator_message=words)
    async with working(service, ScriptedGenerator([error])):
        row = await ended(books, await create(service, account))
    shown = "ab " + "\U0001f600" * (FAILURE_TEXT_MAX - 3)
    assert (row["error_message"], row["generator_message"]) == (shown, shown)
    assert await books.movements("req-1") == TAKEN_AND_GIVEN_BACK


async def test_an_attempt_is_put_off_while_the_session_is_open_only(
    service: Service, account: Account, books: Books
) -> None:
    lifecycle = service.parts.lifecycle
    job = await create(service, account)
    assert await lifecycle.postpone(job, SAID, counts=True) == Ended("not_started")
    for _ in range(2):
        await lifecycle.start(job)
    postponed = await lifecycle.postpone(job, SAID, counts=True)
    assert isinstance(postponed, Postponed)
    assert (await books.session(job))["attempts"] == 2
    for expected in (1, 0, 0):
        assert isinstance(await lifecycle.postpone(job, None, counts=False), Postponed)
        row = await books.session(job)
        assert (row["attempts"], row["generator_message"]) == (expected, SAID)
    await lifecycle.fail_and_refund(job, Failure(FailureCode.GENERATION_FAILED, "No."))
    assert await lifecycle.postpone(job, "late", counts=False) == Ended("already_failed")
    assert (await books.session(job))["generator_message"] == SAID


async def test_a_session_is_put_off_under_its_own_owner_only(
    service: Service, account: Account, books: Books
) -> None:
    job = await create(service, account)
    await service.parts.lifecycle.start(job)
    for other in (await store(service), await user(service)):
        mistaken = GenerationJob(other, job.session_id, job.request_id)
        outcome = await service.parts.lifecycle.postpone(mistaken, "other", counts=False)
        assert outcome == Ended("not_found")
    row = await books.session(job)
    assert (row["attempts"], row["generator_message"]) == (1, None)


@pytest.mark.parametrize("kind", ["http", "openai"])
async def test_a_real_rate_limit_is_waited_out_and_ends_in_an_image(
    service: Service, account: Account, books: Books, kind: str
) -> None:
    busy = json_answer({"error": {"code": "rate_limit_exceeded"}}, 429, retry_after_ms="20")
    answers = [busy, busy, busy]

    def answer(request: Received) -> Answer:
        if request.method == "GET":
            return Answer(body=picture())
        if answers:
            return answers.pop()
        image = {"url": outside.url("/made.png")}
        return json_answer({"image_url": image["url"], "data": [image]})

    async with stand_in(answer) as outside:
        given: dict[str, object] = {"generator": kind, "allow_private_hosts": True}
        given |= {"generator_url": outside.url(), "openai_base_url": outside.url("/v1")}
        async with generator(**given, openai_api_key="sk-not-a-real-key") as real:
            job = await create(service, account, image_url=outside.url("/in.png"))
            async with working(service, real):
                row = await ended(books, job)
    assert (row["status"], row["attempts"]) == ("completed", 1)
    assert row["generator_message"] == '429 {"error":{"code":"rate_limit_exceeded"}}'
    assert [request.method for request in outside.received].count("POST") == 4
