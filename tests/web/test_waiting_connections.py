"""Connections whose answer waits, on the real server: who goes away, and how many may wait."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from storecredit.service import Service
from storecredit.web.http.protocol import connections_max, waiters_max
from tests.web.doors import StoreClient
from tests.web.events import events_in
from tests.web.node import served
from tests.web.users import TRPC, UserClient
from tests.web.waits import complete, fail, waiting
from tests.web.wire import BODY, RawConnection, request


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[RawConnection]:
    connection = RawConnection(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield connection
    finally:
        await connection.close()


def read(store: StoreClient, session_id: str, wait: object = 60) -> bytes:
    target = f"/api/v1/generation/{session_id}?wait={wait}"
    return request("GET", target, f"Authorization: Bearer {store.api_key}")


def create(store: StoreClient, request_id: str) -> bytes:
    lines = (f"Authorization: Bearer {store.api_key}", f"X-Request-Id: {request_id}")
    return request("POST", "/api/v1/generation/create", *lines, "Prefer: wait=60", body=BODY)


def subscribe(user: UserClient, session_id: str) -> bytes:
    input_ = f"%7B%22json%22:%7B%22sessionId%22:%22{session_id}%22%7D%7D"
    lines = (f"Authorization: Bearer {user.token}", "Accept: text/event-stream")
    return request("GET", f"{TRPC}/generation.onEnd?input={input_}", *lines)


async def test_who_goes_away_frees_its_place(
    service: Service, store: StoreClient, user: UserClient
) -> None:
    of_store, of_user = await store.created(), await user.created()
    asked = (read(store, of_store), create(store, "order-1"), subscribe(user, of_user))
    async with served(service) as port:
        for content in asked:
            async with connected(port) as connection:
                await connection.send(content)
                await waiting(service, 1)
            await waiting(service, 0)
    assert await store.balance() == 98, "what was created is charged, whoever heard of it"


async def test_a_connection_serves_the_next_request_after_one_that_waited(
    service: Service, store: StoreClient
) -> None:
    session_id = await store.created()
    async with served(service) as port, connected(port) as connection:
        # Both at once: the second is answered after the first.
        await connection.send(read(store, session_id) + create(store, "order-2"))
        await waiting(service, 1)
        await fail(service, store, session_id)
        assert (await connection.answer()).json()["data"]["status"] == "failed"
        await waiting(service, 1)
        made = await service.parts.sessions.list(
            await _account_id(service, store), status=None, limit=1, request_id="order-2"
        )
        await complete(service, store, str(made.items[0].session_id))
        answer = await connection.answer()
        assert (answer.status, answer.json()["data"]["status"]) == (201, "completed")
        await connection.send(read(store, session_id))
        assert (await connection.answer()).status == 200


async def _account_id(service: Service, store: StoreClient) -> int:
    found: int = await service.parts.database.fetchval(
        "SELECT account_of('store', $1::uuid)", store.store_id
    )
    return found


async def test_events_come_as_they_happen(service: Service, user: UserClient) -> None:
    session_id = await user.created()
    async with served(service) as port, connected(port) as connection:
        await connection.send(subscribe(user, session_id))
        head = await connection.reader.readuntil(b"\r\n\r\n")
        assert b"content-type: text/event-stream" in head.lower()
        begun = await _event(connection)
        assert begun.startswith("event: connected\ndata: {")
        await waiting(service, 1)
        await complete(service, user, session_id)
        rest = await connection.reader.readuntil(b"0\r\n\r\n")
    data = "".join(rest.decode().split("\r\n")[1::2])
    [told, ended] = events_in(data)
    assert json.loads(told.data)["json"]["status"] == "completed"
    assert ended.name == "return"


async def _event(connection: RawConnection) -> str:
    size = await connection.reader.readuntil(b"\r\n")
    return (await connection.reader.readexactly(int(size, 16) + 2)).decode()


async def test_of_too_many_the_last_are_answered_at_once(
    service: Service, store: StoreClient, user: UserClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert waiters_max() == connections_max() // 2
    monkeypatch.setattr(service.parts.endings, "_waiters_max", 1)
    session_id, of_user = await store.created(), await user.created()
    async with served(service) as port, connected(port) as first, connected(port) as other:
        await first.send(read(store, session_id))
        await waiting(service, 1)
        await other.send(read(store, session_id))
        answer = await other.answer()
        assert answer.json()["data"]["status"] == "queued"
        assert answer.headers["retry-after"]
        await other.send(create(store, "order-1"))
        answer = await other.answer()
        assert answer.status == 201
        assert "preference-applied" not in answer.headers
        await other.send(subscribe(user, of_user))
        events = await other.reader.readuntil(b"0\r\n\r\n")
        assert b"event: connected" in events
        assert b"event: return" not in events, "it is to come again"
        await fail(service, store, session_id)
        assert (await first.answer()).json()["data"]["status"] == "failed"
