"""New connections to a busy server."""

import asyncio
import socket
from contextlib import ExitStack

import uvloop
from litestar.types import Receive, Scope, Send

from storecredit.web.http.server import ACCEPTED_AT_ONCE, http_server

CONNECTIONS = 8 * ACCEPTED_AT_ONCE
BACKLOG = 2 * CONNECTIONS


async def nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """An application that no request reaches."""


async def turns_to_accept(listening: socket.socket) -> int:
    """How many turns of the event loop it takes until all who wait in line are let in."""
    server = http_server(nothing)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    turns = 0
    while len(server.server_state.connections) < CONNECTIONS:
        turns += 1
        await asyncio.sleep(0)
    server.should_exit = True
    await serving
    return turns


def test_many_new_connections_are_accepted_in_a_turn_of_the_loop() -> None:
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening:
        for _ in range(CONNECTIONS):
            stack.enter_context(socket.create_connection(listening.getsockname()))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            turns = runner.run(turns_to_accept(listening))
    # One a turn would be as many turns as connections; a few more until the server has begun.
    assert turns < CONNECTIONS / 2
