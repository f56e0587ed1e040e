"""HEAD wherever GET is served: the status and the headers of the GET, and no body."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import msgspec
from litestar.types import Receive, Scope, Send

from storecredit.service import Service
from storecredit.web.app import create_metrics_app, openapi_document
from storecredit.web.http.head import HeadAsGet
from tests.log_stream import LogStream
from tests.web.checklist import UNKNOWN
from tests.web.doors import OPERATOR_TOKEN, Operator, StoreClient, bearer
from tests.web.wire import Wire, request

UNDOCUMENTED = (
    "/metrics",
    "/api/docs",
    "/api/docs/operator",
    "/api/docs/swagger-ui.css",
    "/api/openapi.json",
    "/nothing",
    "/api/v1/nothing",
)
OF_THE_MOMENT = {"x-request-id", "retry-after", "x-ratelimit-remaining", "ratelimit"}
"""Headers that differ between any two answers."""


def readable() -> Iterator[str]:
    """Every path that GET is documented for, and those that are not documented."""
    paths: dict[str, Any] = msgspec.json.decode(openapi_document())["paths"]
    for path, operations in paths.items():
        if "get" in operations:
            yield path
    yield from UNDOCUMENTED


async def test_head_is_answered_as_get_without_the_body(
    operator: Operator, store: StoreClient, log: LogStream
) -> None:
    ids = defaultdict(lambda: UNKNOWN, store_id=store.store_id, session_id=await store.created())
    key = bearer(store.api_key)
    for path in readable():
        for headers in ({}, key, bearer(OPERATOR_TOKEN), {"Accept": "text/csv", **key}):
            own = path.format_map(ids)
            got = await operator.http.get(own, headers=headers)
            head = await operator.http.head(own, headers=headers)
            assert (head.status_code, head.content) == (got.status_code, b""), path
            assert lasting(head) == lasting(got), path
            if path != "/metrics":  # which counts what it is asked
                assert head.headers.get("content-length") == got.headers.get("content-length")
    assert {"GET", "HEAD"} <= {line["method"] for line in log.events("request")}


def lasting(answer: httpx.Response) -> Mapping[str, str]:
    left_out = OF_THE_MOMENT | {"content-length"}
    return {name: value for name, value in answer.headers.items() if name not in left_out}


async def test_it_uses_up_the_rate_limit_as_get_does(operator: Operator) -> None:
    store = await operator.store(tier="tight")
    statuses = [(await store.send("HEAD", "/api/v1/credits/balance")).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


async def test_where_only_post_is_served_it_is_not(store: StoreClient) -> None:
    for path in ("/api/v1/generation/create", "/webhooks/paddle"):
        answer = await store.send("HEAD", path)
        assert (answer.status_code, answer.content) == (405, b"")
        assert set(answer.headers["allow"].split(", ")) == {"POST", "OPTIONS"}


async def test_on_the_wire_no_body_follows(wire: Wire, key: str) -> None:
    connection = await wire.connect()
    for path in ("/api/v1/credits/balance", "/api/v1/generations", "/api/docs", "/metrics"):
        await connection.send(request("HEAD", path, key))
        head = await connection.answer(has_body=False)
        assert head.status == 200
        assert int(head.headers["content-length"]) > 0
        await connection.send(request("GET", path, key))
        assert len((await connection.answer()).body) > 0


async def test_metrics_on_an_address_of_their_own_are_served_so_too(service: Service) -> None:
    app: Any = create_metrics_app(service.parts)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://metrics.test") as client:
        head = await client.head("/metrics")
        assert (head.status_code, head.content) == (200, b"")
        other = await client.post("/metrics")
        assert set(other.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


async def test_who_streams_an_answer_learns_that_nobody_listens() -> None:
    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    app: Any = HeadAsGet(endless)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        head = await client.head("/endless")
    assert (head.status_code, head.content) == (200, b"")


async def test_options_names_every_method_of_its_path(operator: Operator) -> None:
    paths: dict[str, Any] = msgspec.json.decode(openapi_document())["paths"]
    ids: defaultdict[str, str] = defaultdict(lambda: UNKNOWN)
    for path, operations in paths.items():
        address = f"{path.format_map(ids)}?limit=1"
        answer = await operator.http.options(address, headers=bearer(OPERATOR_TOKEN))
        documented = {method.upper() for method in operations}
        if answer.status_code == 204:
            assert documented <= set(answer.headers["allow"].split(", ")), path
        else:
            assert not path.startswith("/api/admin/"), f"{path}: {answer.text}"
