"""What receivers do to us: late, wrong, broken, endless, and what is made of it."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from stand_ins.http_server import Answer, stand_in
from storecredit.outbound.addresses import Resolver
from storecredit.outbound.name_lookups import NameLookups
from storecredit.webhooks import connections
from storecredit.webhooks.answers import Answer as Outcome
from storecredit.webhooks.deliveries import Delivery
from storecredit.webhooks.messages import Event
from storecredit.webhooks.sending import ANSWER_MAX_BYTES, KEPT_BYTES, Sender
from tests.webhooks.names import Names
from tests.webhooks.tls import server_context

DATA = '{"balance" : 5, "note" : "żółw"}'


def delivery_to(url: str, *secrets: bytes) -> Delivery:
    event = Event(uuid4(), "credits.low", datetime.now(UTC), DATA, "store", uuid4())
    return Delivery(
        uuid4(), 1, 0, False, False, url, secrets or (b"s" * 32,), event.created_at, event
    )


@asynccontextmanager
async def sender(
    *,
    timeout_seconds: float = 15.0,
    allow_private_hosts: bool = True,
    resolve: Resolver | None = None,
    trust: ssl.SSLContext | None = None,
) -> AsyncIterator[Sender]:
    opened = Sender(
        resolve or NameLookups(),
        timeout_seconds=timeout_seconds,
        allow_private_hosts=allow_private_hosts,
        trust=trust,
    )
    try:
        yield opened
    finally:
        await opened.close()


async def sent_to(url: str, **options: Any) -> Outcome:
    """What came of one attempt; `options` are the sender's."""
    async with sender(**options) as sending:
        return await sending.send(delivery_to(url), keep_connection=True)


async def outcome_of(answer: Answer, **options: Any) -> Outcome:
    async with stand_in(answer) as receiver:
        return await sent_to(receiver.url(), **options)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 207])
async def test_any_2xx_is_success(status: int) -> None:
    told = await outcome_of(Answer(status, length=None if status == 204 else -1))
    assert told.is_success
    assert (told.status_code, told.error) == (status, None)


@pytest.mark.parametrize(
    "status", [300, 301, 302, 303, 307, 308, 400, 401, 404, 409, 418, 429, 500, 502, 503, 504]
)
async def test_any_other_status_is_a_failure_and_no_redirect_is_followed(status: int) -> None:
    async with stand_in(Answer(200)) as elsewhere:
        told = await outcome_of(Answer(status, b"why", {"Location": elsewhere.url()}))
    assert elsewhere.received == []
    assert not told.is_success
    assert not told.is_gone
    assert (told.status_code, told.error, told.kept) == (status, None, "why")


async def test_410_says_that_the_receiver_is_gone() -> None:
    told = await outcome_of(Answer(410))
    assert told.is_gone
    assert not told.is_success


@pytest.mark.parametrize(
    "answer",
    [
        Answer(hang=True, length=10),
        Answer(body=b"half", hang=True, length=10),
        Answer(body=b"x" * 100, trickle_seconds=0.05),
    ],
    ids=["nothing more", "half", "a trickle"],
)
async def test_an_answer_that_does_not_end_in_time_is_a_failure(answer: Answer) -> None:
    told = await outcome_of(answer, timeout_seconds=0.3)
    assert not told.is_success
    assert told.error == "It did not answer, or not to the end, within 0.3 s."
    assert told.milliseconds >= 300


async def test_a_receiver_that_says_nothing_at_all_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        told = await sent_to(f"http://127.0.0.1:{mute.getsockname()[1]}/", timeout_seconds=0.3)
    assert (told.is_success, told.status_code, told.kept) == (False, None, None)


@pytest.mark.parametrize("answer", [Answer(break_off=True), Answer(body=b"cut", length=10)])
async def test_a_connection_that_breaks_is_a_failure_whatever_the_status_was(
    answer: Answer,
) -> None:
    told = await outcome_of(answer)
    assert not told.is_success
    assert told.error == "The connection broke."


