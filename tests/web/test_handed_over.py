"""Bodies and answers that go past ASGI's messages: nobody can tell them from those that do not.

Of requests that are sent ahead of each other's answers, all but the last are served by messages:
their connection hands over what belongs to its newest request alone.
"""

import gc
from typing import Any

import pytest

from storecredit.web.http import packets
from storecredit.web.http.protocol import BoundedProtocol
from tests.web.doors import CREATE
from tests.web.wire import BODY, RawAnswer, Wire, request

BALANCE = "/api/v1/credits/balance"
READ = "/api/v1/generation/{}?wait=1"


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The status of each answer that went out whole, without messages."""
    statuses: list[int] = []
    write = packets.write_whole

    def counting(transport: Any, cycle: Any, status: int, headers: Any, body: bytes) -> bool:
        done = write(transport, cycle, status, headers, body)
        statuses.extend([status] * done)
        return done

    monkeypatch.setattr("storecredit.web.http.protocol.write_whole", counting)
    return statuses


def told(answer: RawAnswer) -> tuple[int, list[tuple[str, str]], bytes]:
    """An answer without what differs from one request to the next."""
    headers = [(name, value) for name, value in answer.headers.items() if name != "date"]
    return answer.status, headers, answer.body


async def test_what_is_handed_over_is_what_is_said_by_messages(
    wire: Wire, key: str, handed_over: list[int]
) -> None:
    create = request("POST", CREATE, key, "Idempotency-Key: order-7", body=BODY)
    made = (await wire.ask(create)).json()["data"]["session_id"]
    named = "X-Request-Id: look"
    for content in (
        create,
        request("GET", BALANCE, key, named),
        request("GET", BALANCE, key, named, body=b"not looked at"),
        request("GET", READ.format(made), key, named),
    ):
        handed_over.clear()
        connection = await wire.connect()
        await connection.send(content + content)
        by_messages, whole = await connection.answer(), await connection.answer()
        assert handed_over == [200]
        assert told(by_messages) == told(whole)
        assert by_messages.status == 200


async def test_a_connection_that_is_to_end_says_so_and_does(
    wire: Wire, key: str, handed_over: list[int]
) -> None:
    connection = await wire.connect()
    await connection.send(request("POST", CREATE, key, "Connection: close", body=BODY))
    answer = await connection.answer()
    assert (answer.status, answer.headers["connection"]) == (201, "close")
    assert await connection.is_closed()
    assert handed_over == [201]


async def test_head_of_what_is_handed_over_has_no_body(
    wire: Wire, key: str, handed_over: list[int]
) -> None:
    connection = await wire.connect()
    await connection.send(request("HEAD", BALANCE, key) + request("GET", BALANCE, key))
    head, whole = await connection.answer(has_body=False), await connection.answer()
    assert head.headers["content-length"] == str(len(whole.body))
    await connection.send(request("HEAD", BALANCE, key))
    assert (await connection.answer(has_body=False)).status == 200
    assert handed_over == [200]


async def test_a_long_answer_is_not_copied(
    wire: Wire, key: str, handed_over: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packets, "JOINED_MAX_BYTES", 10)
    assert (await wire.ask(request("POST", CREATE, key, body=BODY))).status == 201
    assert handed_over == []


async def test_a_connection_that_is_gone_leaves_nothing_to_the_garbage_collector(
    wire: Wire, key: str
) -> None:
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            connection = await wire.connect()
            await connection.send(request("POST", CREATE, key, body=BODY))
            assert (await connection.answer()).status == 201
            await connection.close()
        await wire.ask(request("GET", "/health/live"))
        left = sum(isinstance(each, BoundedProtocol) for each in gc.get_objects())
    finally:
        gc.enable()
    assert left < 10
