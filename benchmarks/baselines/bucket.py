"""A bucket that costs next to nothing: `python -m benchmarks.baselines.bucket 8001`.

It answers what a worker asks of S3 (put, get, delete several), in memory, from our own server; who
asks, and with what signature, it does not look at. What is measured with it is what a client of a
bucket costs, and not what a bucket does.
"""

import asyncio
import hashlib
import socket
import sys
from typing import cast

import uvloop
from litestar.types import HTTPScope, Receive, Scope, Send

from benchmarks.baselines.empty import BACKLOG
from storecredit.web.http.server import http_server

NAME = "results"
_DELETED = b'<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></DeleteResult>'


class Bucket:
    """Objects by their address: an ASGI application."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        asked = cast("HTTPScope", scope)
        content = await _body_of(receive)
        match asked["method"]:
            case "PUT":
                self._objects[asked["path"]] = content
                await _answer(send, 200, b"", content)
            case "GET":
                kept = self._objects.get(asked["path"])
                found = kept is not None or asked["path"] == "/"
                await _answer(send, 200 if found else 404, kept or b"", kept or b"")
            case _:
                await _answer(send, 200, _DELETED, b"")


async def _body_of(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


async def _answer(send: Send, status: int, body: bytes, content: bytes) -> None:
    etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'.encode()
    headers = [
        (b"content-length", str(len(body)).encode()),
        (b"etag", etag),
        (b"last-modified", b"Mon, 30 Nov 2026 05:00:00 GMT"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    listening = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    await http_server(Bucket()).serve(sockets=[listening])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
