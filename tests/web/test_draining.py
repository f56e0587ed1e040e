"""A server that is told to stop: how connections end that are still used."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvloop
from litestar.types import Receive, Scope, Send

from storecredit.web.http.protocol import Connections
from storecredit.web.http.server import http_server
from tests.web.wire import RawConnection, request

LONG_SECONDS = 60.0
IN_LINE = 50
LOOKS_AFTER_SECONDS = 0.2
"""Uvicorn looks ten times a second."""
ASKED = request("GET", "/")
IN_TWO_PIECES = request("GET", "/in-two-pieces")
SLOW = request("GET", "/slow")


@dataclass(slots=True)
class Application:
    """Answers at once, or with its head only, or not at all until it `may_go_on`."""

    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            self.is_asked.set()
            await self.may_go_on.wait()
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        if scope["path"] == "/in-two-pieces":
            self.is_asked.set()
            await self.may_go_on.wait()
        await send({"type": "http.response.body", "body": b"k", "more_body": False})


class Stopping:
    """A server, and the socket that it shares with whoever comes after it."""

    def __init__(self, listening: socket.socket, drain_seconds: float) -> None:
        self.application = Application()
        self.listening = listening
        self._connections: list[RawConnection] = []
        self._server = http_server(self.application, drain_seconds=drain_seconds)
        self.serving = asyncio.create_task(self._server.serve(sockets=[listening.dup()]))

    async def connect(self) -> RawConnection:
        """One that was not used yet."""
        connection = RawConnection(*await asyncio.open_connection(*self.listening.getsockname()))
        self._connections.append(connection)
        return connection

    async def used(self) -> RawConnection:
        """One on which a request was answered, and may be followed by another."""
        connection = await self.connect()
        await connection.send(ASKED)
        assert "connection" not in (await connection.answer()).headers
        return connection

    async def stop(self) -> None:
        """Returns once it takes no new connections."""
        self._server.should_exit = True
        state = self._server.server_state
        assert isinstance(state, Connections)
        while not state.is_draining:  # noqa: ASYNC110 - uvicorn looks ten times a second
            await asyncio.sleep(0)

    async def end(self) -> None:
        """Returns once it has stopped."""
        async with asyncio.timeout(LONG_SECONDS / 2):
            await self.serving
        for connection in self._connections:
            await connection.close()


@asynccontextmanager
async def server(drain_seconds: float = LONG_SECONDS) -> AsyncIterator[Stopping]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = Stopping(listening, drain_seconds)
        yield running
        await running.end()


async def assert_its_last(connection: RawConnection) -> None:
    answer = await connection.answer()
    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.headers["connection"] == "close"
    assert await connection.is_closed()


async def test_a_request_on_an_idle_connection_is_answered_and_told_to_be_the_last() -> None:
    async with server() as running:
        first, second = await running.connect(), await running.used()
        await running.stop()
        for connection in (second, first):
            await connection.send(ASKED)
            await assert_its_last(connection)


async def test_who_has_connected_is_heard_once_although_idle_connections_are_not_awaited() -> None:
    async with server(drain_seconds=0) as running:
        new, idle = await running.connect(), await running.used()
        await running.stop()
        await new.send(ASKED)
        await assert_its_last(new)
        assert await idle.is_closed()


async def test_an_answer_under_way_is_told_to_be_the_last() -> None:
    async with server() as running:
        connection = await running.used()
        await connection.send(SLOW)
        await running.application.is_asked.wait()
        await running.stop()
        running.application.may_go_on.set()
        await assert_its_last(connection)


async def test_after_an_answer_that_had_begun_the_next_one_is_the_last() -> None:
    """Its client was told nothing, and may have sent the next request already."""
    async with server() as running:
        connection = await running.used()
        await connection.send(IN_TWO_PIECES)
        await running.application.is_asked.wait()
        await running.stop()
        running.application.may_go_on.set()
        assert "connection" not in (await connection.answer()).headers
        await connection.send(ASKED)
        await assert_its_last(connection)


async def test_what_connects_meanwhile_waits_for_the_next_server() -> None:
    async with server() as running:
        kept = await running.used()
        await running.stop()
        new = await running.connect()
        await new.send(ASKED)
        await kept.send(ASKED)
        await assert_its_last(kept)
        await running.serving
        following = Stopping(running.listening, LONG_SECONDS)
        assert "connection" not in (await new.answer()).headers
        await following.stop()
        await new.send(ASKED)
        await assert_its_last(new)
        await following.end()


@pytest.mark.parametrize("drain_seconds", [0, 0.1])
async def test_a_connection_that_stays_idle_is_closed(drain_seconds: float) -> None:
    async with server(drain_seconds) as running:
        connection = await running.used()
        await running.stop()
        assert await connection.is_closed()


async def who_waits_in_line_is_answered() -> None:
    """They have connected and asked before the server comes to let them in, and it stops."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=2 * IN_LINE)
    address = listening.getsockname()
    server = http_server(Application(), drain_seconds=LONG_SECONDS)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:  # noqa: ASYNC110 - uvicorn sets no event
        await asyncio.sleep(0)
    server.should_exit = True
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(socket.create_connection(address)) for _ in range(IN_LINE)]
        for each in waiting:
            each.sendall(ASKED)
        # Until it looks whether it is to stop: that is due before anything else is.
        time.sleep(LOOKS_AFTER_SECONDS)
        await serving
        answers = [each.recv(1000) for each in waiting]
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer


def test_who_waits_in_line_of_a_socket_that_nobody_else_has_is_answered() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(who_waits_in_line_is_answered())
