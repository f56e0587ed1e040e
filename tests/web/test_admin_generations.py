"""`GET /api/admin/stores/{store_id}/generations`: what the generator said, for the operator."""

from typing import Any

import pytest

from stand_ins.http_server import json_answer, stand_in
from tests.web.conftest import WorkerStarter
from tests.web.doors import Operator, StoreClient, data_of

QUOTA = {"error": {"code": "insufficient_quota", "message": "Check your plan. Prompt: a red hat"}}
SAID = "429 insufficient_quota: Check your plan. Prompt: a red hat"


async def failed(store: StoreClient, worker: WorkerStarter, body: object, status: int) -> Any:
    async with (
        stand_in(json_answer(body, status)) as outside,
        worker(generator="http", generator_url=outside.url()),
    ):
        return await store.ended(await store.created())


async def test_the_operator_reads_what_the_generator_said_and_the_store_does_not(
    operator: Operator, store: StoreClient, worker: WorkerStarter
) -> None:
    seen = await failed(store, worker, QUOTA, 429)

    page = data_of(await operator.get(f"/stores/{store.store_id}/generations", status="failed"))
    assert [item["generator_message"] for item in page["items"]] == [SAID]
    assert (seen["error_code"], seen["error_message"]) == (
        "GENERATOR_QUOTA_EXCEEDED",
        "The generator has no quota left.",
    )
    lists = await store.get("/api/v1/generations")
    assert "generator_message" not in lists.text
    assert "a red hat" not in lists.text
    assert "a red hat" not in str(seen)


async def test_where_the_generator_said_nothing_there_is_null(
    operator: Operator, store: StoreClient
) -> None:
    await store.created()
    page = data_of(await operator.get(f"/stores/{store.store_id}/generations"))
    assert [item["generator_message"] for item in page["items"]] == [None]


@pytest.mark.parametrize(
    "status, body, code",
    [
        (403, {"error": {"code": "invalid_api_key"}}, "GENERATOR_REJECTED"),
        (400, {"error": {"code": "content_filter"}}, "MODERATION_BLOCKED"),
        (500, {}, "GENERATOR_UNAVAILABLE"),
    ],
)
async def test_the_store_is_told_by_code_what_kind_of_failure_it_was(
    store: StoreClient, worker: WorkerStarter, status: int, body: object, code: str
) -> None:
    seen = await failed(store, worker, body, status)

    assert (seen["status"], seen["error_code"]) == ("failed", code)
    assert seen["credits_refunded"] == 1
    assert await store.balance() == 100