async def test_of_an_endless_answer_the_first_64_kib_are_read_and_500_bytes_kept() -> None:
    endless = Answer(body=b"a" * (ANSWER_MAX_BYTES + 1), length=None, hang=True)
    told = await outcome_of(endless)
    assert told.is_success
    assert told.kept == "a" * KEPT_BYTES


@pytest.mark.parametrize(
    "body, kept", [(b"", ""), (b"\xff\x00", "\ufffd\ufffd"), ("ż".encode() * 300, "ż" * 250)]
)
async def test_what_is_kept_of_an_answer_is_text(body: bytes, kept: str) -> None:
    assert (await outcome_of(Answer(500, body))).kept == kept


async def test_a_connection_over_which_more_comes_than_any_answer_needs_is_ended() -> None:
    ended: list[bool] = []

    class Line(asyncio.Transport):
        def abort(self) -> None:
            ended.append(True)

    bounded = connections.BoundedAnswers(asyncio.get_running_loop())
    bounded.connection_made(Line())
    answer = b"HTTP/1.1 204 No Content\r\n\r\n"
    bounded.set_response_params()
    bounded.data_received(answer)
    assert ended == []
    # Of the next request's answer as much may come again, and not a byte more.
    bounded.set_response_params()
    bounded.data_received(bytes(0))
    bounded.received = connections.RECEIVED_MAX_BYTES - len(answer)
    bounded.data_received(answer)
    assert ended == []
    bounded.data_received(b"H")
    assert ended == [True]


