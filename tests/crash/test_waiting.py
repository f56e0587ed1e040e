"""Answers that wait, over several processes, through a stop, and by the thousand."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import httpx
import psutil
import pytest

from tests.crash.deployment import Deployment
from tests.crash.load import Account
from tests.crash.processes import RunningProcess
from tests.web.scrapes import samples_in, total
from tests.web.wire import RawAnswer, RawConnection, request

pytestmark = pytest.mark.timeout(300)

A_FEW = 100
MANY = 5000
MANY_MIB_MAX = 100.0
OPENED_AT_ONCE = 50
PATIENCE_SECONDS = 45.0
BODY = b'{"image_urls": ["https://images.example/a.png"]}'


@dataclass(frozen=True, slots=True)
class Door:
    """A serving process, and connections to it."""

    process: RunningProcess
    account: Account

    @asynccontextmanager
    async def asked(self, requests: Sequence[bytes]) -> AsyncIterator[list[RawConnection]]:
        """Each request on a connection of its own, none of them answered so far."""
        connections: list[RawConnection] = []
        port = int(self.process.url.rpartition(":")[2])

        async def ask(content: bytes) -> None:
            connection = RawConnection(*await asyncio.open_connection("127.0.0.1", port))
            connections.append(connection)
            await connection.send(content)

        try:
            for first in range(0, len(requests), OPENED_AT_ONCE):
                some = requests[first : first + OPENED_AT_ONCE]
                await asyncio.gather(*(ask(content) for content in some))
            yield connections
        finally:
            await asyncio.gather(*(connection.close() for connection in connections))

    def read(self, session_id: UUID) -> bytes:
        return request("GET", f"/api/v1/generation/{session_id}?wait=60", self._key)

    def create(self, request_id: str) -> bytes:
        keyed = (self._key, f"Idempotency-Key: {request_id}", "Prefer: wait=60")
        return request("POST", "/api/v1/generation/create", *keyed, body=BODY)

    @property
    def _key(self) -> str:
        return f"Authorization: Bearer {self.account.secret}"


async def waiting(service: RunningProcess, count: int) -> None:
    """Until so many wait."""
    async with httpx.AsyncClient(base_url=service.url) as client:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await _count(client) != count:  # noqa: ASYNC110  # another process sets no event
                await asyncio.sleep(0.05)


async def _count(client: httpx.AsyncClient) -> float:
    return total(samples_in((await client.get("/metrics")).text), "waiting")


async def answers(connections: Sequence[RawConnection]) -> list[RawAnswer]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await asyncio.gather(*(connection.answer() for connection in connections))


async def test_the_end_is_told_in_every_process_whichever_has_the_worker(
    deployment: Deployment,
) -> None:
    first, second = [await deployment.serve("--no-worker") for _ in range(2)]
    doors = [Door(process, deployment.accounts[0]) for process in (first, second)]
    session_id = await deployment.create(first, deployment.accounts[0], "a request")
    async with (
        doors[0].asked([doors[0].read(session_id), doors[0].create("another")]) as of_first,
        doors[1].asked([doors[1].read(session_id)]) as of_second,
    ):
        await waiting(first, 2)
        await waiting(second, 1)
        await deployment.work()
        ended = [answer.json()["data"] for answer in await answers([*of_first, *of_second])]
    assert {each["status"] for each in ended} <= {"completed", "failed"}
    assert ended[0] | {"result_url": None} == ended[2] | {"result_url": None}
    assert ended[1]["generation"]["status"] == ended[1]["status"]


async def test_a_stop_answers_all_that_wait_and_hangs_on_none(deployment: Deployment) -> None:
    service = await deployment.serve("--no-worker")
    door = Door(service, deployment.accounts[0])
    session_id = await deployment.create(service, deployment.accounts[0], "a request")
    asked = [door.read(session_id)] * A_FEW + [door.create(f"r{n}") for n in range(A_FEW)]
    async with door.asked(asked) as connections:
        await waiting(service, len(asked))
        stopping = asyncio.create_task(service.stop())
        told = await answers(connections)
        assert await stopping == 0, service.log_tail()
    assert [each.status for each in sorted(told, key=lambda it: it.status)] == [
        *[200] * A_FEW,
        *[201] * A_FEW,
    ]
    assert {each.json()["data"]["status"] for each in told} == {"queued"}
    assert {each.headers["connection"] for each in told} == {"close"}
    # uvicorn logs an error for each that it had to cut off.
    assert service.events("Cancel %s running task(s), timeout graceful shutdown exceeded") == []
    assert "ERROR" not in service.log_tail()


@pytest.mark.torture
@pytest.mark.parametrize("way", ["read", "create"])
async def test_thousands_that_wait_take_little_memory_and_are_told_when_it_stops(
    deployment: Deployment, way: str
) -> None:
    service = await deployment.serve("--no-worker")
    door = Door(service, deployment.accounts[0])
    ids = [await deployment.create(service, deployment.accounts[0], f"{n}") for n in range(100)]
    asked = [
        door.read(ids[n % len(ids)]) if way == "read" else door.create(f"waits {n}")
        for n in range(MANY)
    ]
    # What the first requests of a process make it load is none of it.
    async with door.asked(asked[:OPENED_AT_ONCE]):
        await waiting(service, OPENED_AT_ONCE)
    await waiting(service, 0)
    before = _mib(service)
    async with door.asked(asked) as connections:
        await waiting(service, MANY)
        taken = _mib(service) - before
        print(f"{MANY} waiting connections ({way}): {taken:.0f} MiB")  # noqa: T201 - the figure
        assert taken < MANY_MIB_MAX
        stopping = asyncio.create_task(service.stop())
        told = await answers(connections)
        assert await stopping == 0, service.log_tail()
    assert len(told) == MANY
    assert {each.json()["data"]["status"] for each in told} == {"queued"}


def _mib(service: RunningProcess) -> float:
    resident: int = psutil.Process(service.pid).memory_info().rss
    return resident / 2**20
