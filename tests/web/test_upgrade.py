"""Clients that offer to upgrade are served, and their bodies read: curl, the JDK's, and by hand."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.doors import CREATE
from tests.web.real_clients import Relay, relay_to, said_by
from tests.web.table_rows import Rows
from tests.web.wire import BODY, Wire, request

CREATE_TWICE = Path(__file__).resolve().parents[1] / "jdk" / "CreateTwice.java"
OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQA")


@pytest.fixture
async def relay(wire: Wire) -> AsyncIterator[Relay]:
    async with relay_to(wire.port) as running:
        yield running


def created(line: str) -> dict[str, Any]:
    status, _, body = line.partition(" ")
    assert status == "201", line
    data: dict[str, Any] = json.loads(body)["data"]
    return data


async def test_the_jdks_client_creates_two_generations(
    wire: Wire, key: str, rows: Rows, relay: Relay
) -> None:
    said = await said_by(
        "java",
        str(CREATE_TWICE),
        f"http://127.0.0.1:{relay.port}{CREATE}",
        key.removeprefix("Authorization: "),
        BODY.decode(),
    )
    first, second = (created(line) for line in said.splitlines())
    assert (first["request_id"], second["request_id"]) == ("java-1", "java-2")
    assert (first["balance"], second["balance"]) == (99, 98)
    assert await rows.deductions() == 2
    assert (relay.offers, len(relay.connections)) == (2, 1)


async def test_curl_creates_two_generations_with_http2_allowed(
    wire: Wire, key: str, rows: Rows, relay: Relay
) -> None:
    address = f"http://127.0.0.1:{relay.port}{CREATE}"
    for place, framing in enumerate((None, "Transfer-Encoding: chunked", "Expect: 100-continue")):
        said = await said_by(
            "curl",
            "--silent",
            "--http2",
            *("--header", key, "--data-binary", BODY.decode()),
            *(("--header", framing) if framing else ()),
            *("--write-out", "\n%{http_code} %{num_connects} %{http_version}\n"),
            *(address, address),
        )
        first, first_way, second, second_way = said.splitlines()
        balances = [json.loads(answer)["data"]["balance"] for answer in (first, second)]
        assert balances == [99 - 2 * place, 98 - 2 * place], framing
        assert (first_way, second_way) == ("201 1 1.1", "201 0 1.1"), "the same connection twice"
    assert await rows.deductions() == 6
    assert (relay.offers >= 3, len(relay.connections)) == (True, 3)


async def test_an_offered_request_a_plain_one_and_another_offer_in_one_packet(
    wire: Wire, key: str, rows: Rows
) -> None:
    connection = await wire.connect()
    websocket = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    sent = [
        request("POST", CREATE, key, *OFFER, "X-Request-Id: order-0", body=BODY),
        request("POST", CREATE, key, "X-Request-Id: order-1", body=BODY),
        request("GET", "/health/live", *websocket, "X-Request-Id: order-2"),
        request("POST", CREATE, key, *websocket, "X-Request-Id: order-3", body=BODY),
    ]
    await connection.send(b"".join(sent))
    answers = [await connection.answer() for _ in sent]
    assert [answer.status for answer in answers] == [201, 201, 200, 201]
    assert [answer.headers["x-request-id"] for answer in answers] == [
        f"order-{place}" for place in range(4)
    ]
    assert await rows.deductions() == 3


async def test_a_body_that_looks_like_a_request_stays_a_body(
    wire: Wire, key: str, rows: Rows
) -> None:
    hidden = request("POST", CREATE, key, body=BODY)
    connection = await wire.connect()
    await connection.send(request("POST", CREATE, key, *OFFER, body=hidden))
    await connection.send(request("GET", "/health/live"))
    assert [(await connection.answer()).status for _ in range(2)] == [400, 200]
    assert await rows.deductions() == 0


async def test_a_trailer_is_no_header(wire: Wire, key: str, rows: Rows) -> None:
    chunks = b"%x\r\n%b\r\n0\r\n%b\r\n\r\n" % (len(BODY), BODY, key.encode())
    for offer in ((), OFFER):
        head = request("POST", CREATE, *offer, "Transfer-Encoding: chunked")
        assert (await wire.ask(head + chunks)).status == 401
    assert await rows.deductions() == 0


async def test_connect_is_refused_and_what_follows_it_is_not_read(
    wire: Wire, key: str, rows: Rows
) -> None:
    connection = await wire.connect()
    await connection.send(request("GET", "/health/live"))
    await connection.send(request("CONNECT", "other.example:443"))
    await connection.send(request("POST", CREATE, key, body=BODY))
    assert (await connection.answer()).status == 200
    answer = await connection.answer()
    assert (answer.status, answer.json()["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == ""
    assert await connection.is_closed()
    assert await rows.deductions() == 0


async def test_an_offer_is_bound_by_the_limits_of_a_head(wire: Wire) -> None:
    connection = await wire.connect()
    await connection.send(request("GET", "/health/live", *OFFER, "X-Long: " + "x" * 70_000)[:-2])
    assert (await connection.answer()).status == 431
    assert await connection.is_closed()


async def test_what_stands_around_chunks_is_bound_as_a_head_is(wire: Wire, key: str) -> None:
    for offer in ((), OFFER):
        for around in (b"\r\n" + b"X-Trailer: x\r\n" * 6000, b";" + b"x" * 70_000):
            connection = await wire.connect()
            asked = (*offer, "Transfer-Encoding: chunked", "Expect: 100-continue")
            head = request("POST", CREATE, key, *asked)
            await connection.send(head + b"%x\r\n%b\r\n0" % (len(BODY), BODY))
            assert (await connection.answer(has_body=False)).status == 100  # all that is read
            await connection.send(around)
            assert (await connection.answer()).status == 431
            assert await connection.is_closed()
