"""Machines that share a database and a bucket, and no folder; one dies with its result stored."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from stand_ins.http_server import Answer, Received
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from tests.crash.deployment import ADMIN_TOKEN, BRIEF_WAITS
from tests.crash.processes import Processes
from tests.crash.waiting import until, until_true
from tests.image_files import data_url, picture
from tests.s3_bucket import URL, RunningBucket, running_bucket
from tests.web.doors import CREATE, bearer, data_of

pytestmark = pytest.mark.timeout(300)
WAIT_MAX_SECONDS = 60.0


@pytest.fixture
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """On a server that runs already: none has a data directory with a database."""
    started = Processes(tmp_path_factory.mktemp("machines"))
    yield started
    started.end_all()


@pytest.fixture
async def bucket(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningBucket]:
    async with running_bucket(monkeypatch) as running:
        yield running


async def test_a_worker_that_dies_with_its_result_stored_loses_and_doubles_nothing(
    processes: Processes,
    bucket: RunningBucket,
    database_url: str,
    database: Database,
    admin: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    def machine(name: str) -> dict[str, str]:
        return BRIEF_WAITS | {
            "STORECREDIT_ADMIN_TOKEN": ADMIN_TOKEN,
            "STORECREDIT_DATABASE_URL": database_url,
            "STORECREDIT_DATA_DIR": str(tmp_path / name),
            "STORECREDIT_GENERATION_TIMEOUT_SECONDS": "60",
            "STORECREDIT_LOG_FORMAT": "json",
            "STORECREDIT_RESULTS": URL,
        }

    async def stored_and_not_told(request: Received) -> Answer:
        answer = bucket.s3(request)
        if request.method == "PUT":
            await asyncio.Event().wait()
        return answer

    door = await processes.start("serve", "--no-worker", "--port", "0", environment=machine("api"))
    dying = await processes.start("worker", environment=machine("one"))
    bucket.server.handler = stored_and_not_told
    async with httpx.AsyncClient(base_url=door.url) as http:
        made = data_of(
            await http.post(
                "/api/admin/stores",
                headers=bearer(ADMIN_TOKEN),
                json={"name": "A", "shop_domain": "a.example", "tier": "unlimited", "credits": 5},
            ),
            201,
        )
        key = bearer(made["api_key"])
        body = {"image_urls": [data_url(picture())]}
        session_id = data_of(await http.post(CREATE, headers=key, json=body), 201)["session_id"]
        name = f"{made['store_id']}/{session_id}.png"
        await until(
            lambda: name in bucket.names(),
            "the result is stored",
            WAIT_MAX_SECONDS,
            processes.log_tails,
        )
        dying.kill()
        bucket.comes_back()
        await processes.start("worker", environment=machine("two"))

        async def is_completed() -> bool:
            read = await http.get(f"/api/v1/generation/{session_id}", headers=key)
            return bool(data_of(read)["status"] == "completed")

        await until_true(
            is_completed, "another completes it", WAIT_MAX_SECONDS, processes.log_tails
        )
        done = data_of(await http.get(f"/api/v1/generation/{session_id}", headers=key))
        async with httpx.AsyncClient() as anybody:
            image = await anybody.get(done["result_url"])
        assert (image.status_code, image.headers["content-type"]) == (200, "image/png")
    assert {each for each in bucket.names() if "/" in each} == {name}
    rows = await admin.fetch("SELECT type, amount, balance_after FROM movements ORDER BY seq")
    assert [tuple(row) for row in rows] == [("grant", 5, 5), ("deduction", 1, 4)]
    assert (await verify(database)).clean
    assert not list(tmp_path.rglob("*.png")), "no machine has a picture of its own"
