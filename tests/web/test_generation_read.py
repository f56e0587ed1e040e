"""`GET /api/v1/generation/{session_id}`."""

import re

import asyncpg

from stand_ins.http_server import json_answer, stand_in
from tests.web.checklist import (
    UNKNOWN,
    assert_only_a_working_key_is_let_in,
    assert_other_methods_are_refused,
    assert_reads_are_limited,
)
from tests.web.conftest import WorkerStarter
from tests.web.doors import Operator, StoreClient, data_of, error_of

PATH = "/api/v1/generation/{}"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


async def test_a_queued_generation_is_told_with_every_field(store: StoreClient) -> None:
    session_id = await store.created("order-1", metadata={"cart": "c-1"})
    data = data_of(await store.get(PATH.format(session_id)))
    assert MOMENT.fullmatch(data.pop("created_at"))
    assert data == {
        "session_id": session_id,
        "status": "queued",
        "request_id": "order-1",
        "result_url": None,
        "error_code": None,
        "error_message": None,
        "credits_charged": 1,
        "credits_refunded": 0,
        "metadata": {"cart": "c-1"},
        "started_at": None,
        "completed_at": None,
    }


async def test_until_it_has_ended_it_is_told_when_to_look_again(
    store: StoreClient, admin: asyncpg.Connection, worker: WorkerStarter
) -> None:
    session_id = await store.created()
    for age_seconds, wait_seconds in ((-5, 1), (0, 1), (20, 10), (3000, 15)):
        await admin.execute(
            "UPDATE sessions SET created_at = now() - $1 * interval '1 s'",
            age_seconds,
        )
        answer = await store.get(PATH.format(session_id))
        assert data_of(answer)["status"] == "queued"
        # It grew a little older on the way.
        assert wait_seconds <= int(answer.headers["retry-after"]) <= wait_seconds + 5
    async with worker():
        await store.ended(session_id)
    assert "retry-after" not in (await store.get(PATH.format(session_id))).headers


async def test_a_completed_one_has_a_link_and_its_times(
    store: StoreClient, worker: WorkerStarter
) -> None:
    async with worker():
        data = await store.ended(await store.created())
    assert data["status"] == "completed"
    assert data["result_url"].startswith("http://api.test/results/")
    assert (data["error_code"], data["error_message"]) == (None, None)
    assert (data["credits_charged"], data["credits_refunded"]) == (1, 0)
    moments = [data["created_at"], data["started_at"], data["completed_at"]]
    assert all(MOMENT.fullmatch(moment) for moment in moments)
    assert moments == sorted(moments)


async def test_a_blocked_one_says_so_and_that_the_credit_came_back(
    store: StoreClient, worker: WorkerStarter
) -> None:
    async with worker():
        data = await store.ended(await store.created(prompt="a forbidden hat"))
    assert data["status"] == "failed"
    assert data["error_code"] == "MODERATION_BLOCKED"
    assert data["error_message"] == "The prompt contains a blocked term."
    assert data["result_url"] is None
    assert (data["credits_charged"], data["credits_refunded"]) == (1, 1)


async def test_a_failed_one_says_so_and_that_the_credit_came_back(
    store: StoreClient, worker: WorkerStarter
) -> None:
    async with (
        stand_in(json_answer({}, status=400)) as outside,
        worker(generator="http", generator_url=outside.url()),
    ):
        data = await store.ended(await store.created())
    assert data["error_code"] == "GENERATOR_REJECTED"
    assert data["error_message"] == "The generator answered with status 400."
    assert (data["credits_charged"], data["credits_refunded"]) == (1, 1)


async def test_another_stores_generation_is_as_absent_as_an_unknown_one(
    operator: Operator,
) -> None:
    owner, other = await operator.store(), await operator.store()
    session_id = await owner.created()
    answer = await other.get(PATH.format(session_id))
    foreign = error_of(answer, 404, "NOT_FOUND")
    assert foreign == error_of(await other.get(PATH.format(UNKNOWN)), 404, "NOT_FOUND")
    data_of(await owner.get(PATH.format(session_id)))


async def test_what_is_no_id_is_not_found(store: StoreClient) -> None:
    session_id = await store.created()
    for no_id in ("7", session_id[:-1], f"{session_id}0", "%00", "..%2f..%2fadmin", "'", "é"):
        error_of(await store.get(PATH.format(no_id)), 404, "NOT_FOUND")
    for same_id in (session_id.upper(), f"{session_id}/"):
        assert data_of(await store.get(PATH.format(same_id)))["session_id"] == session_id


async def test_only_a_working_key_is_let_in(operator: Operator) -> None:
    session_id = await (await operator.store()).created()
    await assert_only_a_working_key_is_let_in(operator, "GET", PATH.format(session_id))


async def test_other_methods_are_refused(store: StoreClient) -> None:
    await assert_other_methods_are_refused(store, PATH.format(UNKNOWN), "GET")


async def test_reads_are_limited(operator: Operator) -> None:
    await assert_reads_are_limited(operator, PATH.format(UNKNOWN))


async def test_another_id_than_a_sessions_is_told_where_it_can_be_found(
    store: StoreClient,
) -> None:
    await store.created("order-1001")
    for name in ("order-1001", "123", "%00", "a%20b"):
        error = error_of(await store.get(PATH.format(name)), 404, "NOT_FOUND")
        assert "/api/v1/generations?request_id=" in error["message"]
        assert name not in error["message"]
