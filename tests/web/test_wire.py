"""The real server on a real socket, spoken to in raw bytes that no HTTP client would send."""

import asyncio
import gc

import psutil
import pytest

from storecredit.web.http import bodies, protocol, unread
from storecredit.web.http.visits import Visit
from tests.crash.waiting import until_true
from tests.log_stream import LogStream
from tests.web.checklist import UNKNOWN
from tests.web.doors import CREATE, OPERATOR_TOKEN
from tests.web.table_rows import Rows
from tests.web.wire import ANSWER_SECONDS_MAX, BODY, Wire, request


async def test_an_ordinary_request_works(wire: Wire, key: str, rows: Rows) -> None:
    answer = await wire.ask(request("POST", CREATE, key, "X-Request-Id: order-1", body=BODY))
    assert answer.status == 201
    assert answer.headers["x-request-id"] == "order-1"
    assert "server" not in answer.headers, "what software serves is nobody's business"
    assert answer.json()["data"]["balance"] == 99
    assert await rows.deductions() == 1


async def test_several_requests_on_one_connection_are_answered_in_order(
    wire: Wire, key: str
) -> None:
    connection = await wire.connect()
    creates = [
        request("POST", CREATE, key, f"X-Request-Id: order-{place}", body=BODY)
        for place in range(3)
    ]
    await connection.send(b"".join(creates))
    for place in range(3):
        answer = await connection.answer()
        assert (answer.status, answer.headers["x-request-id"]) == (201, f"order-{place}")


async def test_no_more_requests_than_a_maximum_wait_for_the_answers_before_theirs(
    wire: Wire,
) -> None:
    connection = await wire.connect()
    await connection.send(request("GET", "/health/live") * 200)
    statuses = [200]
    while statuses[-1] == 200:
        statuses.append((await connection.answer()).status)
    assert statuses[1:] == [200] * (1 + protocol.PIPELINED_MAX) + [400]
    assert await connection.is_closed()
    assert (await wire.ask(request("GET", "/health/live"))).status == 200


async def test_a_request_leaves_nothing_to_the_garbage_collector(wire: Wire, key: str) -> None:
    """A circle of references is found by looking through everything: a fifth of a request."""
    connection = await wire.connect()
    gc.collect()
    gc.disable()
    try:
        refused = f"/api/v1/generation/{UNKNOWN}?wait=1"
        for path in ("/api/v1/credits/balance", "/nothing", refused):
            for who in (key, "Authorization: Bearer somebody-else"):
                for _ in range(20):
                    await connection.send(request("GET", path, who))
                    await connection.answer()
        for _ in range(20):
            await connection.send(request("POST", CREATE, key, body=BODY))
            assert (await connection.answer()).status == 201
        left = sum(isinstance(each, Visit) for each in gc.get_objects())
    finally:
        gc.enable()
    assert left < 10


async def test_a_chunked_body_is_read(wire: Wire, key: str) -> None:
    chunks = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (7, BODY[:7], len(BODY) - 7, BODY[7:])
    answer = await wire.ask(request("POST", CREATE, key, "Transfer-Encoding: chunked") + chunks)
    assert answer.status == 201


