"""Direct routes: nobody can tell them from the framework's, and what is plain never gets to it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from storecredit.service import Service
from storecredit.settings import Settings
from storecredit.stores.callers import Caller
from storecredit.web.app import direct_routes
from storecredit.web.http.direct import Direct
from storecredit.web.http.headers import SentHeaders
from storecredit.web.http.visits import Visit
from tests.log_stream import LogStream
from tests.web.doors import CREATE, IMAGE, Operator, StoreClient
from tests.web.frameworks import application
from tests.web.test_generation_create_input import (
    NO_BODY_OF_THIS_KIND,
    NO_JSON,
    WRONG_FIELDS,
    body,
)
from tests.web.test_honest_reads import lose_account

BALANCE = "/api/v1/credits/balance"
SHOP = "https://shop.example"
GONE: Mapping[str, Any] = {"type": "http.disconnect"}
PLAIN = body()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as a server hands it to an application. `chunks`: its body, as it comes in."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    chunks: tuple[bytes, ...] = (b"",)
    is_cut_off: bool = False
    query: bytes = b""

    def scope(self, api_key: str) -> dict[str, Any]:
        sent = [*self.headers, ("host", "api.test"), ("authorization", f"Bearer {api_key}")]
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 1234),
            "scheme": "http",
            "root_path": "",
            "method": self.method,
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": self.query,
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent],
            "state": {},
        }

    def messages(self) -> list[Mapping[str, Any]]:
        last = len(self.chunks) if self.is_cut_off else len(self.chunks) - 1
        return [
            {"type": "http.request", "body": chunk, "more_body": place < last}
            for place, chunk in enumerate(self.chunks)
        ]


@dataclass(frozen=True, slots=True)
class Answered:
    """All that an application sends, without what differs from one request to the next."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def create(*headers: tuple[str, str], content: bytes = PLAIN) -> Asked:
    return Asked("POST", CREATE, headers, (content,))


def read(*headers: tuple[str, str]) -> Asked:
    return Asked("GET", BALANCE, headers)


ORDER = ("idempotency-key", "order-1")
TEXTS = (None, "null", "NULL", "true", "1", "", "\N{FIRE}", "a\0b")

HISTORY: Mapping[str, Asked] = {
    "a balance": read(),
    "a create": create(ORDER, content=body(prompt="a hat", metadata={"cart": "c-1"})),
    "its replay": create(ORDER, content=body(metadata={"cart": "c-1"}, prompt="a hat")),
    "its id for another request": create(ORDER),
    "a create without an id": create(),
    "its id in the other header": create(("x-request-id", "order-2")),
    "two ids": create(("x-request-id", "one"), ("x-request-id", "two")),
    "no id": create(("x-request-id", "")),
    "an id of another alphabet": create(("idempotency-key", "\xe9")),
    "a balance with an id": read(("x-request-id", "r")),
    "a listed origin": create(("origin", SHOP)),
    "a listed origin that reads": read(("origin", SHOP)),
    "another origin": create(("origin", "https://evil.example")),
    "another key": create(("authorization", "Bearer sc_live_short")),
    **{
        f"host {host!r} {method}": Asked(method, path, (("host", host),), (PLAIN,))
        for host in ("api.test", "api.test:99999", "[::1]:80", "bad host", "a/b", "\xe9", "")
        for method, path in (("POST", CREATE), ("GET", BALANCE))
    },
    **{
        f"length {length}": create(("content-length", length))
        for length in ("many", "-1", str(len(PLAIN)), "", "9" * 9, "9" * 5000)
    },
    "an unknown field": create(content=body(colour="red")),
    "a field that is nearly known": create(content=body(promt="a hat")),
    "all kinds of faults": create(
        content=body(image_urls=["ftp://a", 7, IMAGE], Prompt="", prompt=7, metadata={"a": 1})
    ),
    "a right body under a query": Asked("POST", CREATE, (), (PLAIN,), query=b"prompt=a+hat"),
    "a balance under a query": Asked("GET", BALANCE, query=b"at=2026-11-29"),
    "a question mark and no query": Asked("GET", BALANCE, query=b""),
    "images that cannot be used": create(content=body(image_urls=["ftp://a", "http://127.0.0.1"])),
    "two slashes": Asked("POST", CREATE.replace("/v1/", "/v1//"), (), (PLAIN,)),
    "a slash at the end": Asked("GET", f"{BALANCE}/"),
    "a body that comes in chunks": Asked("POST", CREATE, (), (PLAIN[:9], PLAIN[9:], b"")),
    "a body whose end comes alone": Asked("POST", CREATE, (), (PLAIN, b"")),
    "a body that does not end": Asked("POST", CREATE, (), (PLAIN,), is_cut_off=True),
    "a body that does not begin": Asked("POST", CREATE, (), (), is_cut_off=True),
    "a body that is too large": create(content=PLAIN + b" " * 5_000_000),
    "a body that is too large in chunks": Asked("POST", CREATE, (), (b" " * 3_000_000,) * 2),
    "a read with a body": Asked("GET", BALANCE, (), (PLAIN,)),
    **{
        f"{method} {path}": Asked(method, path)
        for method in ("HEAD", "GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW")
        for path in (CREATE, BALANCE)
    },
    **{f"prompt {text!r}": create(content=body(prompt=text)) for text in TEXTS},
    **{f"metadata {text!r}": create(content=body(metadata={"a": text})) for text in TEXTS},
    **{name: create(content=content) for name, content in NO_BODY_OF_THIS_KIND.items()},
    **{name: create(content=content) for name, (content, _) in WRONG_FIELDS.items()},
    **{
        name: create(("content-type", content_type), content=content)
        for name, (content_type, content, _) in NO_JSON.items()
    },
    "a balance at the end": read(),
}


