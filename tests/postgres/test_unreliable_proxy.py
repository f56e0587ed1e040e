"""The network that tests break does what it is told, to the connections that there are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.postgres.unreliable_proxy import UnreliableProxy

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(1024):
            writer.write(piece)
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[UnreliableProxy]:
    """Before a server that sends back what it is sent."""
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        made = UnreliableProxy(server.sockets[0].getsockname()[1])
        await made.start()
        yield made
        await made.stop()


async def connected(proxy: UnreliableProxy) -> Ends:
    """A connection over which something has passed."""
    ends = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await said(ends, b"hello") == b"hello"
    return ends


async def said(ends: Ends, what: bytes) -> bytes:
    reader, writer = ends
    writer.write(what)
    return await reader.readexactly(len(what))


async def test_a_reset_breaks_what_is_connected_and_nothing_else(proxy: UnreliableProxy) -> None:
    before = await connected(proxy)
    assert proxy.reset() == 1
    with pytest.raises(ConnectionResetError):
        await said(before, b"still there?")
    before[1].close()
    after = await connected(proxy)
    after[1].close()


async def test_a_silent_connection_stays_and_is_broken_off_in_the_end(
    proxy: UnreliableProxy,
) -> None:
    proxy.latency_seconds = 0.01
    before = await connected(proxy)
    silence = asyncio.create_task(proxy.fall_silent(0.1))
    await asyncio.sleep(0)
    asking = asyncio.create_task(said(before, b"still there?"))
    after = await connected(proxy)
    await silence
    # It was never answered.
    with pytest.raises(ConnectionResetError):
        await asking
    for _, writer in (before, after):
        writer.close()


async def test_where_there_is_no_server_nobody_is_let_in(proxy: UnreliableProxy) -> None:
    proxy.target = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await reader.read() == b""
    writer.close()