async def test_interim_answers_are_passed_over() -> None:
    async def hint(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(hint, "127.0.0.1", 0)
    async with listening:
        told = await sent_to(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/")
    assert (told.status_code, told.error) == (204, None)


async def test_what_is_not_http_is_a_failure() -> None:
    told = await outcome_of(Answer(headers={"Content-Length": "many"}, length=None))
    assert not told.is_success
    assert told.error == "What it answered is not HTTP."


async def test_a_receiver_that_is_down_is_a_failure() -> None:
    async with stand_in(Answer()) as receiver:
        url = receiver.url()
    told = await sent_to(url)
    assert told.error == "It could not be connected to."


async def test_cookies_are_not_kept_and_proxies_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stand_in(Answer(500)) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        baking = Answer(headers={"Set-Cookie": "a=b; Path=/"})
        async with stand_in(baking) as receiver, sender() as sending:
            for _ in range(2):
                assert (
                    await sending.send(delivery_to(receiver.url()), keep_connection=True)
                ).is_success
    assert proxy.received == []
    assert ["cookie" in request.headers for request in receiver.received] == [False, False]


@pytest.mark.parametrize("trusted, error", [(True, None), (False, "The certificate")])
async def test_a_certificate_must_be_valid_for_the_host(trusted: bool, error: str | None) -> None:
    """The host's name is proven, though the connection is made to an address."""
    context, trust = server_context("shop.example")
    async with stand_in(Answer(), tls=context) as receiver:
        names = Names({"shop.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]})
        url = receiver.url(host="shop.example").replace("http:", "https:")
        options = {"resolve": names, "trust": trust if trusted else None}
        told = await sent_to(url, **options)
        other = await sent_to(url.replace("shop", "other"), **options)
    assert told.is_success is trusted
    assert (told.error or "").startswith(error or "")
    assert (other.error or "").startswith("The certificate is not valid for the host")
    assert len(receiver.received) == int(trusted)


async def test_http_spoken_where_tls_is_expected_is_a_failure() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with listening:
        told = await sent_to(f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/")
    assert told.error == "No connection by TLS could be made."


PRIVATE = "The URL points to a private or local address."


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]"])
async def test_a_private_receiver_is_never_asked_unless_allowed(host: str) -> None:
    async with stand_in(Answer()) as receiver:
        told = await sent_to(receiver.url(host=host), allow_private_hosts=False)
    assert told.error == PRIVATE
    assert receiver.received == []


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"]],
)
async def test_a_name_with_any_private_address_is_never_asked(addresses: Sequence[str]) -> None:
    names = Names({"shop.example": addresses})
    async with stand_in(Answer()) as receiver:
        url = receiver.url(host="shop.example")
        told = await sent_to(url, allow_private_hosts=False, resolve=names)
    assert told.error == PRIVATE
    assert receiver.received == []


async def test_a_name_is_resolved_once_and_asked_at_that_address_under_its_name() -> None:
    """Were it looked up a second time, it could lead somewhere else by then."""
    names = Names({"shop.example": ["127.0.0.1"]}, then={"shop.example": ["169.254.169.254"]})
    async with stand_in(Answer()) as receiver:
        told = await sent_to(receiver.url(host="shop.example"), resolve=names)
    assert told.is_success
    assert names.asked == ["shop.example"]
    [request] = receiver.received
    assert request.headers["host"] == f"shop.example:{receiver.port}"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]"])
async def test_the_address_is_checked_where_it_is_connected_to_whatever_the_url_looked_like(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Parsers may disagree about what the host of a URL is; about a socket's address none can."""

    def sees_no_host(url: str, *, allow_private_hosts: bool) -> None:
        return None

    monkeypatch.setattr("storecredit.webhooks.sending.check_web_url", sees_no_host)
    async with stand_in(Answer()) as receiver:
        told = await sent_to(receiver.url(host=host), allow_private_hosts=False)
    assert told.error == PRIVATE
    assert receiver.received == []


@pytest.mark.parametrize(
    "path, sent",
    [
        ("", "/"),
        ("?a=b", "/?a=b"),
        ("/a%2Fb%7Ec/../d;e?x=%C5%BC+y#part", "/a%2Fb%7Ec/../d;e?x=%C5%BC+y"),
        ("/ścieżka?ż", "/%C5%9Bcie%C5%BCka?%C5%BC"),
    ],
)
async def test_a_url_is_asked_for_as_it_was_registered(path: str, sent: str) -> None:
    names = Names({"xn--w-uga1v8h.example": ["127.0.0.1"], "shop.example": ["127.0.0.1"]})
    host = "shop.example" if path.isascii() else "żółw.example"
    async with stand_in(Answer()) as receiver:
        told = await sent_to(receiver.url(path, host=host), resolve=names)
    assert told.is_success, told.error
    [request] = receiver.received
    assert request.path == sent
    assert request.headers["host"].encode("ascii").startswith((b"xn--", b"shop."))


async def test_a_name_that_has_moved_into_a_private_network_is_not_asked_there() -> None:
    names = Names({"shop.example": ["1.1.1.1"]}, then={"shop.example": ["127.0.0.1"]})
    assert await names("shop.example", 80) == ["1.1.1.1"], "as when it was registered"
    async with stand_in(Answer()) as receiver:
        url = receiver.url(host="shop.example")
        told = await sent_to(url, allow_private_hosts=False, resolve=names)
    assert told.error == PRIVATE
    assert receiver.received == []


async def test_a_name_that_does_not_resolve_is_a_failure() -> None:
    told = await sent_to("http://shop.example/", resolve=Names({}))
    assert told.error == "The host name does not resolve."


@pytest.mark.parametrize("is_kept, lookups", [(True, 1), (False, 3)])
async def test_a_connection_is_used_again_only_while_there_is_more_to_send(
    is_kept: bool, lookups: int
) -> None:
    names = Names({"shop.example": ["127.0.0.1"]})
    keeping = Answer(headers={"Connection": "keep-alive"})
    async with stand_in(keeping) as receiver, sender(resolve=names) as sending:
        delivery = delivery_to(receiver.url(host="shop.example"))
        for _ in range(3):
            assert (await sending.send(delivery, keep_connection=is_kept)).is_success
    assert len(receiver.received) == 3
    assert len(names.asked) == lookups, "a name is looked up for each connection"