async def ask(app: Any, store: StoreClient, asked: Asked) -> Answered:
    sent: list[Mapping[str, Any]] = []
    waiting = asked.messages()

    async def receive() -> Mapping[str, Any]:
        return waiting.pop(0) if waiting else GONE

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    await app(asked.scope(store.api_key), receive, send)
    start, *parts = sent
    content = b"".join(part["body"] for part in parts)
    length = dict(start["headers"]).get(b"content-length", b"0")
    assert len(content) == (0 if asked.method == "HEAD" else int(length))
    headers = [(name, _masked(value)) for name, value in start["headers"]]
    return Answered(start["status"], sorted(headers), _masked(content))


def _masked(content: bytes) -> bytes:
    """Without ids that are made anew each time, without clocks, and the methods in one order."""
    content = re.sub(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", b"<id>", content)
    content = re.sub(rb"^[0-9]{10}$", b"<moment>", content)
    content = re.sub(rb";t=[0-9]+$", b";t=<seconds>", content)
    content = content.replace(b"OPTIONS, POST", b"POST, OPTIONS")
    content = content.replace(b"OPTIONS, GET", b"GET, OPTIONS")
    return re.sub(rb"try again in [0-9]+ s", b"try again in <seconds>", content)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A tier that is counted and that this history does not use up."""
    limits = settings.rate_limits | {"wide": (1000, 2000)}
    return settings.model_copy(update={"rate_limits": limits})


async def both_ways(
    service: Service, operator: Operator, history: Mapping[str, Asked], **made: Any
) -> None:
    """Two new stores send the same, one through direct routes and one through the framework."""
    one, other = [await operator.store(allowed_origins=(SHOP,), **made) for _ in range(2)]
    with (
        application(service.parts) as direct,
        application(service.parts, is_direct=False) as framework,
    ):
        for name, asked in history.items():
            answered = await ask(direct, one, asked)
            assert answered == await ask(framework, other, asked), name


@pytest.mark.parametrize("tier", ["unlimited", "wide"])
async def test_the_same_history_is_answered_the_same_to_the_byte(
    service: Service, operator: Operator, tier: str
) -> None:
    await both_ways(service, operator, HISTORY, tier=tier)


async def test_what_is_refused_is_refused_the_same(service: Service, operator: Operator) -> None:
    spent = {str(place): create(("idempotency-key", str(place))) for place in range(3)}
    await both_ways(service, operator, spent | {"read": read()}, credits=1)
    beyond = {str(place): ask for place, ask in enumerate([create(), create(), *[read()] * 3])}
    await both_ways(service, operator, beyond, tier="tight")


async def test_what_cannot_be_read_is_told_the_same(
    service: Service, operator: Operator, admin: asyncpg.Connection, log: LogStream
) -> None:
    store = await operator.store()
    await lose_account(admin, store)
    with (
        application(service.parts) as direct,
        application(service.parts, is_direct=False) as framework,
    ):
        for asked in (create(), read()):
            answered = await ask(direct, store, asked)
            assert answered.status == 500
            assert answered == await ask(framework, store, asked)
    log.forget()


# What reaches the framework


class Framework:
    """Stands in the framework's place, and keeps what reaches it: address and whole body."""

    def __init__(self) -> None:
        self.reached: list[tuple[str, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, _send: Any) -> None:
        content = b""
        while (message := await receive()) != GONE:
            content += message["body"]
        self.reached.append((scope["path"], content))


async def reach(service: Service, store: StoreClient, asked: Asked) -> list[Any]:
    """What reaches the framework of a request that `Access` has let in."""
    framework = Framework()
    direct = Direct(framework, service.parts, direct_routes())
    caller = await service.parts.api_keys.authenticate(store.api_key)
    assert isinstance(caller, Caller)
    scope: Any = asked.scope(store.api_key)
    waiting = asked.messages()

    async def receive() -> Any:
        return waiting.pop(0) if waiting else GONE

    visit = Visit("order-1", SentHeaders(scope["headers"]), receive, caller)
    scope["state"] = {"visit": visit}

    async def send(_message: Any) -> None:
        assert not framework.reached

    await direct(scope, receive, send)
    return framework.reached


async def test_what_is_plain_does_not_reach_the_framework(
    service: Service, store: StoreClient
) -> None:
    in_chunks = Asked("POST", CREATE, (), (PLAIN[:9], b"", PLAIN[9:], b""))
    for asked in (create(), in_chunks, read(), Asked("GET", BALANCE, (), (PLAIN,))):
        assert await reach(service, store, asked) == []


async def test_what_is_not_plain_reaches_the_framework_with_its_whole_body(
    service: Service, store: StoreClient
) -> None:
    for asked in (
        create(content=b"{"),
        create(content=b""),
        create(content=PLAIN + b" " * 5_000_000),
        Asked("POST", CREATE, (), (b" " * 3_000_000, b" " * 3_000_000, PLAIN)),
        Asked("POST", CREATE, (), (PLAIN[:9], PLAIN[10:])),
        Asked("POST", CREATE, (), (PLAIN,), is_cut_off=True),
        Asked("PUT", CREATE, (), (PLAIN,)),
        Asked("POST", CREATE, (), (PLAIN,), query=b"prompt=a+hat"),
        create(content=body(promt="a hat")),
        create(content=body(image_urls=["ftp://a"])),
        Asked("GET", f"{BALANCE}/x"),
    ):
        reached = await reach(service, store, asked)
        assert reached == [(asked.path, b"".join(asked.chunks))]
