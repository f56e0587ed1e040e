"""Answers that wait: `GET /api/v1/generation/{session_id}?wait=…`, `Prefer: wait=…` on create."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest

from storecredit.postgres.pool import Database
from storecredit.service import Service
from tests.log_stream import LogStream
from tests.running_listener import until
from tests.web.checklist import UNKNOWN
from tests.web.conftest import WorkerStarter
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.frameworks import application
from tests.web.waits import WAIT_MAX_SECONDS, complete, fail, start, waiting


def path(session_id: str) -> str:
    return f"/api/v1/generation/{session_id}"


async def looked_up(store: StoreClient) -> None:
    """Until those that wait have been looked up once: who came first is looked up first."""
    error_of(await store.get(path(UNKNOWN), wait=60), 404, "NOT_FOUND")


@asynccontextmanager
async def asked(
    service: Service, asking: Any, waiters: int = 1
) -> AsyncIterator["asyncio.Task[httpx.Response]"]:
    """A request that waits while the block runs, and is answered in time at its end."""
    task = asyncio.create_task(asking)
    await waiting(service, waiters)
    try:
        yield task
        async with asyncio.timeout(WAIT_MAX_SECONDS):
            await task
    finally:
        task.cancel()
    await waiting(service, waiters - 1)


async def test_a_read_that_waits_is_answered_when_the_generation_completes(
    service: Service, store: StoreClient
) -> None:
    session_id = await store.created()
    async with asked(service, store.get(path(session_id), wait=60)) as answer:
        await complete(service, store, session_id)
    data = data_of(await answer)
    assert data["status"] == "completed"
    assert data["result_url"]
    assert "retry-after" not in (await answer).headers


async def test_a_read_that_waits_is_answered_when_the_generation_fails(
    service: Service, store: StoreClient
) -> None:
    session_id = await store.created()
    async with asked(service, store.get(path(session_id), wait=60)) as answer:
        await fail(service, store, session_id)
    data = data_of(await answer)
    assert (data["status"], data["error_code"]) == ("failed", "IMAGE_UNREADABLE")
    assert data["credits_refunded"] == 1


async def test_what_has_ended_is_not_waited_for(service: Service, store: StoreClient) -> None:
    session_id = await store.created()
    await fail(service, store, session_id)
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        answer = await store.get(path(session_id), wait=60)
    assert data_of(answer)["status"] == "failed"


async def test_when_the_time_is_over_it_is_told_as_it_is_then(
    service: Service, store: StoreClient
) -> None:
    session_id = await store.created()
    began, is_in_time = time.monotonic(), False
    async with asked(service, store.get(path(session_id), wait=1)) as answer:
        await start(service, store, session_id)
        is_in_time = time.monotonic() < began + 1
    status = data_of(await answer)["status"]
    # A machine that stood still may have started it when the time was over.
    assert status == "processing" or (status == "queued" and not is_in_time)
    assert "retry-after" not in (await answer).headers, "it may be asked for again at once"
    assert data_of(await store.get(path(session_id), wait=0))["status"] == "processing"


async def test_what_is_absent_is_not_waited_for(operator: Operator) -> None:
    owner, other = await operator.store(), await operator.store()
    session_id = await owner.created()
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        for absent in (session_id, UNKNOWN):
            error_of(await other.get(path(absent), wait=60), 404, "NOT_FOUND")


@pytest.mark.parametrize("wait", ["61", "-1", "1.5", "x", "", "30s"])
async def test_other_waits_are_refused(store: StoreClient, wait: str) -> None:
    error = error_of(await store.get(path(UNKNOWN), wait=wait), 400, "VALIDATION_ERROR")
    [detail] = error["details"]
    assert (detail["key"], detail["source"]) == ("wait", "query")


async def test_many_wait_for_one_and_others_go_on_waiting(
    service: Service, store: StoreClient
) -> None:
    first, second = await store.created(), await store.created()
    of_first = [asyncio.create_task(store.get(path(first), wait=60)) for _ in range(3)]
    of_second = asyncio.create_task(store.get(path(second), wait=60))
    await waiting(service, 4)
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        await complete(service, store, first)
        answers = await asyncio.gather(*of_first)
        assert {data_of(answer)["status"] for answer in answers} == {"completed"}
        await waiting(service, 1)
        assert not of_second.done()
        await complete(service, store, second)
        assert data_of(await of_second)["status"] == "completed"


async def test_it_is_answered_as_through_the_framework(
    service: Service, store: StoreClient, log: LogStream
) -> None:
    session_id = await store.created()
    await fail(service, store, session_id)
    seen: dict[bool, list[object]] = {True: [], False: []}
    for is_direct, answers in seen.items():
        app: Any
        with application(service.parts, is_direct=is_direct) as app:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://api.test"
            ) as http:
                client = replace(store, http=http)
                for query in ("wait=60", "wait=1", "wait=01", "wait=%36%30", "wait=61", "w=1"):
                    for method in ("GET", "HEAD"):
                        answer = await client.send(method, f"{path(session_id)}?{query}")
                        del answer.headers["x-request-id"]
                        route = log.events("request")[-1]["route"]
                        assert route == "/api/v1/generation/{session_id}"
                        answers.append(
                            (query, method, answer.status_code, answer.headers, answer.content)
                        )
    assert seen[True] == seen[False]


async def test_a_creation_that_waits_answers_with_its_result(
    store: StoreClient, worker: WorkerStarter
) -> None:
    async with worker(), asyncio.timeout(WAIT_MAX_SECONDS):
        answer = await store.create("order-1", headers={"Prefer": "wait=60"})
    made = data_of(answer, 201)
    assert answer.headers["preference-applied"] == "wait=60"
    assert made["status"] == made["generation"]["status"] == "completed"
    assert made["generation"]["result_url"]
    assert made["balance"] == 99
    assert made["generation"] == await store.generation(made["session_id"]) | {
        "result_url": made["generation"]["result_url"]
    }


async def test_a_creation_that_waits_answers_with_its_failure_and_the_credits_are_back(
    store: StoreClient, worker: WorkerStarter
) -> None:
    async with worker(), asyncio.timeout(WAIT_MAX_SECONDS):
        answer = await store.create(prompt="a forbidden hat", headers={"Prefer": "wait"})
    made = data_of(answer, 201)
    assert (made["status"], made["balance"], made["credits_charged"]) == ("failed", 100, 1)
    assert made["generation"]["error_code"] == "MODERATION_BLOCKED"
    assert answer.headers["x-credits-remaining"] == "100"
    assert await store.balance() == 100


async def test_a_creation_whose_time_is_over_is_told_as_it_is_then(store: StoreClient) -> None:
    answer = await store.create("order-1", headers={"Prefer": "wait=1"})
    made = data_of(answer, 201)
    assert made["status"] == made["generation"]["status"] == "queued"
    assert answer.headers["preference-applied"] == "wait=1"


async def test_a_replay_waits_too(service: Service, store: StoreClient) -> None:
    session_id = await store.created("order-1")
    asking = store.create("order-1", headers={"Prefer": "wait=60"})
    async with asked(service, asking) as answer:
        await fail(service, store, session_id)
    made = data_of(await answer, 200)
    assert (await answer).headers["idempotent-replayed"] == "true"
    assert (made["session_id"], made["status"], made["balance"]) == (session_id, "failed", 100)
    assert made["generation"]["credits_refunded"] == 1


async def test_who_does_not_wait_is_told_no_generation(store: StoreClient) -> None:
    for prefer in ({}, {"Prefer": "return=minimal"}, {"Prefer": "wait=soon"}):
        answer = await store.create(headers=prefer)
        assert "generation" not in data_of(answer, 201)
        assert "preference-applied" not in answer.headers


async def test_refusals_do_not_wait(operator: Operator) -> None:
    poor = await operator.store(credits=0)
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        answer = await poor.create(headers={"Prefer": "wait=60"})
    error_of(answer, 402, "INSUFFICIENT_CREDITS")


async def test_all_are_looked_up_when_the_listener_has_lost_its_connection(
    service: Service, store: StoreClient, admin: asyncpg.Connection
) -> None:
    ids = [await store.created() for _ in range(5)]
    tasks = [asyncio.create_task(store.get(path(each), wait=60)) for each in ids]
    await waiting(service, 5)
    await looked_up(store)
    # Only from its first ping on does the connection show what it is looked for by.
    await until(service.listener.is_fresh)
    # Ended without a word: what a lost connection does not hear.
    await admin.execute(
        "UPDATE sessions SET status = 'failed', completed_at = now(), input = NULL,"
        " error_code = 'GENERATION_FAILED'"
    )
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND query LIKE '%pg_listening_channels%'"
        " AND pid <> pg_backend_pid()"
    )
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        answers = await asyncio.gather(*tasks)
    assert {data_of(answer)["status"] for answer in answers} == {"failed"}


async def test_a_look_that_fails_is_made_again(
    service: Service, store: StoreClient, admin: asyncpg.Connection, log: LogStream
) -> None:
    session_id = await store.created()
    async with asked(service, store.get(path(session_id), wait=60)) as answer:
        await looked_up(store)
        await admin.execute("REVOKE SELECT ON sessions FROM storecredit_app")
        await complete(service, store, session_id)
        await until(lambda: len(log.events("endings_not_read")) >= 2)
        assert not answer.done()
        await admin.execute("GRANT SELECT ON sessions TO storecredit_app")
    assert data_of(await answer)["status"] == "completed"


async def test_what_cannot_be_read_is_not_waited_for(
    service: Service, store: StoreClient, database: Database
) -> None:
    session_id = await store.created("order-1")
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        # The commits have connections of their own: a generation is made, and that is told.
        await database.close()
        error_of(await store.get(path(session_id), wait=60), 503, "SERVICE_UNAVAILABLE")
        answer = await store.create("order-1", headers={"Prefer": "wait=60"})
    assert "generation" not in data_of(answer, 200)


async def test_a_stop_answers_all_that_wait(service: Service, store: StoreClient) -> None:
    session_id = await store.created()
    tasks = [asyncio.create_task(store.get(path(session_id), wait=60)) for _ in range(20)]
    await waiting(service, 20)
    service.parts.endings.close()
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        answers = await asyncio.gather(*tasks)
        late = await store.get(path(session_id), wait=60)
        created = await store.create(headers={"Prefer": "wait=60"})
    assert {data_of(answer)["status"] for answer in [*answers, late]} == {"queued"}
    assert "generation" not in data_of(created, 201)
