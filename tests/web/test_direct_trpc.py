"""`generation.create` of `/api/trpc` past the framework: nobody can tell the difference."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import msgspec

from storecredit.service import Service
from storecredit.web.app import direct_routes, framework_of
from storecredit.web.http.access import Access
from storecredit.web.http.direct import Direct
from storecredit.web.trpc.errors import refusal
from tests.web.doors import IMAGE
from tests.web.frameworks import application
from tests.web.test_direct import GONE, Answered, Asked, _masked
from tests.web.users import APP_ORIGIN, TRPC, token_of

CREATE = f"{TRPC}/generation.create"
JSON = ("content-type", "application/json")
PLAIN = msgspec.json.encode({"json": {"modelImageUrl": IMAGE}})
OTHER = msgspec.json.encode({"json": {"modelImageUrl": "https://a.example/x.png"}})
BATCH = msgspec.json.encode({"0": {"json": {"modelImageUrl": IMAGE}}})


def create(*headers: tuple[str, str], content: bytes = PLAIN, query: bytes = b"") -> Asked:
    return Asked("POST", CREATE, (JSON, *headers), (content,), query=query)


HISTORY: Mapping[str, Asked] = {
    "a create": create(("x-request-id", "one")),
    "its replay": create(("x-request-id", "one")),
    "its id for another request": create(("x-request-id", "one"), content=OTHER),
    "without an id": create(),
    "a batch of one": create(content=BATCH, query=b"batch=1"),
    "a batch that is to be streamed": create(
        ("trpc-accept", "application/jsonl"), content=BATCH, query=b"batch=1"
    ),
    "a stream that is no batch": create(("trpc-accept", "application/jsonl")),
    "another query": create(query=b"a=b"),
    "too many ids": create(("x-request-id", "a,b")),
    "an origin": create(("origin", APP_ORIGIN)),
    "another origin": create(("origin", "https://evil.example")),
    "no token": create(("authorization", "")),
    "a wrong token": create(("authorization", "Bearer none")),
    "a subscription": create(("accept", "text/event-stream")),
    "no content type": Asked("POST", CREATE, (), (PLAIN,)),
    "another content type": Asked("POST", CREATE, (("content-type", "text/plain"),), (PLAIN,)),
    "no JSON": create(content=b"{"),
    "nothing": create(content=b""),
    "no such field": create(content=b'{"json":{}}'),
    "an image that cannot be used": create(content=OTHER.replace(b"https", b"ftp")),
    "an odd host": create(("host", "bad host")),
    "a length that nobody could mean": create(("content-length", "many")),
    "a body in chunks": Asked("POST", CREATE, (JSON,), (PLAIN[:9], PLAIN[9:], b"")),
    "a body that does not end": Asked("POST", CREATE, (JSON,), (PLAIN,), is_cut_off=True),
    "a body that is too large": create(content=PLAIN + b" " * 5_000_000),
    "a query where a mutation is": Asked("GET", CREATE, (JSON,)),
    "a slash at the end": Asked("POST", f"{CREATE}/", (JSON,), (PLAIN,)),
    **{f"number {number}": create() for number in range(7)},
}


async def ask(app: Any, token: str, asked: Asked) -> Answered:
    sent: list[Mapping[str, Any]] = []
    waiting = asked.messages()

    async def receive() -> Mapping[str, Any]:
        return waiting.pop(0) if waiting else GONE

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    await app(asked.scope(token), receive, send)
    start, *parts = sent
    content = b"".join(part["body"] for part in parts)
    headers = [(name, _masked(value)) for name, value in start["headers"]]
    return Answered(start["status"], sorted(headers), _masked(content))


async def test_the_same_history_is_answered_the_same_to_the_byte(service: Service) -> None:
    one, other = [token_of(uuid4()) for _ in range(2)]
    statuses = set()
    with (
        application(service.parts) as direct,
        application(service.parts, is_direct=False) as framework,
    ):
        for name, asked in HISTORY.items():
            answered = await ask(direct, one, asked)
            assert answered == await ask(framework, other, asked), name
            statuses.add(answered.status)
    assert statuses >= {200, 400, 401, 402, 405, 409, 415}


async def test_a_create_does_not_reach_the_framework(service: Service) -> None:
    reached: list[str] = []

    async def framework(scope: Any, _receive: Any, _send: Any) -> None:
        reached.append(scope["path"])

    direct = Direct(framework, service.parts, direct_routes())
    parts = service.parts
    app = Access(
        direct,
        parts.api_keys,
        parts.operator.tokens,
        parts.rate_limits,
        parts.settings,
        parts.metrics,
        framework_of(parts),
        refusal,
    )
    for asked in (create(), create(content=BATCH, query=b"batch=1"), create(content=b"{")):
        await ask(app, token_of(uuid4()), asked)
    assert reached == []
