"""What changes while a page is open, told to its script by server-sent events."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest

from storecredit.operator import live as watching
from storecredit.operator.sign_ins import NewSignIn
from storecredit.postgres.pool import Database
from storecredit.service import Service
from storecredit.web.http import protocol, streams
from storecredit.web.pages import live as live_events
from tests.log_stream import LogStream
from tests.running_listener import until
from tests.web.doors import OPERATOR_TOKEN, Operator, StoreClient
from tests.web.events import MEDIA_TYPE, Event, events_in
from tests.web.node import served
from tests.web.users import UserClient
from tests.web.wire import request

EVENTS_ASKED = {"Accept": MEDIA_TYPE}
WAIT_SECONDS_MAX = 60.0
HELD_SECONDS = 2.0
STANDS_STILL_SECONDS = 0.5
CONSOLE = "/console/events"
OF_ALL = {"connection", "queue", "latest", "counts"}
OF_ONE = {"connection", "balance", "movements", "generations"}


class Stream:
    """An open answer, read as an EventSource reads it."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.seen: dict[str, Any] = {}
        self.names: list[str] = []
        self.retry: str | None = None
        self._events = self._read()

    async def _read(self) -> AsyncIterator[Event]:
        rest = ""
        async for text in self.answer.aiter_text():
            *blocks, rest = (rest + text).split("\n\n")
            for block in blocks:
                if block.startswith("retry: "):
                    self.retry = block.removeprefix("retry: ")
                for event in events_in(block):
                    self.names.append(event.name)
                    yield event
        assert rest == "", "an event was cut off"

    async def next(self) -> Event | None:
        """The next event; None: the answer has ended."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            event = await anext(self._events, None)
        if event is not None and event.data:
            self.seen[event.name] = json.loads(event.data)
            assert event.id, "it can be come again with"
        return event

    async def until_known(self, *names: str) -> None:
        while not set(names) <= set(self.seen):
            assert await self.next() is not None, f"ended after {self.names}"

    async def until_event(self, name: str) -> None:
        while (event := await self.next()) is None or event.name != name:
            assert event is not None, f"ended after {self.names}"


@asynccontextmanager
async def opened(
    port: int, address: str, sign_in: NewSignIn, **headers: str
) -> AsyncIterator[Stream]:
    """A stream, as a page that this sign-in has open asks for it."""
    door = sign_in.sign_in.door
    cookie = {"Cookie": f"storecredit_{door}={sign_in.cookie}"}
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        client.stream("GET", address, headers=EVENTS_ASKED | cookie | headers) as answer,
    ):
        yield Stream(answer)


@pytest.fixture
async def console(service: Service) -> NewSignIn:
    found = await service.parts.operator.sign_ins.with_token(OPERATOR_TOKEN)
    assert found is not None
    return found


async def portal_of(service: Service, store: StoreClient) -> NewSignIn:
    found = await service.parts.operator.sign_ins.with_key(store.api_key)
    assert found is not None
    return found


async def test_a_creation_is_told_to_console_store_page_and_portal(
    service: Service, store: StoreClient, console: NewSignIn
) -> None:
    of_store = f"/console/stores/{store.store_id}/events"
    portal = await portal_of(service, store)
    async with (
        served(service) as port,
        opened(port, CONSOLE, console) as all_,
        opened(port, of_store, console) as one,
        opened(port, "/portal/events", portal) as own,
    ):
        for stream, names in ((all_, OF_ALL), (one, OF_ONE), (own, OF_ONE)):
            assert stream.answer.status_code == 200
            assert stream.answer.headers["content-type"] == MEDIA_TYPE
            assert stream.answer.headers["cache-control"] == "no-store, no-transform"
            assert stream.answer.headers["x-accel-buffering"] == "no"
            await stream.until_known(*names)
            assert set(stream.names) == names
            assert stream.retry is not None
            assert 1000 <= int(stream.retry) < 3000
        await store.created("order-7")
        while all_.seen["latest"][0]["request_id"] != "order-7":
            assert await all_.next()
        assert all_.seen["latest"][0]["owner_id"] == store.store_id
        for stream in (one, own):
            while not (stream.seen["balance"]["balance"] == 99 and stream.seen["generations"]):
                assert await stream.next()
            assert stream.seen["generations"][0]["status"] == "queued"
            while stream.seen["movements"][0]["request_id"] != "order-7":
                assert await stream.next()


async def test_an_end_users_page_is_told_of_their_account(
    service: Service, user: UserClient, console: NewSignIn
) -> None:
    await user.created()
    address = f"/console/users/{user.user_id}/events"
    async with served(service) as port, opened(port, address, console) as stream:
        await stream.until_known(*OF_ONE)
        assert len(stream.seen["generations"]) == 1


async def test_a_portal_is_told_of_its_own_store_alone(
    service: Service, store: StoreClient, operator: Operator
) -> None:
    other = await operator.store(credits=7)
    await store.created("order-7")
    portal = await portal_of(service, other)
    async with served(service) as port:
        async with opened(port, "/portal/events", portal) as stream:
            await stream.until_known(*OF_ONE)
            assert stream.seen["balance"]["balance"] == 7
            assert len(stream.seen["movements"]) == 1
            assert stream.seen["generations"] == []
        # And its cookie opens nothing of the console's.
        address = f"/console/stores/{store.store_id}/events"
        async with opened(
            port, address, portal, Cookie=f"storecredit_console={portal.cookie}"
        ) as stream:
            assert await stream.next() == Event("signed-out", "", None)
            assert await stream.next() is None


async def test_who_is_not_signed_in_is_told_so_as_they_read_it(
    service: Service, api: httpx.AsyncClient
) -> None:
    for address in (CONSOLE, "/portal/events"):
        answer = await api.get(address, headers=EVENTS_ASKED)
        assert answer.headers["content-type"].startswith(MEDIA_TYPE)
        assert list(events_in(answer.text)) == [Event("signed-out", "", None)]
        answer = await api.get(address)
        assert answer.status_code == 303
        assert "/sign-in?next=" in answer.headers["location"]


async def test_what_there_is_not_cannot_be_watched(service: Service, console: NewSignIn) -> None:
    unknown = UUID(int=5)
    async with served(service) as port:
        for address in (
            f"/console/stores/{unknown}/events",
            f"/console/users/{unknown}/events",
            "/console/stores/x/events",
        ):
            async with opened(port, address, console) as stream:
                assert stream.answer.status_code == 404


async def test_a_sign_in_that_ends_ends_its_streams(
    service: Service, store: StoreClient, console: NewSignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_events, "SIGN_IN_SECONDS", 0.05)
    portal = await portal_of(service, store)
    async with (
        served(service) as port,
        opened(port, CONSOLE, console) as of_console,
        opened(port, "/portal/events", portal) as of_portal,
    ):
        await of_console.until_known(*OF_ALL)
        await service.parts.operator.sign_ins.end(console.cookie, "console")
        await of_console.until_event("signed-out")
        assert await of_console.next() is None
        await of_portal.until_known(*OF_ONE)
        assert (
            await store.http.delete(
                f"/api/admin/stores/{store.store_id}/keys/{store.key_id}",
                headers={"Authorization": f"Bearer {OPERATOR_TOKEN}"},
            )
        ).is_success
        await of_portal.until_event("signed-out")
        assert await of_portal.next() is None


async def test_a_database_that_is_away_is_told_and_ends_nothing(
    service: Service, console: NewSignIn, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_events, "SIGN_IN_SECONDS", 0.05)
    monkeypatch.setattr(live_events, "PING_SECONDS", 0.2)
    async with served(service) as port, opened(port, CONSOLE, console) as stream:
        await stream.until_known(*OF_ALL)
        await database.close()
        while stream.seen["connection"] != {"state": "lost"}:
            assert await stream.next()
        # It has been asked whether they are signed in several times by then.
        await stream.until_event("ping")
        await stream.until_event("ping")


async def test_silence_is_filled(
    service: Service, console: NewSignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_events, "PING_SECONDS", 0.05)
    async with served(service) as port, opened(port, CONSOLE, console) as stream:
        await stream.until_known(*OF_ALL)
        await stream.until_event("ping")
        await stream.until_event("ping")


async def test_who_comes_again_is_told_what_they_have_not_had(
    service: Service, store: StoreClient, console: NewSignIn
) -> None:
    async with served(service) as port, opened(port, CONSOLE, console) as stream:
        last = None
        while not set(stream.seen) >= OF_ALL:
            event = await stream.next()
            assert event is not None
            last = event.id
        assert last is not None
        await store.created("order-7")
        while stream.seen["latest"][0]["request_id"] != "order-7":
            assert await stream.next()
        async with opened(port, CONSOLE, console, **{"Last-Event-ID": last}) as again:
            await again.until_known("latest")
            assert "counts" not in again.seen


async def test_who_goes_away_frees_its_place_and_was_never_a_slow_request(
    service: Service, console: NewSignIn, log: LogStream
) -> None:
    async with served(service) as port:
        began = time.monotonic()
        async with opened(port, CONSOLE, console) as stream:
            await stream.until_known(*OF_ALL)
            assert service.parts.live.watchers == 1
            await asyncio.sleep(HELD_SECONDS)
        await until(lambda: service.parts.live.watchers == 0)
        await until(lambda: len(log.events("request")) == 1)
    [line] = log.events("request")
    lasted = (time.monotonic() - began) * 1000
    assert (line["route"], line["status"]) == (CONSOLE, 200)
    assert line["milliseconds"] <= lasted - HELD_SECONDS * 1000
    assert [each for each in log.lines() if each["level"] in {"warning", "error"}] == []


async def test_a_stop_ends_all_at_once(
    service: Service, store: StoreClient, console: NewSignIn, log: LogStream
) -> None:
    async with (
        served(service) as port,
        opened(port, CONSOLE, console) as all_,
        opened(port, f"/console/stores/{store.store_id}/events", console) as one,
    ):
        await all_.until_known(*OF_ALL)
        await one.until_known(*OF_ONE)
        service.end_waits()
        for stream in (all_, one):
            while await stream.next() is not None:
                pass
        assert [each for each in log.lines() if each["level"] in {"warning", "error"}] == []
        # Who comes meanwhile is to come again.
        async with opened(port, CONSOLE, console) as late:
            assert (late.answer.status_code, late.answer.headers["retry-after"]) == (503, "10")


async def test_a_page_that_reads_nothing_keeps_no_service_from_stopping(
    service: Service, console: NewSignIn, log: LogStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "STALLED_MAX_SECONDS", 0.2)
    monkeypatch.setattr(live_events, "PING_SECONDS", 0.001)
    sent: list[str] = []

    def large(name: str) -> bytes:
        """A comment: some of them are more than all that is between the two can hold."""
        sent.append(name)
        return b": " + b"x" * 10**6 + b"\n\n"

    monkeypatch.setattr(streams, "event", large)
    async with served(service) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        cookie = f"Cookie: storecredit_console={console.cookie}"
        writer.write(request("GET", CONSOLE, cookie))
        before = -1
        while len(sent) > before or not sent:
            before = len(sent)
            await asyncio.sleep(STANDS_STILL_SECONDS)
        service.end_waits()
    with contextlib.suppress(ConnectionError):
        assert not (await reader.read()).endswith(b"\r\n0\r\n\r\n"), "it was waiting to be sent"
    writer.close()
    assert [each for each in log.lines() if each["level"] in {"warning", "error"}] == []


async def test_as_many_are_open_as_may_be(
    service: Service, console: NewSignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WATCHERS_MAX", 1)
    async with served(service) as port, opened(port, CONSOLE, console) as stream:
        await stream.until_known(*OF_ALL)
        async with opened(port, CONSOLE, console) as late:
            assert (late.answer.status_code, late.answer.headers["retry-after"]) == (503, "10")
            assert late.answer.headers["content-type"].startswith("text/html")


async def test_a_store_is_one_however_often_it_signs_in(
    service: Service, store: StoreClient, console: NewSignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WATCHERS_OF_ONE_MAX", 1)
    first, second = await portal_of(service, store), await portal_of(service, store)
    async with served(service) as port, opened(port, "/portal/events", first) as stream:
        await stream.until_known(*OF_ONE)
        async with opened(port, "/portal/events", second) as late:
            assert late.answer.status_code == 503
        async with opened(port, CONSOLE, console) as of_all:
            assert of_all.answer.status_code == 200


async def test_head_tells_how_it_would_be_answered_and_holds_no_place(
    service: Service, api: httpx.AsyncClient, console: NewSignIn
) -> None:
    cookie = {"Cookie": f"storecredit_console={console.cookie}"}
    async with (
        served(service) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        answer = await client.head(CONSOLE, headers=EVENTS_ASKED | cookie)
        assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA_TYPE)
        await until(lambda: service.parts.live.watchers == 0)
