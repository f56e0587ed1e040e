"""An S3 bucket that costs next to nothing: `python -m benchmarks.baselines.bucket 8001`.

It answers what a worker asks (put, get, delete several), in memory and without a framework; who
asks, and with what signature, it does not look at. What is measured with it is what a client of a
bucket costs, and not what a bucket does.
"""

import asyncio
import sys
from typing import cast

import httptools
import uvloop

from benchmarks.baselines.empty import BACKLOG

NAME = "results"
_DELETED = b'<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></DeleteResult>'
_HEAD = (
    b'HTTP/1.1 %d Done\r\nETag: "e"\r\nLast-Modified: Mon, 30 Nov 2026 05:00:00 GMT\r\n'
    b"Content-Length: %d\r\n\r\n%b"
)


class Conversation(asyncio.Protocol):
    """One connection: its requests, answered one after the other."""

    def __init__(self, objects: dict[bytes, bytes]) -> None:
        self._objects = objects
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.WriteTransport
        self._url = b""
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """The first of a request."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer it."""
        match self._parser.get_method():
            case b"PUT":
                self._objects[self._url] = self._body
                self._answer(200, b"")
            case b"GET" if self._url in self._objects:
                self._answer(200, self._objects[self._url])
            case b"GET":
                self._answer(200 if self._url == b"/" else 404, b"")
            case _:
                self._answer(200, _DELETED)
        self._url = self._body = b""

    def _answer(self, status: int, body: bytes) -> None:
        self._transport.write(_HEAD % (status, len(body), body))


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    objects: dict[bytes, bytes] = {}
    server = await asyncio.get_running_loop().create_server(
        lambda: Conversation(objects), "127.0.0.1", port, backlog=BACKLOG
    )
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
