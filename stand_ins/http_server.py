"""An HTTP server on loopback that answers as it is told, well or badly.

Real HTTP/1.1 over a real socket, written by hand so that it can also misbehave: break off,
trickle, lie about its length, redirect in circles.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

import msgspec


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came in; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        """The body, which is a JSON object."""
        return msgspec.json.decode(self.body, type=dict[str, object])


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back.

    `length` replaces the true Content-Length, None leaves it out; `hang` then waits until the
    caller gives up, `trickle_seconds` passes before each byte of the body, and `break_off` closes
    the connection without a word.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = -1
    hang: bool = False
    trickle_seconds: float = 0.0
    break_off: bool = False


def json_answer(content: object, status: int = 200, **headers: str) -> Answer:
    """An answer in JSON; in the headers' names `_` stands for `-`."""
    head = {"Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return Answer(status, msgspec.json.encode(content), head)


Handler = Callable[[Received], Answer | Awaitable[Answer]]


class StandIn:
    """A server that keeps what it was sent, in `received`, and answers by its handler."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.received: list[Received] = []
        self.port = 0

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """The address of that path here."""
        return f"http://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one request and its answer, or more if the answer keeps it alive."""
        try:
            is_kept = True
            while is_kept:
                request = await _read_request(reader)
                self.received.append(request)
                answered = self.handler(request)
                answer = answered if isinstance(answered, Answer) else await answered
                await _send(writer, answer)
                is_kept = answer.headers.get("Connection") == "keep-alive"
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the caller gave up, as some tests want it to
        finally:
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    pairs = (line.split(":", 1) for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, body)


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    if answer.break_off:
        return
    headers = {"Connection": "close", **answer.headers}
    if answer.length is not None:
        length = len(answer.body) if answer.length < 0 else answer.length
        headers["Content-Length"] = str(length)
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    if answer.trickle_seconds:
        for place in range(len(answer.body)):
            await asyncio.sleep(answer.trickle_seconds)
            writer.write(answer.body[place : place + 1])
            await writer.drain()
    else:
        writer.write(answer.body)
    await writer.drain()
    if answer.hang:
        await asyncio.Event().wait()


@asynccontextmanager
async def stand_in(
    answer: Answer | Handler, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[StandIn]:
    """Run a stand-in on a free port of loopback for as long as the block lasts."""
    server = StandIn((lambda _: answer) if isinstance(answer, Answer) else answer)
    conversations: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(server.serve(reader, writer))
        conversations.add(task)
        task.add_done_callback(conversations.discard)

    listening = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
