"""Crowds that want nothing: connections that idle, heads and bodies without end, answers unread.

They are sent to a real process, whose memory is looked at from outside: each costs so much and no
more, and whoever asks something meanwhile is served.
"""

import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psutil
import pytest

from storecredit.web.http.protocol import DESCRIPTORS_KEPT, HEAD_MAX_BYTES
from tests.crash.deployment import Deployment
from tests.crash.processes import RunningProcess
from tests.crash.waiting import until

IDLE: Final = 1000
IDLE_BYTES_MAX: Final = 40_000
"""Of the service's memory, for each of many idle connections."""
BUSY: Final = 50
BUFFERED_BYTES_MAX: Final = 256 * 1024
"""What the service holds of what was sent, beside a head, or of what nobody reads."""
ANSWER_SECONDS_MAX: Final = 20.0
HEAD: Final = b"HTTP/1.1\r\nHost: a.example\r\n"


class Crowd:
    """Connections to one service, none of which ever reads."""

    def __init__(self, service: RunningProcess, opened: ExitStack) -> None:
        place = urlsplit(service.url)
        self._address = place.hostname or "127.0.0.1", place.port or 0
        self._opened = opened

    def join(self, content: bytes = b"") -> None:
        """One more: it sends as much of this as the service takes."""
        connection = self._opened.enter_context(socket.create_connection(self._address))
        connection.setblocking(False)
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[connection.send(rest) :]
        except (BlockingIOError, ConnectionError):
            pass  # it takes no more


@contextmanager
def crowd(service: RunningProcess) -> Iterator[Crowd]:
    with ExitStack() as opened:
        yield Crowd(service, opened)


async def grown_by(
    deployment: Deployment, service: RunningProcess, come: Callable[[], None]
) -> int:
    """How many bytes of memory the service takes more, once they have come and it has answered."""
    before = memory_of(service)
    come()
    await served(deployment, service)
    return memory_of(service) - before


def memory_of(service: RunningProcess) -> int:
    resident: int = psutil.Process(service.pid).memory_info().rss
    return resident


async def served(deployment: Deployment, service: RunningProcess) -> None:
    """A store that asks for a generation is given one, and the service says that it is ready."""
    await deployment.create(service, deployment.accounts[0], f"order-{uuid4()}")
    async with httpx.AsyncClient(base_url=service.url) as client:
        for path in ("/health/live", "/health/ready"):
            answer = await client.get(path)
            assert answer.status_code == 200, answer.text


def open_connections(service: RunningProcess) -> int:
    """How many descriptors it has open."""
    return psutil.Process(service.pid).num_fds()


async def test_idle_connections_cost_little(deployment: Deployment) -> None:
    service = await deployment.serve()
    await served(deployment, service)

    with crowd(service) as idle:

        def come() -> None:
            for _ in range(IDLE):
                idle.join(b"GET /health/live " + HEAD + b"\r\n")

        grown = await grown_by(deployment, service, come)
        assert open_connections(service) > IDLE

    print(f"{grown // IDLE:,} bytes for each idle connection")  # noqa: T201 - a figure of the docs
    assert grown < IDLE * IDLE_BYTES_MAX
    await served(deployment, service)


ENDLESS: Final = {
    "heads": b"GET /health/live " + HEAD + b"X-Long: " + b"x" * (HEAD_MAX_BYTES - 1000),
    "bodies": b"POST /api/v1/generation/create "
    + HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + (b"10000\r\n" + b" " * 0x10000 + b"\r\n") * 100,
    "announced bodies": b"POST /api/v1/generation/create "
    + HEAD
    + b"Content-Length: 4000000\r\n\r\n"
    + b" " * 3_999_999,
    "requests": (b"GET /api/openapi.json " + HEAD + b"\r\n") * 500,
    "nonsense": b"\0" * 1_000_000,
}


async def test_what_never_ends_is_held_within_limits(deployment: Deployment) -> None:
    """Nor does an answer that nobody reads cost more: the document is longer than all else."""
    service = await deployment.serve()
    await served(deployment, service)
    async with httpx.AsyncClient(base_url=service.url) as client:
        longest = len((await client.get("/api/openapi.json")).content)
    assert longest > 4 * BUFFERED_BYTES_MAX

    for name, content in ENDLESS.items():
        with crowd(service) as busy:

            def come(busy: Crowd = busy, content: bytes = content) -> None:
                for _ in range(BUSY):
                    busy.join(content)

            grown = await grown_by(deployment, service, come)
        print(f"{name}: {grown // BUSY:,} bytes each")  # noqa: T201 - a figure of the docs
        assert grown < BUSY * (HEAD_MAX_BYTES + BUFFERED_BYTES_MAX), name
    await served(deployment, service)
    assert service.events("request_broke") == []
    assert {line["status"] // 100 for line in service.events("request")} <= {2, 4}


@pytest.mark.torture
@pytest.mark.timeout(0)
async def test_as_many_idle_connections_as_one_process_takes(deployment: Deployment) -> None:
    service = await deployment.serve()
    await served(deployment, service)
    most = with_all_descriptors(service)
    more = most // 50

    with crowd(service) as idle:

        def come() -> None:
            for _ in range(most):
                idle.join()

        grown = await grown_by(deployment, service, come)
        print(f"{most:,} connections: {grown / 2**20 / most * 1000:.1f} MiB per 1,000")  # noqa: T201 - likewise
        assert grown < most * IDLE_BYTES_MAX
        for _ in range(more):
            idle.join(b"GET /health/live " + HEAD + b"\r\n")
        await served(deployment, service)
        assert open_connections(service) < most + DESCRIPTORS_KEPT

    await until(
        lambda: open_connections(service) < DESCRIPTORS_KEPT,
        "all are closed",
        ANSWER_SECONDS_MAX,
        service.log_tail,
    )
    await served(deployment, service)
    assert service.events("request_broke") == []


def with_all_descriptors(service: RunningProcess) -> int:
    """How many connections fit between this process and the service, with all they may open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    psutil.Process(service.pid).rlimit(psutil.RLIMIT_NOFILE, (hard, hard))
    return min(10_000, hard - DESCRIPTORS_KEPT)
