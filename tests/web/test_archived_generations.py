"""Generations that were archived, at the doors: replayed, read, listed, looked up, counted."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from storecredit.generation.archiving import Archiving
from storecredit.service import Service
from tests.passing_time import pass_time
from tests.web.conftest import WorkerStarter
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.users import UserClient, ended, refusal_of, result_of

PATH = "/api/v1/generation/{}"


async def archive_all(service: Service, admin: asyncpg.Connection, directory: Path) -> int | None:
    """Months pass, results are deleted, and what has ended is archived."""
    await pass_time(admin, timedelta(days=200))
    await service.sweep.sweep()
    await service.summing.sum_up()
    settings = service.parts.settings.model_copy(
        update={"archive": str(directory / "archive"), "sessions_kept_days": 90}
    )
    archiving = Archiving(service.parts.database, settings, service.parts.metrics)
    return await archiving.archive_now(asyncio.Event())


async def test_a_store_is_answered_as_before_and_told_where_its_generation_went(
    store: StoreClient,
    operator: Operator,
    service: Service,
    admin: asyncpg.Connection,
    worker: WorkerStarter,
    tmp_path: Path,
) -> None:
    other = await operator.store()
    async with worker():
        done = await store.created("order-1", metadata={"cart": "1"})
        failed = await store.created("order-2", prompt="forbidden")
        for session_id in (done, failed):
            await store.ended(session_id)
    assert await archive_all(service, admin, tmp_path) == 2

    for query in ("", "?wait=30"):
        error = error_of(await store.get(PATH.format(done) + query), 404, "NOT_FOUND")
        assert error["message"] == (
            f"This generation ended long ago (completed), and was archived on "
            f"{datetime.now(UTC):%Y-%m-%d}. What it cost stays in the ledger."
        )
    error = error_of(await other.get(PATH.format(done)), 404, "NOT_FOUND")
    assert error["message"] == "There is no such generation."
    assert data_of(await store.get("/api/v1/generations"))["items"] == []

    for headers in ({}, {"Prefer": "wait=30"}):
        answer = await store.create("order-1", headers=headers, metadata={"cart": "1"})
        assert data_of(answer) == {
            "session_id": done,
            "status": "completed",
            "request_id": "order-1",
            "credits_charged": 1,
            "balance": 99,
        }
        assert answer.headers["idempotent-replayed"] == "true"
    again = data_of(await store.create("order-2", prompt="forbidden"))
    assert (again["session_id"], again["status"]) == (failed, "failed")
    error_of(await store.create("order-1"), 422, "IDEMPOTENCY_CONFLICT")
    assert await store.balance() == 99
    verified = data_of(await operator.get("/verify"))
    assert (verified["clean"], verified["sessions"], verified["archived_sessions"]) == (True, 0, 2)


async def test_an_operator_finds_the_file_by_any_id(
    store: StoreClient,
    operator: Operator,
    service: Service,
    admin: asyncpg.Connection,
    worker: WorkerStarter,
    tmp_path: Path,
) -> None:
    async with worker():
        failed = await store.created("order-2", prompt="forbidden")
        await store.ended(failed)
    await archive_all(service, admin, tmp_path)
    for identifier in ("order-2", failed):
        found = data_of(await operator.get(f"/requests/{identifier}"))
        (record,) = found["requests"]
        (archived,) = record["archived"]
        assert (archived["session_id"], archived["status"]) == (failed, "failed")
        assert (tmp_path / "archive" / archived["file"]).is_file()
        assert archived["place"] == str(tmp_path / "archive")
        moment = record["time_line"][-1]
        assert moment["title"] == "Generation archived"
        assert archived["file"] in str(moment["details"])
        assert "with this generation (failed)" in str(record["time_line"][0])


async def test_an_end_user_still_has_it_counted(
    user: UserClient,
    service: Service,
    admin: asyncpg.Connection,
    worker: WorkerStarter,
    tmp_path: Path,
) -> None:
    created = result_of(await user.create("order-1"))["sessionId"]
    async with worker():
        await ended(user, created)
    before = result_of(await user.query("generation.getStats"))
    assert await archive_all(service, admin, tmp_path) == 1
    assert result_of(await user.query("generation.getStats")) == before
    asked = await user.query("generation.getById", {"sessionId": created})
    assert "archived on" in refusal_of(asked, 404, "NOT_FOUND", "generation.getById")
    replayed = result_of(await user.create("order-1"))
    assert replayed["sessionId"] == created
    assert await user.balance() == 9
