"""Processes restarted under load as the units of deploy/systemd have it: no request fails.

The test is systemd here: it listens on the address, passes the socket on to each process, stops by
SIGTERM and waits, starts anew and waits until the process is ready.
"""

import socket
from collections.abc import Iterator

import pytest

from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from tests.crash.audit import assert_books_hold, books_of, drained
from tests.crash.deployment import Deployment
from tests.crash.load import IDLE_CONNECTION_SECONDS, Load
from tests.crash.processes import RunningProcess
from tests.crash.systemd_units import Unit
from tests.free_ports import free_port
from tests.web import reverse_proxies

pytestmark = pytest.mark.timeout(300)

A_WHILE = 15
RESTARTS_OF_ONE = 3
FIRST, SECOND = (Unit("storecredit-api@.service", instance) for instance in "12")
WORKER = Unit("storecredit-worker@.service", "1")
RESTARTED = (FIRST, WORKER, SECOND, FIRST, WORKER, SECOND, FIRST)
NEVER_SAID = {
    # What a start or a lost database would be answered with is not to be what hides a failure.
    "commit_deadline_seconds": "60",
    "connection_drain_seconds": str(2 * IDLE_CONNECTION_SECONDS),
    "metrics_address": "127.0.0.1:0",
    # A worker that is slow here is not dead.
    "worker_heartbeat_timeout_seconds": "30",
}


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """The address as systemd keeps it."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as made:
        yield made


class Units:
    """Started from their files, on the database of the data directory."""

    def __init__(self, deployment: Deployment, listening: socket.socket, url: str | None) -> None:
        self._deployment = deployment
        self._listening = listening
        self._given = NEVER_SAID | ({} if url is None else {"database_url": url})

    async def start(self, unit: Unit) -> RunningProcess:
        settings = unit.settings | self._given
        del settings["data_dir"]
        command, *options = unit.command
        if command == "worker":
            return await self._deployment.work(**settings)
        return await self._deployment.serve_on(self._listening, *options, **settings)

    async def restarted(self, unit: Unit, running: RunningProcess) -> RunningProcess:
        assert await running.stop() == 0, running.log_tail()
        return await self.start(unit)


def assert_none_failed(load: Load) -> None:
    assert load.broken == []
    assert set(load.statuses) <= {200, 201}, load.statuses
    assert load.unacknowledged == []


async def test_api_and_workers_restarted_one_after_the_other(
    deployment: Deployment, listening: socket.socket
) -> None:
    postgres = EmbeddedPostgres(deployment.processes.data_dir)
    await postgres.start(create=False)
    try:
        units = Units(deployment, listening, postgres.admin_url)
        running = {unit: await units.start(unit) for unit in (FIRST, SECOND, WORKER)}
        async with deployment.load(running[FIRST]) as load:
            for unit in RESTARTED:
                await load.until_acknowledged(A_WHILE)
                running[unit] = await units.restarted(unit, running[unit])
            await load.until_acknowledged(A_WHILE)
            await load.stop()
            await assert_each_is_made_once(deployment, load)
        assert_none_failed(load)
    finally:
        for process in running.values():
            await process.stop()
        await postgres.stop()


async def assert_each_is_made_once(deployment: Deployment, load: Load) -> None:
    """No generation was lost, and none was made by two workers."""
    async with books_of(deployment.processes.data_dir) as books:
        await drained(books)
        await assert_books_hold(books, load, deployment.generator, deployment.processes.data_dir)
        begun = await books.fetch("SELECT request_id, attempts FROM sessions")
    asked = deployment.generator.asked
    assert asked
    for row in begun:
        assert asked[row["request_id"]] <= row["attempts"], "two workers asked for one attempt"


@pytest.mark.torture
async def test_the_service_with_its_own_database(
    deployment: Deployment, listening: socket.socket
) -> None:
    """The database is stopped and started, too: requests wait in line for it."""
    unit, units = Unit("storecredit.service"), Units(deployment, listening, None)
    running = await units.start(unit)
    async with deployment.load(running) as load:
        for _ in range(RESTARTS_OF_ONE):
            await load.until_acknowledged(A_WHILE)
            running = await units.restarted(unit, running)
        await load.until_acknowledged(A_WHILE)
        await load.stop()
        await assert_each_is_made_once(deployment, load)
    assert_none_failed(load)


@pytest.mark.torture
async def test_two_that_share_no_socket_behind_nginx(
    deployment: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """On two machines, or in containers: where nobody listens the proxy tries the other one."""
    ports = [free_port() for _ in range(2)]
    running = [await deployment.serve("--port", str(port), **NEVER_SAID) for port in ports]
    directory = tmp_path_factory.mktemp("proxy")
    async with (
        reverse_proxies.running("nginx", directory, ports, tls=False) as port,
        deployment.load(running[0]) as load,
    ):
        load.urls = [f"http://127.0.0.1:{port}"]
        for place in (0, 1, 0):
            await load.until_acknowledged(A_WHILE)
            assert await running[place].stop() == 0, running[place].log_tail()
            await load.until_acknowledged(A_WHILE)
            running[place] = await deployment.serve("--port", str(ports[place]), **NEVER_SAID)
        await load.until_acknowledged(A_WHILE)
        await load.stop()
    assert_none_failed(load)
