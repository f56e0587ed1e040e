"""A running service of real processes for each test, whatever ends it.

`STORECREDIT_TEST_SEED` repeats a run's random choices; every failure shows the seed.
"""

import asyncio
import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from storecredit.postgres.schema.migrate import migrate
from tests.crash.deployment import Deployment
from tests.crash.generator_stand_in import generator_stand_in
from tests.crash.paddle_process import PaddleProcess
from tests.crash.processes import Processes
from tests.crash.selling_deployment import SellingDeployment

DEFAULT_SEED = "20"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> str:
    """Fixed for the short tests, so that they stay what they are; a new one for each torture."""
    chosen = os.environ.get("STORECREDIT_TEST_SEED")
    if chosen is None:
        is_torture = request.node.get_closest_marker("torture") is not None
        chosen = secrets.token_hex(4) if is_torture else DEFAULT_SEED
    print(f"STORECREDIT_TEST_SEED={chosen}")  # noqa: T201 - pytest shows it with a failure
    return chosen


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a migrated database, to copy."""
    data_dir = tmp_path_factory.mktemp("migrated")
    asyncio.run(_make_database(data_dir))
    return data_dir


async def _make_database(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir)
    await postgres.start()
    try:
        await migrate(postgres.admin_url, app_may_login=True)
    finally:
        await postgres.stop()


@pytest.fixture
def processes(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Not asynchronous: what was started must end even when the event loop is beyond help."""
    # Not `tmp_path`: with a test's name in it, it is too long for a Unix socket.
    started = Processes(tmp_path_factory.mktemp("crash"))
    # Unlike Python's own copying, it keeps the files' owner: the user PostgreSQL runs as.
    subprocess.run(["cp", "-a", str(migrated), str(started.data_dir)], check=True)
    yield started
    started.end_all()


@pytest.fixture
async def deployment(processes: Processes, seed: str) -> AsyncIterator[Deployment]:
    """An operator's service: nothing runs yet but the generator outside."""
    async with generator_stand_in(seed) as generator:
        yield Deployment(processes, generator, seed)


@pytest.fixture
async def selling(processes: Processes, seed: str) -> AsyncIterator[SellingDeployment]:
    """The same, with end users and with Paddle, which runs already."""
    async with generator_stand_in(seed) as generator, httpx.AsyncClient(timeout=30) as client:
        paddle = await PaddleProcess.open(processes, client, seed)
        yield SellingDeployment(processes, generator, seed, paddle)
