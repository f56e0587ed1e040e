"""The clock of the service's machine jumps, by ten years ahead and back behind: nothing happens.

What begins, ends and expires does so by the database's clock, which is right here. libfaketime
gives the service's processes another one, and changes it under way; what they measure (how long
something took) is not changed by it, as it is not on a machine whose clock is set.
"""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from tests.crash.audit import books_of, drained
from tests.crash.clock import RIGHT, Clock
from tests.crash.processes import Processes
from tests.crash.waiting import until_true
from tests.e2e.conftest import COMMAND
from tests.free_ports import free_port
from tests.image_files import data_url, picture

pytestmark = pytest.mark.timeout(300)

START_MAX_SECONDS = 100.0
OPERATOR = {"Authorization": "Bearer operator-of-the-clock"}
IMAGE = data_url(picture())
CREATE, BALANCE = "/api/v1/generation/create", "/api/v1/credits/balance"
HOLDS = "/api/v1/credits/holds"
A_DAY, A_YEAR = timedelta(days=1), timedelta(days=365)
AHEAD, BEHIND = "+3650d", "-3650d"


class Service:
    """`storecredit serve` with that clock, and whoever calls it."""

    def __init__(self, directory: Path, clock: Clock, url: str) -> None:
        self._directory = directory
        self._environment = clock.environment | {
            "PATH": os.environ["PATH"],
            "STORECREDIT_ADMIN_TOKEN": OPERATOR["Authorization"].removeprefix("Bearer "),
            "STORECREDIT_DATA_DIR": str(directory / "of-the-service"),
            "STORECREDIT_DATABASE_URL": url,
            "STORECREDIT_LOG_FORMAT": "json",
            "STORECREDIT_PORT": str(free_port()),
            "STORECREDIT_SWEEP_INTERVAL_SECONDS": "0.2",
        }
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self._environment['STORECREDIT_PORT']}", timeout=30
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.key = ""

    async def start(self) -> None:
        log_path = self._directory / "log"
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [COMMAND, "serve"], env=self._environment, stdout=log, stderr=log
            )

        async def is_ready() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return (await self._http.get("/health/ready")).status_code == 200
            return False

        await until_true(is_ready, "it serves", START_MAX_SECONDS, log_path.read_text)

    async def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            assert await asyncio.to_thread(self._process.wait, START_MAX_SECONDS) == 0
            self._process = None

    async def close(self) -> None:
        """Who calls it goes."""
        await self._http.aclose()

    async def asked(self, method: str, path: str, secret: str = "", **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {secret or self.key}"}
        return await self._http.request(method, path, headers=headers, json=body or None)

    async def data(self, method: str, path: str, secret: str = "", **body: Any) -> Any:
        answer = await self.asked(method, path, secret, **body)
        assert answer.is_success, answer.text
        return answer.json()["data"]

    async def until_years_off(self, years: int) -> None:
        """Wait until its clock is so far ahead."""

        async def is_off() -> bool:
            said = await self.data("GET", "/api/v1/health")
            apart = datetime.fromisoformat(said["timestamp"]) - datetime.now(UTC)
            return round(apart / A_YEAR) == years

        await until_true(is_off, f"it is {years} years ahead", START_MAX_SECONDS, str)

    async def image(self, session_id: str) -> httpx.Response:
        """Its result, by a link handed out now."""

        async def is_there() -> bool:
            found.update(await self.data("GET", f"/api/v1/generation/{session_id}"))
            return bool(found["status"] == "completed")

        found: dict[str, Any] = {}
        await until_true(is_there, "it is made", START_MAX_SECONDS, lambda: str(found))
        return await self._http.get(httpx.URL(found["result_url"]).raw_path.decode())


@pytest.fixture
async def service(processes: Processes, tmp_path: Path) -> AsyncIterator[Service]:
    """Runs where the clock can be set, and its database where it is right."""
    postgres = EmbeddedPostgres(processes.data_dir)
    await postgres.start(create=False)
    running = Service(tmp_path, Clock(tmp_path / "clock"), postgres.admin_url)
    try:
        await running.start()
        yield running
    finally:
        await running.stop()
        await running.close()
        await postgres.stop()


@pytest.mark.torture
async def test_credits_holds_keys_and_results_live_as_long_as_the_database_says(
    service: Service, tmp_path: Path, processes: Processes
) -> None:
    begun_at, clock = datetime.now(UTC), Clock(tmp_path / "clock")
    operator = OPERATOR["Authorization"].removeprefix("Bearer ")
    made = await service.data(
        *("POST", "/api/admin/stores", operator),
        name="A",
        shop_domain="a.example",
        tier="unlimited",
    )
    store, ends_at = f"/api/admin/stores/{made['store_id']}", (begun_at + A_DAY).isoformat()
    await service.data(
        *("POST", f"{store}/credits", operator),
        amount=50,
        type="grant",
        request_id="day",
        expires_at=ends_at,
    )
    key = await service.data("POST", f"{store}/keys", operator, expires_at=ends_at)
    service.key = key["api_key"]
    held = await service.data("POST", HOLDS, amount=10, expires_in_seconds=3600)
    first = await service.data("POST", CREATE, image_urls=[IMAGE])
    assert (await service.image(first["session_id"])).is_success

    left = 50 - 10 - 1
    for offset, years in ((AHEAD, 10), (BEHIND, -10), (RIGHT, 0)):
        clock.set(offset)
        await service.until_years_off(years)
        for is_new in (False, True) if offset == AHEAD else (False,):
            if is_new:
                # The first thing that a service does is to look what is to be cleared away.
                await service.stop()
                await service.start()
            session = await service.data("POST", CREATE, image_urls=[IMAGE])
            left -= 1
            assert (await service.image(session["session_id"])).is_success
            assert (await service.image(first["session_id"])).is_success
            assert (await service.data("GET", f"{HOLDS}/{held['hold_id']}"))["status"] == "held"
            assert (await service.data("GET", BALANCE))["balance"] == left
    captured = await service.data("POST", f"{HOLDS}/{held['hold_id']}/capture", amount=10)
    assert captured["status"] == "captured"

    assert (await service.data("GET", "/api/admin/verify", operator))["clean"] is True
    async with books_of(processes.data_dir) as books:
        await drained(books)
        for table in ("movements", "sessions", "holds"):
            moments = await books.fetch(f"SELECT created_at FROM {table}")
            assert moments
            for (moment,) in moments:
                assert begun_at - A_DAY < moment < datetime.now(UTC) + A_DAY, table