async def test_a_chunked_body_that_does_not_end_is_stopped_at_the_limit(
    wire: Wire, key: str, rows: Rows
) -> None:
    connection = await wire.connect()
    await connection.send(request("POST", CREATE, key, "Transfer-Encoding: chunked"))
    for _ in range(5):
        await connection.send(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
    answer = await connection.answer()
    assert (answer.status, answer.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert await rows.deductions() == 0


async def test_after_a_413_the_connection_is_in_order_or_closed(
    wire: Wire, key: str, rows: Rows
) -> None:
    """What was not read of a body must never be taken for a request."""
    smuggled = request("POST", CREATE, key, body=BODY)
    large = smuggled + b" " * 5_000_000
    connection = await wire.connect()
    await connection.send(request("POST", CREATE, key, body=large))
    assert (await connection.answer()).status == 413
    await connection.send(request("GET", "/health/live"))
    answer = await connection.answer()
    assert (answer.status, answer.json()["data"]) == (200, {"status": "ok"})
    assert await rows.deductions() == 0


async def test_a_refused_request_whose_body_was_not_read_leaves_the_connection_in_order(
    wire: Wire, rows: Rows
) -> None:
    connection = await wire.connect()
    await connection.send(request("POST", CREATE, body=BODY))
    assert (await connection.answer()).status == 401
    await connection.send(request("GET", "/health/live"))
    assert (await connection.answer()).status == 200


async def test_no_length_means_no_body(wire: Wire, key: str, rows: Rows) -> None:
    answer = await wire.ask(request("POST", CREATE, key))
    assert (answer.status, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    answer = await wire.ask(request("POST", CREATE, key, "Content-Length: 0"))
    assert answer.status == 400
    assert await rows.deductions() == 0


async def test_a_client_that_waits_for_100_is_let_in_only_with_a_key(wire: Wire, key: str) -> None:
    expecting = request("POST", CREATE, "Expect: 100-continue", length=len(BODY))
    assert (await wire.ask(expecting)).status == 401
    connection = await wire.connect()
    await connection.send(request("POST", CREATE, key, "Expect: 100-continue", length=len(BODY)))
    assert (await connection.answer()).status == 100
    await connection.send(BODY)
    assert (await connection.answer()).status == 201


async def test_a_body_that_comes_after_its_head_is_read(wire: Wire, key: str) -> None:
    connection = await wire.connect()
    whole = request("POST", CREATE, key, body=BODY)
    for part in (whole[: -len(BODY)], BODY[:7], BODY[7:]):
        await connection.send(part)
        await asyncio.sleep(0.05)
    assert (await connection.answer()).status == 201


async def test_a_body_that_does_not_arrive_in_time_is_refused(
    wire: Wire, key: str, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_MAX_SECONDS", 0.3)
    operator = f"Authorization: Bearer {OPERATOR_TOKEN}"
    for path, line in ((CREATE, key), ("/api/admin/stores", operator)):
        connection = await wire.connect()
        await connection.send(request("POST", path, line, body=BODY[:7], length=len(BODY)))
        answer = await connection.answer()
        assert (answer.status, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
        assert "did not arrive within" in answer.json()["error"]["message"]
    assert await rows.deductions() == 0


async def test_a_body_that_is_announced_as_too_large_is_not_awaited(wire: Wire, key: str) -> None:
    for line in ("X-Any: thing", "Expect: 100-continue"):
        answer = await wire.ask(request("POST", CREATE, key, line, length=5_000_000))
        assert answer.status == 413


async def test_a_client_that_goes_away_in_the_middle_costs_nothing(
    wire: Wire, key: str, rows: Rows, log: LogStream
) -> None:
    connection = await wire.connect()
    await connection.send(request("POST", CREATE, key, body=BODY[:50], length=len(BODY)))
    await connection.close()
    assert (await wire.ask(request("GET", "/health/live"))).status == 200
    assert await rows.deductions() == 0
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        while True:
            cut_off = [line for line in log.events("request") if line["route"] == CREATE]
            if cut_off:
                break
            await asyncio.sleep(0.01)
    assert [line["status"] for line in cut_off] == [400], "not an error of ours"


async def test_methods_that_have_no_place_here(wire: Wire, key: str) -> None:
    for method in ("HEAD", "TRACE", "PUT"):
        answer = await wire.ask(request(method, CREATE, key), has_body=method != "HEAD")
        assert answer.status == 405, method
        assert set(answer.headers["allow"].split(", ")) == {"POST", "OPTIONS"}
        assert answer.headers["x-request-id"]


async def test_bytes_that_are_no_text(wire: Wire, key: str, rows: Rows) -> None:
    for content, status in (
        (request("POST", CREATE, key, body=BODY[:-1] + b',"prompt":"\xff"}'), 400),
        (request("POST", CREATE, key, "X-Request-Id: \xff", body=BODY), 400),
        (request("POST", CREATE, "Authorization: Bearer \xff\xfe", body=BODY), 401),
        (request("GET", "/api/v1/health", key, "Origin: \xff"), 403),
        (request("GET", "/api/v1/health", key, "Cookie: \xff=\xfe;;;"), 200),
        (request("GET", "/api/v1/%ff%fe", key), 404),
        (request("GET", "/api/v1/%zz%", key), 404),
        (request("GET", "/api/v1/generations?cursor=%ff", key), 400),
    ):
        answer = await wire.ask(content)
        assert answer.status == status, content
        assert answer.headers["x-request-id"]
        assert set(answer.json()) == {"data", "error"}
    assert await rows.deductions() == 0


async def test_other_ways_to_write_an_address_lead_past_no_check(wire: Wire, key: str) -> None:
    for target in (
        "//api/admin/stores",
        "/api/admin//stores",
        "/%2fapi/admin/stores",
        "http://evil.example/api/admin/stores",
        "/api/admin/stores?x=/api/v1/health",
        "/api/admin/stores;a=b",
        "/api/v1/../admin/stores",
        "/api/v1/%2e%2e/admin/stores",
    ):
        answer = await wire.ask(request("GET", target, key))
        assert answer.status in {401, 404}, target
        assert answer.json()["data"] is None


async def test_what_is_no_http_is_answered_400_and_the_connection_closed(
    wire: Wire, key: str, rows: Rows
) -> None:
    chunked = "Transfer-Encoding: chunked"
    for content in (
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /health/live HTTP/9.9\r\n\r\n",
        b"GET /health live HTTP/1.1\r\nHost: a\r\n\r\n",
        b"BREW /health/live HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: a\r\nX-Nul: \0\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nno colon\r\n\r\n",
        request("POST", CREATE, key, "Content-Length: many", body=b""),
        request("POST", CREATE, key, "Content-Length: -1", body=b""),
        request("POST", CREATE, key, "Content-Length: 1", body=BODY),
        request("POST", CREATE, key, chunked, body=BODY),
        request("POST", CREATE, key, chunked) + b"swordfish\r\n",
    ):
        connection = await wire.connect()
        await connection.send(content)
        answer = await connection.answer()
        assert answer.status == 400, content
        assert await connection.is_closed(), content
    assert (await wire.ask(request("GET", "/health/live"))).status == 200
    assert await rows.deductions() == 0


async def test_many_and_long_headers_do_no_harm(wire: Wire, key: str) -> None:
    many = [f"X-Header-{number}: {number}" for number in range(1000)]
    assert (await wire.ask(request("GET", "/api/v1/health", key, *many))).status == 200
    long = await wire.ask(request("GET", "/api/v1/health", key, "X-Long: " + "x" * 200_000))
    assert long.status in {200, 400, 431}
    answer = await wire.ask(request("GET", "/api/v1/health", key, "X-Request-Id: " + "x" * 60_000))
    assert answer.status == 400
    assert answer.headers["x-request-id"].startswith("req_")
    query = await wire.ask(request("GET", "/api/v1/generations?cursor=" + "x" * 50_000, key))
    assert query.status == 400


async def test_a_head_without_end_is_refused_at_its_limit(wire: Wire, key: str) -> None:
    connection = await wire.connect()
    await connection.send(request("GET", "/api/v1/health", key)[:-2] + b"X-Long: " + b"x" * 70_000)
    answer = await connection.answer()
    assert answer.status == 431
    assert await connection.is_closed()


async def test_a_head_that_does_not_end_in_time_is_cut_off_wherever_it_stands(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_MAX_SECONDS", 0.3)
    whole = request("GET", "/health/live")
    for before in (b"", whole, whole + whole):
        connection = await wire.connect()
        await connection.send(before + whole[:-2])
        for _ in range(before.count(whole)):
            assert (await connection.answer()).status == 200
        assert await connection.is_closed()


async def test_whoever_takes_nothing_of_an_answer_is_cut_off(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = request("GET", "/api/openapi.json")
    assert (await wire.ask(document)).status == 200  # made, which takes long, and kept
    monkeypatch.setattr(unread, "UNREAD_MAX_SECONDS", 0.3)
    connection = await wire.connect()
    await connection.send(document * (protocol.PIPELINED_MAX - 1))
    here = connection.writer.get_extra_info("sockname")

    async def is_gone() -> bool:
        found = psutil.Process().net_connections("tcp")
        return not any(each.laddr == here and each.status == "ESTABLISHED" for each in found)

    assert not await is_gone()
    await until_true(is_gone, "it is cut off", ANSWER_SECONDS_MAX, str)
    assert (await wire.ask(request("GET", "/health/live"))).status == 200


def test_whoever_is_slow_is_not_cut_off() -> None:
    waiting = unread.Unread()
    now, size = 0.0, 100 * unread.TAKEN_MIN_BYTES
    while size > 0:
        assert not waiting.is_stuck(size, now)
        now += unread.UNREAD_MAX_SECONDS - 1
        size -= unread.TAKEN_MIN_BYTES
    # All is taken, and what comes later begins anew.
    assert not waiting.is_stuck(0, now)
    assert not waiting.is_stuck(5, now + 1000)
    assert not waiting.is_stuck(4, now + 999 + unread.UNREAD_MAX_SECONDS)
    assert waiting.is_stuck(4, now + 1000 + unread.UNREAD_MAX_SECONDS)


async def test_a_connection_may_be_older_than_a_head_may_be(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_MAX_SECONDS", 1.0)
    connection = await wire.connect()
    for _ in range(4):
        await connection.send(request("GET", "/health/live"))
        assert (await connection.answer()).status == 200
        await asyncio.sleep(0.4)


async def test_space_around_a_request_id_is_none_of_it(wire: Wire, key: str, rows: Rows) -> None:
    lines = (
        "Idempotency-Key: order-9",
        "Idempotency-Key: order-9 ",
        'Idempotency-Key:   "order-9"\t ',
        "X-Request-Id: order-9  ",
    )
    answers = [await wire.ask(request("POST", CREATE, key, line, body=BODY)) for line in lines]
    statuses = [answer.status for answer in answers]
    assert statuses == [201, 200, 200, 200]
    assert await rows.deductions() == 1
    inside = await wire.ask(request("POST", CREATE, key, 'Idempotency-Key: " order-9"', body=BODY))
    assert inside.status == 400


async def test_a_host_that_is_none_is_the_senders_mistake(wire: Wire, key: str) -> None:
    await wire.ask(request("POST", CREATE, key, body=BODY))
    content = request("GET", "/api/v1/generations", key).replace(b"api.test", b"api.test:99999")
    assert (await wire.ask(content)).status == 400
