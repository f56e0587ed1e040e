"""However the bytes arrive, and whatever a client offers: the requests are those that were sent.

The protocol is driven as the event loop drives it, so that each example decides where every packet
ends. Answers are read by h11, which is no relative of the parser that reads the requests.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import h11
from hypothesis import example, given, settings
from hypothesis import strategies as st
from litestar.types import Receive, Scope, Send

from storecredit.web.http.server import http_server

SMUGGLED = b"POST /smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
OFFERS = ("h2c", "websocket", "TLS/1.0, HTTP/2.0", "x", "H2C")
TURNS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Request:
    """One request, and how it is sent."""

    method: str
    target: str
    body: bytes = b""
    offer: str | None = None
    chunk_sizes: tuple[int, ...] = ()
    """Sizes of its chunks, over and over; none: it has a length."""
    expects_continue: bool = False

    def sent(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: api.test"]
        if self.offer is not None:
            lines += ["Connection: Upgrade, HTTP2-Settings", f"Upgrade: {self.offer}"]
            lines += ["HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"]
        if self.expects_continue:
            lines.append("Expect: 100-continue")
        if self.chunk_sizes:
            lines.append("Transfer-Encoding: chunked")
            body = self._chunked()
        else:
            lines += [f"Content-Length: {len(self.body)}"] if self.body else []
            body = self.body
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _chunked(self) -> bytes:
        sent, rest, place = b"", self.body, 0
        while rest:
            size = self.chunk_sizes[place % len(self.chunk_sizes)]
            chunk, rest = rest[:size], rest[size:]
            sent += b"%x\r\n%b\r\n" % (len(chunk), chunk)
            place += 1
        return sent + b"0\r\nX-Trailer: /smuggled\r\n\r\n"

    def seen(self) -> list[str]:
        """What the application makes of it."""
        return [self.method, self.target, self.body.hex()]


@dataclass(slots=True)
class Wrote(asyncio.Transport):
    """The other end of a connection: keeps what was written to it."""

    content: bytearray = field(default_factory=bytearray)
    closed: bool = False

    def write(self, data: Any) -> None:
        self.content += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        del name
        return default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def answers(self, requests: Sequence[Request]) -> list[tuple[int, Any]]:
        """Status and JSON of each answer, in the order they were written."""
        client = h11.Connection(h11.CLIENT)
        client.receive_data(bytes(self.content))
        found = []
        for request in [*requests, Request("GET", "/no-request-at-all")]:
            if client.our_state is not h11.IDLE:
                client.start_next_cycle()
            client.send(h11.Request(method=request.method, target="/", headers=[("Host", "a")]))
            client.send(h11.EndOfMessage())
            answer = _answer(client)
            if answer is None:
                break
            found.append(answer)
        return found


def _answer(client: h11.Connection) -> tuple[int, Any] | None:
    status, body = 0, b""
    while True:
        event = client.next_event()
        match event:
            case h11.Response():
                status = event.status_code
            case h11.Data():
                body += event.data
            case h11.EndOfMessage():
                return status, json.loads(body) if body else None
            case h11.InformationalResponse():
                pass
            case _:
                return None


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what was asked, and with the trailers if they were taken for headers."""
    body, has_more = b"", True
    while has_more:
        message: Any = await receive()
        if message["type"] != "http.request":
            return
        body, has_more = body + message["body"], message["more_body"]
    http: Any = scope
    seen = [http["method"], http["path"], body.hex()]
    if any(name == b"x-trailer" for name, _ in http["headers"]):
        seen.append("a trailer among the headers")
    content = json.dumps(seen).encode()
    headers = [(b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})


async def exchange(packets: Sequence[bytes], turns: Sequence[int]) -> Wrote:
    """What is written when these packets arrive, the event loop turning so often after each."""
    server = http_server(echo)
    server.config.load()
    protocol_class: Any = server.config.http_protocol_class
    protocol = protocol_class(server.config, server.server_state, {})
    transport = Wrote()
    protocol.connection_made(transport)
    for place, packet in enumerate(packets):
        if not transport.closed:
            protocol.data_received(packet)
        for _ in range(turns[place % len(turns)]):
            await asyncio.sleep(0)
    for _ in range(TURNS_MAX):
        if not server.server_state.tasks:
            break
        await asyncio.sleep(0)
    protocol.connection_lost(ConnectionResetError())
    return transport


def in_pieces(content: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({cut % (len(content) + 1) for cut in cuts} | {0, len(content)})
    return [content[begin:end] for begin, end in pairwise(places)]


bodies = st.one_of(
    st.just(b""),
    st.binary(max_size=200),
    st.sampled_from([SMUGGLED, HTTP2_PREFACE, b"0\r\n\r\n" + SMUGGLED, b"\r\n" * 3]),
    st.lists(st.just(SMUGGLED), min_size=1, max_size=4).map(b"".join),
)
requests = st.builds(
    Request,
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]),
    target=st.sampled_from(["/", "/a", "/a/b"]),
    body=bodies,
    offer=st.none() | st.sampled_from(OFFERS),
    chunk_sizes=st.just(()) | st.lists(st.integers(1, 60), min_size=1, max_size=3).map(tuple),
    expects_continue=st.booleans(),
)
cuts = st.lists(st.integers(0, 5000), max_size=30)
turns = st.lists(st.integers(0, 4), min_size=1, max_size=5)


def expected(asked: Sequence[Request]) -> list[tuple[int, Any]]:
    return [(200, None if each.method == "HEAD" else each.seen()) for each in asked]


@settings(deadline=None)
@given(asked=st.lists(requests, min_size=1, max_size=5), cuts=cuts, turns=turns)
def test_every_request_is_served_as_it_was_sent_whatever_it_offers(
    asked: list[Request], cuts: list[int], turns: list[int]
) -> None:
    content = b"".join(each.sent() for each in asked)
    wrote = asyncio.run(exchange(in_pieces(content, cuts), turns))
    assert wrote.answers(asked) == expected(asked)
    assert not wrote.closed


@settings(deadline=None, max_examples=40)
@given(asked=requests, following=requests)
def test_byte_by_byte(asked: Request, following: Request) -> None:
    content = asked.sent() + following.sent()
    packets = [bytes([byte]) for byte in content]
    wrote = asyncio.run(exchange(packets, [1]))
    assert wrote.answers([asked, following]) == expected([asked, following])


ENDS = {
    b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n": 405,
    b"CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n": 405,
    HTTP2_PREFACE: 400,
    b"nonsense\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nswordfish\r\n": 400,
    b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n"
    b"Transfer-Encoding: gzip\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n"
    b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
}


@settings(deadline=None)
@given(
    asked=st.lists(requests, max_size=3),
    end=st.sampled_from(sorted(ENDS)),
    cuts=cuts,
    turns=turns,
)
@example(asked=[Request("POST", "/", SMUGGLED)], end=min(ENDS), cuts=[], turns=[0])
def test_what_is_no_request_ends_the_connection_after_the_answers_before_it(
    asked: list[Request], end: bytes, cuts: list[int], turns: list[int]
) -> None:
    content = b"".join(each.sent() for each in asked) + end + SMUGGLED
    wrote = asyncio.run(exchange(in_pieces(content, cuts), turns))
    *answered, (status, envelope) = wrote.answers(asked)
    assert answered == expected(asked)
    assert status == ENDS[end]
    assert envelope["data"] is None
    assert wrote.closed
    assert b"smuggled" not in wrote.content
