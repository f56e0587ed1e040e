"""The first host of the URL is silent: it is passed over, and the service works on the second."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from storecredit.postgres.pool import Database
from storecredit.service import assembled
from storecredit.settings import Settings
from tests.postgres.replication.callers import Shop
from tests.postgres.replication.nodes import DATABASE, USER, Pair
from tests.web.conftest import http_client

BACKLOG_TRIES = 8
CONNECT_SECONDS = 0.2


@pytest.fixture(params=["accepts and says nothing", "lets nobody in"])
def silent_port(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port where nothing is ever said."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(128 if request.param == "accepts and says nothing" else 0)
        port: int = listening.getsockname()[1]
        if request.param == "lets nobody in":
            _fill_backlog(stack, port)
        yield port


def _fill_backlog(stack: contextlib.ExitStack, port: int) -> None:
    """Connect until the kernel drops who comes next, as a firewall would."""
    for _ in range(BACKLOG_TRIES):
        waiting = stack.enter_context(socket.socket())
        waiting.settimeout(CONNECT_SECONDS)
        try:
            waiting.connect(("127.0.0.1", port))
        except TimeoutError:
            return
    raise AssertionError("the backlog has no end")


async def test_a_silent_first_host_is_passed_over(
    pair: Pair, shop: Shop, data_dir: Path, silent_port: int
) -> None:
    hosts = f"127.0.0.1:{silent_port},{pair.primary.address}"
    url = f"postgresql://{USER}@{hosts}/{DATABASE}?connect_timeout=1"
    database = await Database.open(url)
    async with (
        assembled(Settings(data_dir=data_dir), database) as service,
        http_client(service) as client,
    ):
        assert (await shop.create(client, "one")).status_code == 201
        assert (await client.get("/health/ready")).status_code == 200
    await database.close()
