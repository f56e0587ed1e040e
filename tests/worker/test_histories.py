"""What an end user sees of its generations: the history in pages, and the counts."""

import pytest

from storecredit.generation.lifecycle import GenerationJob
from storecredit.generation.sessions import (
    OFFSET_MAX,
    Failure,
    FailureCode,
    Sessions,
    SessionStatus,
    Stats,
)
from storecredit.ledger.owners import Account
from storecredit.service import Service
from tests.worker.owners import store, user
from tests.worker.scripted_generator import create

UNKNOWN_ACCOUNT = 2**62
ENDINGS = ("completed", "failed", "processing", "queued", "queued", "failed")


@pytest.fixture
async def person(service: Service) -> Account:
    return await user(service)


@pytest.fixture
def sessions(service: Service) -> Sessions:
    return service.parts.sessions


@pytest.fixture
async def jobs(service: Service, person: Account) -> list[GenerationJob]:
    """One generation of each of `ENDINGS`, oldest first; others have some as well."""
    for other in (await user(service), await store(service)):
        await create(service, other)
    return [await _so_far(service, person, place) for place in range(len(ENDINGS))]


async def _so_far(service: Service, person: Account, place: int) -> GenerationJob:
    lifecycle = service.parts.lifecycle
    job = await create(service, person, f"req-{place}")
    if ENDINGS[place] != "queued":
        await lifecycle.start(job)
    if ENDINGS[place] == "completed":
        assert await lifecycle.complete(job, f"{person.owner.id}/{job.session_id}.png")
    if ENDINGS[place] == "failed":
        assert await lifecycle.fail_and_refund(
            job, Failure(FailureCode.MODERATION_BLOCKED, "Blocked.")
        )
    return job


async def test_the_history_is_newest_first_and_in_pages(
    sessions: Sessions, person: Account, jobs: list[GenerationJob]
) -> None:
    newest_first = [job.session_id for job in reversed(jobs)]

    async def page(limit: int, offset: int) -> list[object]:
        found = await sessions.history(person.id, status=None, limit=limit, offset=offset)
        return [session.session_id for session in found]

    assert await page(50, 0) == newest_first
    assert await page(2, 0) == newest_first[:2]
    assert await page(2, 3) == newest_first[3:5]
    assert await page(50, len(jobs)) == []
    assert await page(50, OFFSET_MAX + 1) == []


@pytest.mark.parametrize("status", list(SessionStatus))
async def test_the_history_of_one_status_holds_no_other(
    sessions: Sessions, person: Account, jobs: list[GenerationJob], status: SessionStatus
) -> None:
    found = await sessions.history(person.id, status=status, limit=50, offset=0)
    assert {session.status for session in found} == {status}
    assert [session.request_id for session in found] == [
        jobs[place].request_id for place in reversed(range(len(jobs))) if ENDINGS[place] == status
    ]


async def test_a_session_in_the_history_is_the_one_that_is_read_alone(
    sessions: Sessions, person: Account, jobs: list[GenerationJob]
) -> None:
    for session in await sessions.history(person.id, status=None, limit=50, offset=0):
        assert await sessions.get(person.id, session.session_id) == session
    failed = await sessions.get(person.id, jobs[1].session_id)
    assert failed is not None
    assert failed.error_code is FailureCode.MODERATION_BLOCKED


async def test_the_counts_are_those_of_this_user_alone(
    sessions: Sessions, person: Account, jobs: list[GenerationJob]
) -> None:
    expected = Stats(total=len(jobs), completed=1, active=3, failed=2)
    assert await sessions.stats(person.id) == expected


async def test_who_never_generated_anything_has_an_empty_history(
    service: Service, sessions: Sessions, jobs: list[GenerationJob]
) -> None:
    assert jobs
    newcomer = await user(service)
    for account_id in (newcomer.id, UNKNOWN_ACCOUNT):
        assert await sessions.history(account_id, status=None, limit=50, offset=0) == ()
        assert await sessions.stats(account_id) == Stats(0, 0, 0, 0)


async def test_another_accounts_session_is_absent(
    service: Service, sessions: Sessions, jobs: list[GenerationJob]
) -> None:
    for other in (await user(service), await store(service)):
        for job in jobs:
            assert await sessions.get(other.id, job.session_id) is None
