"""Connections on which nothing is asked: how long they are kept, how many, and how they end."""

import asyncio
import resource
from collections.abc import AsyncIterator

import pytest

from storecredit.settings import Settings
from storecredit.web.http import protocol
from storecredit.web.http.protocol import connections_max
from tests.web.wire import Wire, request, running_wire

ALIVE = request("GET", "/health/live")
HALF_A_HEAD = ALIVE[:30]


@pytest.fixture
async def impatient(wire_settings: Settings) -> AsyncIterator[Wire]:
    """A server that keeps idle connections for a second."""
    settings = wire_settings.model_copy(update={"idle_connection_seconds": 1})
    async with running_wire(settings) as running_server:
        yield running_server


def test_they_are_kept_longer_than_load_balancers_keep_theirs() -> None:
    of_envoy = 3600
    assert Settings().idle_connection_seconds > of_envoy


async def test_an_idle_connection_is_closed_when_its_time_is_over(impatient: Wire) -> None:
    used, unused = await impatient.connect(), await impatient.connect()
    await used.send(ALIVE)
    assert (await used.answer()).status == 200
    for connection in (used, unused):
        assert await connection.is_closed()


async def test_empty_lines_are_no_request_and_keep_nothing_open(impatient: Wire) -> None:
    connection = await impatient.connect()

    async def send_empty_lines() -> None:
        while True:
            await connection.send(b"\r\n")
            await asyncio.sleep(0.2)

    sending = asyncio.create_task(send_empty_lines())
    assert await connection.is_closed()
    sending.cancel()


async def test_a_connection_on_which_a_head_is_under_way_is_not_idle(impatient: Wire) -> None:
    idle, busy = await impatient.connect(), await impatient.connect()
    await busy.send(ALIVE + HALF_A_HEAD)
    assert (await busy.answer()).status == 200
    await idle.send(ALIVE)
    assert (await idle.answer()).status == 200
    assert await idle.is_closed()
    await busy.send(ALIVE[30:])
    assert (await busy.answer()).status == 200


async def test_idle_connections_do_not_hold_up_a_stop(wire_settings: Settings) -> None:
    async with running_wire(wire_settings) as running_server:
        reader, writer = await asyncio.open_connection("127.0.0.1", running_server.port)
        writer.write(ALIVE)
        await reader.readuntil(b"\r\n\r\n")
    assert b"HTTP" not in await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_beyond_the_maximum_the_one_that_was_idle_for_longest_is_closed(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "CONNECTIONS_MAX", 2)
    first, second = await wire.connect(), await wire.connect()
    for connection in (second, first, second):
        await connection.send(ALIVE)
        assert (await connection.answer()).status == 200
    third = await wire.connect()
    assert await first.is_closed()
    for connection in (second, third):
        await connection.send(ALIVE)
        assert (await connection.answer()).status == 200


async def test_where_all_are_busy_a_new_one_is_refused_and_they_go_on(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "CONNECTIONS_MAX", 1)
    busy = await wire.connect()
    await busy.send(ALIVE + HALF_A_HEAD)
    assert (await busy.answer()).status == 200
    refused = await wire.connect()
    answer = await refused.answer()
    assert (answer.status, answer.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert answer.headers["retry-after"]
    assert await refused.is_closed()
    await busy.send(ALIVE[30:])
    assert (await busy.answer()).status == 200


@pytest.mark.parametrize(
    "descriptors, connections",
    [(1024, 768), (256, 128), (1_048_576, 10_000), (resource.RLIM_INFINITY, 10_000)],
)
def test_connections_leave_descriptors_for_everything_else(
    descriptors: int, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    assert connections_max() == connections
