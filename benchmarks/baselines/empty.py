"""What a request costs that does nothing: `python -m benchmarks.baselines.empty litestar 8001`.

`litestar` is an endpoint of the framework we use, `asgi` an application without one; both are
served by exactly our server, on the event loop that `storecredit serve` runs on.
"""

import asyncio
import socket
import sys

import uvloop
from litestar import Litestar, get, post
from litestar.types import ASGIApp, Receive, Scope, Send

from storecredit.web.http.server import http_server

PATH = "/empty"
BACKLOG = 2048


@get(PATH)
async def empty() -> None:
    """Answers 200, and nothing."""


@post(PATH)
async def empty_post() -> None:
    """Answers 201, and nothing; does not look at the body."""


async def bare(_scope: Scope, _receive: Receive, send: Send) -> None:
    """The least that is an ASGI application: 200, and nothing."""
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"0")],
        }
    )
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def application(kind: str) -> ASGIApp:
    """The application of that name."""
    if kind == "asgi":
        return bare
    return Litestar([empty, empty_post], openapi_config=None)


async def serve(kind: str, port: int) -> None:
    """Serve until the process is ended."""
    listening = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    await http_server(application(kind)).serve(sockets=[listening])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1], int(sys.argv[2])))
