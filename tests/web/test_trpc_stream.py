"""Streams of `/api/trpc`: each result comes when it ends, and money does not mind who listens."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest
from asyncpg.transaction import Transaction

from storecredit.service import Service
from storecredit.web.trpc.calls import JSONL
from storecredit.web.trpc.superjson import deserialize
from tests.web.doors import IMAGE, bearer
from tests.web.node import served
from tests.web.table_rows import Rows
from tests.web.users import TRPC, UserClient, body_of, error_in, result_in

CREATE = "generation.create"
GOOD = {"json": {"modelImageUrl": IMAGE}}
SECONDS_MAX = 30.0


@pytest.fixture
async def app(service: Service, user: UserClient) -> AsyncIterator[UserClient]:
    """The user's app, on a real connection: streams are cut into parts by the server."""
    assert await user.balance() == 10
    async with (
        served(service) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        yield replace(user, http=http)


Chunk = tuple[int, int, Any]


@asynccontextmanager
async def streamed(
    app: UserClient, path: str, inputs: dict[str, Any] | None = None
) -> AsyncIterator[AsyncIterator[Chunk]]:
    """The chunks of a stream as they come, after its head."""
    headers = bearer(app.token) | {"trpc-accept": JSONL, "X-Request-Id": "order"}
    method = "GET" if inputs is None else "POST"
    asking = app.http.stream(method, f"{TRPC}/{path}?batch=1", headers=headers, json=inputs)
    async with asyncio.timeout(SECONDS_MAX), asking as answer:
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        head = json.loads(await anext(lines))["json"]
        assert list(head) == [str(place) for place in range(path.count(",") + 1)]
        yield (deserialize(json.loads(line)) async for line in lines)


async def locked(connection: asyncpg.Connection, table: str) -> Transaction:
    """Nobody reads or writes this table until the transaction ends."""
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    return transaction


async def queued(rows: Rows, count: int) -> None:
    """Wait until so many generations are."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            if len(await rows.jobs()) == count:
                return
            await asyncio.sleep(0.02)


async def test_a_result_does_not_wait_for_the_others(
    app: UserClient, admin: asyncpg.Connection
) -> None:
    lock = await locked(admin, "sessions")
    async with streamed(app, "generation.getStats,credits.getPacks") as chunks:
        first = [(await anext(chunks))[0] for _ in range(3)]
        await lock.commit()
        rest = [chunk[0] async for chunk in chunks]

    assert (first, rest) == ([1, 2, 3], [0, 4, 5])


async def test_an_error_does_not_wait_either(
    app: UserClient, admin: asyncpg.Connection, rows: Rows
) -> None:
    lock = await locked(admin, "sessions")
    async with streamed(app, f"{CREATE},{CREATE}", {"0": GOOD, "1": {"json": {}}}) as chunks:
        place, status, [[result]] = await anext(chunks)
        assert (place, status) == (1, 0)
        assert result["error"]["data"] == {"code": "BAD_REQUEST", "httpStatus": 400, "path": CREATE}
        await lock.commit()
        assert [chunk[0] async for chunk in chunks] == [0, 2, 3]

    assert [job["request_id"] for job in await rows.jobs()] == ["order"]


async def test_an_app_that_goes_away_is_charged_for_what_was_made_and_finds_it_again(
    app: UserClient, admin: asyncpg.Connection, rows: Rows
) -> None:
    lock = await locked(admin, "sessions")
    async with streamed(app, f"{CREATE},{CREATE}", {"0": GOOD, "1": GOOD}):
        pass  # the head has come, and the app hangs up
    await lock.commit()

    await queued(rows, 2)
    again = await app.batch("POST", [(CREATE, GOOD["json"])] * 2, headers={"X-Request-Id": "order"})
    assert len({result_in(shape)["sessionId"] for shape in body_of(again)}) == 2
    assert await app.balance() == 8
    assert len(await rows.jobs()) == 2


async def test_without_credits_the_stream_says_so(app: UserClient, rows: Rows) -> None:
    async with streamed(app, ",".join([CREATE] * 12), {str(n): GOOD for n in range(12)}) as chunks:
        values = [chunk[2][0][0] async for chunk in chunks]

    refused = [value for value in values if "error" in value]
    assert [value["error"]["data"]["code"] for value in refused] == ["PAYMENT_REQUIRED"] * 2
    assert len([value for value in values if "data" in value]) == 10
    assert len(await rows.jobs()) == 10


async def test_what_is_wrong_with_the_request_is_no_stream(user: UserClient, rows: Rows) -> None:
    stream = {"trpc-accept": JSONL}
    many = await user.batch("POST", [(CREATE, GOOD["json"])] * 51, headers=stream)
    alone = await user.mutate(CREATE, GOOD["json"], headers=stream)
    for answer in (many, alone):
        assert answer.status_code == 400
        assert error_in(body_of(answer), 400, "BAD_REQUEST", None)
    assert await rows.jobs() == []
