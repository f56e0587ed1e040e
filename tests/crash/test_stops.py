"""Stopping in good order, sharing one database, and a worker that comes back from the dead."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from stand_ins.http_server import Answer, Received, json_answer, stand_in
from tests.crash.audit import books_of, drained
from tests.crash.deployment import Deployment
from tests.crash.processes import START_MAX_SECONDS, STOP_MAX_SECONDS
from tests.crash.waiting import until
from tests.image_files import data_url, picture
from tests.sql.ledgers import assert_books_balance, snapshot

pytestmark = pytest.mark.timeout(300)

A_WHILE = 40
TAKEN_OVER_MAX_SECONDS = 60.0

IMAGE = json_answer({"image_base64": data_url(picture()).partition(",")[2]})
BLOCKED = json_answer({"code": "MODERATION_BLOCKED", "message": "Not this."}, 422)
AWAY = json_answer({}, 503)


async def test_a_service_told_to_stop_during_load_finishes_what_it_has_begun(
    deployment: Deployment,
) -> None:
    service = await deployment.serve()
    async with deployment.load(service) as load:
        await load.until_acknowledged(A_WHILE)
        status = await service.stop()
        await load.stop()
        assert status == 0, service.log_tail()
        assert deployment.processes.left_running() == []
        await deployment.assert_nothing_half_done()

        service = await deployment.serve()
        load.urls = [service.url]
        await deployment.assert_all_is_well(load)
        await load.ask_again()
        await deployment.assert_all_is_well(load)
        await deployment.assert_verified_by_command()
    assert load.unacknowledged == []


async def test_two_services_share_one_postgres_and_one_goes_on_when_the_other_is_killed(
    deployment: Deployment,
) -> None:
    first = await deployment.serve()
    second = await deployment.serve()
    server = await deployment.processes.postmaster()
    async with deployment.load(first, second) as load:
        await load.until_acknowledged(A_WHILE)
        first.kill()
        await load.until_acknowledged(A_WHILE)
        await load.stop()
        assert await deployment.processes.postmaster() == server
        await deployment.assert_all_is_well(load)
        load.urls = [second.url]
        await load.ask_again()
        await deployment.assert_all_is_well(load)
        await deployment.assert_verified(second)
    assert load.unacknowledged == []
    assert await second.stop() == 0, second.log_tail()
    assert deployment.processes.left_running() == []


async def test_further_processes_end_by_themselves_when_the_first_is_killed(
    deployment: Deployment,
) -> None:
    service = await deployment.serve("--processes", "2")
    await until(
        lambda: len(service.events("serving")) == 2,
        "the second serves too",
        START_MAX_SECONDS,
        service.log_tail,
    )
    service.kill()
    await until(
        lambda: deployment.processes.left_running() == [],
        "nothing is left running",
        STOP_MAX_SECONDS,
        service.log_tail,
    )


@dataclass(slots=True)
class TwoAskings:
    """A generator that two workers ask: the second is answered at once, the first when told."""

    answers: dict[str, tuple[Answer, Answer]]
    first_goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    asked: Counter[str] = field(default_factory=Counter)

    async def answer(self, received: Received) -> Answer:
        """By how often this request was asked for."""
        request_id = str(received.json()["request_id"])
        self.asked[request_id] += 1
        first, second = self.answers[request_id]
        if self.asked[request_id] > 1:
            return second
        await self.first_goes_on.wait()
        return first

    async def until_asked(self, times: int) -> None:
        """Wait until every request was asked for that often."""
        await until(
            lambda: all(self.asked[request_id] >= times for request_id in self.answers),
            f"each is asked for {times} times",
            TAKEN_OVER_MAX_SECONDS,
            lambda: str(self.asked),
        )


async def test_a_stopped_worker_that_goes_on_changes_nothing_of_what_another_ended(
    deployment: Deployment,
) -> None:
    generator = TwoAskings(
        {
            "image-image": (IMAGE, IMAGE),
            "image-blocked": (IMAGE, BLOCKED),
            "blocked-image": (BLOCKED, IMAGE),
            "blocked-blocked": (BLOCKED, BLOCKED),
            "away-image": (AWAY, IMAGE),
            "away-blocked": (AWAY, BLOCKED),
        }
    )
    service = await deployment.serve("--no-worker")
    account = deployment.accounts[0]
    async with stand_in(generator.answer) as server:
        work = {
            "generator_url": server.url(),
            "generation_timeout_seconds": "120",
            "worker_heartbeat_timeout_seconds": "2",
        }
        stopped = await deployment.work(**work)
        sessions = {
            request_id: await deployment.create(service, account, request_id)
            for request_id in generator.answers
        }
        await generator.until_asked(1)
        stopped.pause()
        await deployment.work(**work)
        await generator.until_asked(2)
        async with books_of(deployment.processes.data_dir) as books:
            await drained(books)
            ended = await snapshot(books, account.owner)
            generator.first_goes_on.set()
            stopped.go_on()
            assert await stopped.stop() == 0, stopped.log_tail()
            assert await snapshot(books, account.owner) == ended
            await assert_books_balance(books, account.owner)
            refunds = await books.fetch("SELECT request_id FROM movements WHERE type = 'refund'")
    assert {row["request_id"] for row in refunds} == {
        request_id for request_id in sessions if request_id.endswith("blocked")
    }
    assert _results(deployment) == {
        session_id for request_id, session_id in sessions.items() if request_id.endswith("image")
    }


def _results(deployment: Deployment) -> set[UUID]:
    """The sessions that have an image on disk."""
    results = deployment.processes.data_dir / "results"
    return {UUID(path.stem) for path in results.rglob("*.png")}
