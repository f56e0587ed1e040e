"""Room on the disk, connections, the right to write: what clients get without them, and after.

Each time the service is asked all the while. Answers are 201, 200 and `503` with `Retry-After`
alone (`Load` sees to it), nothing acknowledged is lost or done twice, and once there is again what
had run out the service goes on by itself.
"""

import contextlib
import itertools
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from storecredit.postgres.embedded.cluster import SUPERUSER
from storecredit.postgres.embedded.embedded_postgres import DATABASE
from tests.crash.audit import assert_books_hold, books_of, drained
from tests.crash.deployment import Deployment
from tests.crash.generator_stand_in import generator_stand_in
from tests.crash.load import Account, Load
from tests.crash.processes import Processes, RunningProcess
from tests.crash.small_disk import fill, small_disk, used_bytes
from tests.crash.waiting import until

pytestmark = pytest.mark.timeout(300)

A_WHILE = 20
TOLD_MAX_SECONDS = 60.0
ROOM_BYTES = 48 * 1024 * 1024
"""What is left on the disk beside the database, until something fills it."""


END_OF_THE_SERVICES = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                         WHERE application_name = 'storecredit'"""
OF_THE_SERVICE = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'storecredit'"


async def refused(load: Load) -> None:
    """Wait until clients are told to come again, by answers only that began from now on."""
    before = load.statuses[503]
    await until(
        lambda: load.statuses[503] > before or bool(load.wrong),
        "somebody is told to come again",
        TOLD_MAX_SECONDS,
        lambda: str(load.statuses),
    )


async def assert_not_ready(service: RunningProcess) -> None:
    async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/health/live")).status_code == 200
        metrics = await client.get("/metrics")
        assert metrics.status_code == 200
        # What the database is asked for is absent, and the alert on it is not.
        assert "storecredit_stores_at_zero " not in metrics.text


async def assert_all_is_well_again(deployment: Deployment, load: Load) -> None:
    """It goes on; what was not acknowledged is sent again; then every row is judged."""
    await load.until_acknowledged(A_WHILE)
    await load.ask_again()
    worker = await deployment.work()
    async with books_of(deployment.processes.data_dir) as books:
        await drained(books)
        await assert_books_hold(books, load, deployment.generator, deployment.processes.data_dir)
    assert load.unacknowledged == []
    assert await worker.stop() == 0


@asynccontextmanager
async def superuser(deployment: Deployment) -> AsyncIterator[asyncpg.Connection]:
    # In its fifth line the server says where its socket is.
    said = (deployment.processes.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    connection = await asyncpg.connect(host=said[4], user=SUPERUSER, database=DATABASE)
    try:
        yield connection
    finally:
        connection.terminate()


@pytest.fixture
def on_a_small_disk(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Processes]:
    """A data directory that is a disk by itself, with little room beside what is there."""
    started = Processes(tmp_path_factory.mktemp("disk"))
    with small_disk(started.data_dir, used_bytes(migrated) + ROOM_BYTES):
        subprocess.run(["cp", "-a", f"{migrated}/.", str(started.data_dir)], check=True)
        yield started
        started.end_all()


async def test_a_full_disk(on_a_small_disk: Processes, seed: str) -> None:
    """First tables cannot grow; then PostgreSQL ends, as it cannot write down what is done."""
    async with generator_stand_in(seed) as generator:
        deployment = Deployment(on_a_small_disk, generator, seed)
        service = await deployment.serve("--no-worker")
        async with deployment.load(service) as load:
            await load.until_acknowledged(A_WHILE)
            filling = fill(on_a_small_disk.data_dir)
            await refused(load)
            async with superuser(deployment) as connection:
                with contextlib.suppress(asyncpg.PostgresError, OSError):
                    while True:
                        await connection.execute("SELECT pg_switch_wal()")
                        await connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS one ()")
                        await connection.execute("DROP TABLE one")
            await until(
                lambda: bool(service.events("postgres_died")),
                "PostgreSQL ends",
                TOLD_MAX_SECONDS,
                on_a_small_disk.log_tails,
            )
            await refused(load)
            await assert_not_ready(service)
            filling.unlink()
            await assert_all_is_well_again(deployment, load)
            await deployment.assert_verified(service)


async def test_no_free_connection(deployment: Deployment) -> None:
    """First all are taken but the service's own, with which it goes on; then those, too."""
    service = await deployment.serve("--no-worker")
    async with deployment.load(service) as load:
        await load.until_acknowledged(A_WHILE)
        async with superuser(deployment) as ours, contextlib.AsyncExitStack() as others:
            assert await take_all(deployment, others) > 0
            await load.until_acknowledged(A_WHILE)
            while await ours.fetchval(OF_THE_SERVICE):
                # Each that it loses is another's before it can be made anew.
                await ours.execute(END_OF_THE_SERVICES)
                await take_all(deployment, others)
            await refused(load)
            await assert_not_ready(service)
        await assert_all_is_well_again(deployment, load)
        await deployment.assert_verified(service)


async def take_all(deployment: Deployment, others: contextlib.AsyncExitStack) -> int:
    """Take every connection that PostgreSQL still gives; how many that were."""
    for number in itertools.count():
        try:
            await others.enter_async_context(superuser(deployment))
        except asyncpg.TooManyConnectionsError:
            return number
    raise AssertionError("it counts on")


async def assert_read(service: RunningProcess, account: Account) -> None:
    async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
        assert (await client.get("/health/ready")).status_code == 200
        bearer = {"Authorization": f"Bearer {account.secret}"}
        assert (await client.get("/api/v1/credits/balance", headers=bearer)).status_code == 200


async def test_a_database_that_only_reads(deployment: Deployment) -> None:
    """As providers set it where the disk is nearly full: what is read is answered all the while."""
    service = await deployment.serve("--no-worker")
    async with deployment.load(service) as load:
        await load.until_acknowledged(A_WHILE)
        async with superuser(deployment) as ours:
            await ours.execute("SET default_transaction_read_only = off")
            await ours.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await ours.execute("SELECT pg_reload_conf()")
            await refused(load)
            await assert_read(service, deployment.accounts[0])
            await ours.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await ours.execute("SELECT pg_reload_conf()")
        await assert_all_is_well_again(deployment, load)
        await deployment.assert_verified(service)
