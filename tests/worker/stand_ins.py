"""Stands in for servers of the world outside: image hosts, an operator's generator, OpenAI.

Real HTTP/1.1 over a real socket on loopback, written by hand so that it can also misbehave:
break off, trickle, lie about its length, redirect in circles.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BytesIO
from random import Random
from uuid import UUID

import msgspec
from PIL import Image

from storecredit.generation.generators import GenerationRequest, Generator, load_generator
from storecredit.generation.image_fetching import ImageFetcher
from storecredit.generation.image_sources import Resolver, system_resolver
from storecredit.settings import Settings


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came in; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
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
        return f"http://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read_request(reader)
            self.received.append(request)
            answer = self.handler(request)
            await _send(writer, answer if isinstance(answer, Answer) else await answer)
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
async def stand_in(answer: Answer | Handler) -> AsyncIterator[StandIn]:
    """Run a stand-in on a free port of loopback for as long as the block lasts."""
    server = StandIn((lambda _: answer) if isinstance(answer, Answer) else answer)
    conversations: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(server.serve(reader, writer))
        conversations.add(task)
        task.add_done_callback(conversations.discard)

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)


def picture(
    kind: str = "PNG",
    size: tuple[int, int] = (40, 30),
    colour: str = "red",
) -> bytes:
    """A small image file in one colour."""
    file = BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def noise(size: tuple[int, int]) -> bytes:
    """A PNG that does not compress: about three bytes for each pixel."""
    file = BytesIO()
    data = Random(7).randbytes(size[0] * size[1] * 3)
    Image.frombytes("RGB", size, data).save(file, "PNG")
    return file.getvalue()


def data_url(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode()}"


FETCHED_MAX_BYTES = 10_000


@asynccontextmanager
async def fetcher(
    *,
    allow_private_hosts: bool = True,
    timeout_seconds: float = 30.0,
    trusted_host: str | None = None,
    resolve: Resolver = system_resolver,
) -> AsyncIterator[ImageFetcher]:
    """Fetches images of up to `FETCHED_MAX_BYTES`, for as long as the block lasts."""
    opened = ImageFetcher(
        max_bytes=FETCHED_MAX_BYTES,
        timeout_seconds=timeout_seconds,
        allow_private_hosts=allow_private_hosts,
        trusted_host=trusted_host,
        resolve=resolve,
    )
    yield opened
    await opened.aclose()


SESSION = UUID("22222222-2222-4222-8222-222222222222")


def a_request(*image_urls: str, prompt: str | None = None) -> GenerationRequest:
    """A request as the worker makes it; without image URLs, for one small PNG."""
    return GenerationRequest(SESSION, "order-7", image_urls or (data_url(picture()),), prompt)


@asynccontextmanager
async def generator(**settings: object) -> AsyncIterator[Generator]:
    """The generator that the settings name, for as long as the block lasts."""
    loaded = load_generator(Settings.model_validate(settings))
    yield loaded
    await loaded.aclose()
