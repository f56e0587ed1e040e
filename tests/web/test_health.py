"""`GET /api/v1/health` with a key; `/health/live` and `/health/ready` without one."""

import time
from datetime import UTC, datetime

import asyncpg
import httpx

from tests.web.checklist import (
    METHODS,
    assert_only_a_working_key_is_let_in,
    assert_other_methods_are_refused,
    assert_reads_are_limited,
)
from tests.web.doors import Operator, StoreClient, data_of, error_of

PATH = "/api/v1/health"


async def test_a_working_key_is_told_its_store_and_the_time(store: StoreClient) -> None:
    before = time.time()
    data = data_of(await store.get(PATH))
    timestamp = data.pop("timestamp")
    assert data == {"status": "ok", "store_id": store.store_id}
    assert timestamp.endswith("Z")
    told = datetime.fromisoformat(timestamp)
    assert datetime.fromtimestamp(before, UTC) <= told <= datetime.fromtimestamp(time.time(), UTC)


async def test_only_a_working_key_is_let_in(operator: Operator) -> None:
    await assert_only_a_working_key_is_let_in(operator, "GET", PATH)


async def test_other_methods_are_refused(store: StoreClient) -> None:
    await assert_other_methods_are_refused(store, PATH, "GET")


async def test_reads_are_limited(operator: Operator) -> None:
    await assert_reads_are_limited(operator, PATH)


async def test_a_service_that_works_says_so_to_anybody(api: httpx.AsyncClient) -> None:
    for path in ("/health/live", "/health/ready"):
        assert data_of(await api.get(path)) == {"status": "ok"}
        for method in sorted(set(METHODS) - {"GET", "HEAD"}):
            answer = await api.request(method, path)
            assert answer.status_code == 405
            assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


async def test_a_database_that_was_migrated_by_an_older_version_is_not_ready(
    api: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    await admin.execute("UPDATE schema_version SET migration = '0000_before'")
    answer = await api.get("/health/ready")
    assert "migrate" in error_of(answer, 503, "SERVICE_UNAVAILABLE")["message"]
    assert int(answer.headers["retry-after"]) >= 1
    data_of(await api.get("/health/live"))
