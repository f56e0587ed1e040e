"""`GET …/transactions` as CSV: all of it, whatever happens meanwhile, or visibly not all of it."""

import asyncio
import csv
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from storecredit.ledger.credits import WINDOW
from storecredit.service import Service
from storecredit.web.http import csv_export
from storecredit.web.http.server import http_server
from tests.log_stream import LogStream
from tests.web.doors import Operator, StoreClient, bearer, data_of, error_of
from tests.web.frameworks import application
from tests.web.table_rows import in_bucket_of

PATH = "/api/v1/credits/transactions"
CSV = {"Accept": "text/csv"}
MEDIA_TYPE = "text/csv; charset=utf-8; header=present"
MANY = 2 * WINDOW + 3
WAIT_SECONDS_MAX = 30.0


async def add_many(admin: asyncpg.Connection, store: StoreClient, count: int = MANY) -> None:
    """So many movements more, of the ledger's own making."""
    await in_bucket_of(admin, store.store_id)
    await admin.fetch(
        "SELECT add_to_account(account_of('store', $1), 1, 'grant',"
        " 'many-' || i || clock_timestamp()) FROM generate_series(1, $2::int) i",
        store.store_id,
        count,
    )


def table(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def seqs(rows: list[dict[str, str]]) -> list[int]:
    return [int(row["seq"]) for row in rows]


async def both(
    operator: Operator, store: StoreClient, **query: str
) -> tuple[httpx.Response, httpx.Response]:
    """The same file, asked for by the store and by the operator."""
    path = f"/stores/{store.store_id}/transactions"
    return (
        await store.get(PATH, headers=CSV, **query),
        await operator.send("GET", path, headers=CSV, params=query or None),
    )


async def test_the_whole_ledger_is_one_file_for_store_and_operator(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    await store.created('with, comma and "quotes"')
    await add_many(admin, store)
    for answer in await both(operator, store):
        assert seqs(table(answer)) == list(range(MANY + 2, 0, -1))
        assert "x-next-cursor" not in answer.headers
        name = f"transactions-{store.store_id}.csv"
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert answer.text.count("\r\n") == answer.text.count("\n") == MANY + 3


async def test_its_rows_are_those_of_the_json(store: StoreClient) -> None:
    await store.created('with, comma and "quotes"')
    items = data_of(await store.get(PATH))["items"]
    rows = table(await store.get(PATH, headers=CSV))
    assert rows == [
        {name: "" if value is None else str(value) for name, value in item.items()}
        for item in items
    ]


async def test_a_new_ledger_is_a_file_with_names_and_no_rows(operator: Operator) -> None:
    store = await operator.store(credits=0)
    names = "seq,type,amount,balance_after,request_id,session_id,description,created_at"
    of_store, of_operator = await both(operator, store)
    assert table(of_store) == table(of_operator) == []
    assert (of_store.text, of_operator.text) == (f"{names}\r\n", f"{names},actor\r\n")


async def test_filters_hold_for_the_file(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    await store.created("order-1")
    await add_many(admin, store)
    for query, found in (
        ({"type": "deduction"}, [2]),
        ({"type": "refund"}, []),
        ({"request_id": "order-1"}, [2]),
        ({"request_id": "order-1", "type": "grant"}, []),
        ({"from": "2999-01-01"}, []),
        ({"to": "2999-01-01", "type": "deduction"}, [2]),
    ):
        for answer in await both(operator, store, **query):
            assert seqs(table(answer)) == found, query


async def test_who_asks_for_a_page_has_a_page_and_its_cursor(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    await add_many(admin, store, 99)
    for answer in await both(operator, store, limit="1"):
        assert seqs(table(answer)) == [100]
        assert answer.headers["x-next-cursor"] == "100"
    for answer in await both(operator, store, cursor="100"):
        assert seqs(table(answer)) == list(range(99, 49, -1))
        assert answer.headers["x-next-cursor"] == "50"


async def test_texts_are_no_formulas_and_numbers_are_numbers(
    operator: Operator, store: StoreClient
) -> None:
    path = f"/stores/{store.store_id}/credits"
    for request_id, description in (("=1+1", "@A1"), ("-5", "größe;=2"), ("007", "plain")):
        added = {"amount": 5, "type": "grant", "request_id": request_id}
        data_of(await operator.post(path, **added, description=description), 201)
    for answer in await both(operator, store):
        rows = table(answer)[:3]
        assert [row["request_id"] for row in rows] == ["007", "'-5", "'=1+1"]
        assert [row["description"] for row in rows] == ["plain", "größe;'=2", "'@A1"]
        assert {row["amount"] for row in rows} == {"5"}
    assert data_of(await store.get(PATH))["items"][2]["request_id"] == "=1+1"


async def test_json_is_answered_unless_csv_is_preferred(
    operator: Operator, store: StoreClient
) -> None:
    json = "application/json"
    for accept, answered in {
        "*/*": json,
        "application/json": json,
        "text/csv;q=0.5, application/json": json,
        "application/json;q=0.5, text/csv": MEDIA_TYPE,
        "text/csv, */*;q=0.1": MEDIA_TYPE,
        "text/*": MEDIA_TYPE,
        "application/xml": json,
        "no media type": json,
        "": json,
    }.items():
        path = f"/stores/{store.store_id}/transactions"
        for answer in (
            await store.get(PATH, headers={"Accept": accept}),
            await operator.send("GET", path, headers={"Accept": accept}),
        ):
            assert answer.status_code == 200, accept
            assert answer.headers["content-type"] == answered, accept


async def test_a_head_is_that_of_the_file_and_reads_no_more_of_it(
    store: StoreClient,
) -> None:
    answer = await store.send("HEAD", PATH, headers=CSV)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert "content-disposition" in answer.headers


async def test_errors_are_json_also_where_csv_was_asked_for(
    service: Service, store: StoreClient, log: LogStream
) -> None:
    error_of(await store.get(PATH, headers=CSV, limit=0), 400, "VALIDATION_ERROR")
    await service.parts.database.close()
    error_of(await store.get(PATH, headers=CSV), 503, "SERVICE_UNAVAILABLE")
    assert log.events("request_not_served")


# On a real connection, while it is sent

OnPart = Callable[[int], Awaitable[None]]


class Outgoing:
    """The application behind a real server; `on_part` is awaited after each part of a body."""

    def __init__(self, app: Any, on_part: OnPart) -> None:
        self._app = app
        self._on_part = on_part
        self.parts = 0
        self.is_whole = False
        self.ended = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def watched(message: Any) -> None:
            await send(message)
            if message["type"] == "http.response.body":
                self.parts += 1
                self.is_whole = not message.get("more_body", False)
                await self._on_part(self.parts)

        try:
            await self._app(scope, receive, watched)
        finally:
            self.ended.set()


@asynccontextmanager
async def outgoing(service: Service, on_part: OnPart) -> AsyncIterator[tuple[Outgoing, str]]:
    """The application at work, and its address."""
    with (
        application(service.parts) as whole,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        app = Outgoing(whole, on_part)
        server = http_server(app)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield app, f"http://127.0.0.1:{listening.getsockname()[1]}{PATH}"
        finally:
            server.should_exit = True
            await serving


async def curl(store: StoreClient, address: str) -> tuple[int, str]:
    """What curl ends with, and the body it wrote."""
    headers = ["-H", f"Authorization: Bearer {store.api_key}", "-H", "Accept: text/csv"]
    process = await asyncio.create_subprocess_exec(
        "curl", "--silent", *headers, address, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        written, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, written.decode()


async def test_what_is_added_while_it_is_sent_is_not_in_it(
    service: Service, store: StoreClient, admin: asyncpg.Connection
) -> None:
    await add_many(admin, store)

    async def add_one(_part: int) -> None:
        await add_many(admin, store, 1)

    async with outgoing(service, add_one) as (app, address):
        ended, body = await curl(store, address)
    assert ended == 0
    assert app.is_whole
    assert app.parts > MANY // WINDOW
    rows = list(csv.DictReader(io.StringIO(body, newline="")))
    assert seqs(rows) == list(range(MANY + 1, 0, -1))


async def test_a_file_that_cannot_be_read_to_its_end_is_broken_off(
    service: Service, store: StoreClient, admin: asyncpg.Connection, log: LogStream
) -> None:
    await add_many(admin, store)

    async def lose_the_database(part: int) -> None:
        if part == 2:
            await service.parts.database.close()

    async with outgoing(service, lose_the_database) as (app, address):
        ended, body = await curl(store, address)
    partial_file = 18  # https://curl.se/libcurl/c/libcurl-errors.html: CURLE_PARTIAL_FILE
    assert ended == partial_file
    assert not app.is_whole
    assert 0 < body.count("\r\n") < MANY
    [line] = log.events("request_not_served")
    assert line["cause"] == "DatabaseUnavailable"
    assert line["store_id"] == store.store_id


async def test_a_file_that_takes_too_long_is_broken_off(
    service: Service, store: StoreClient, log: LogStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_export, "EXPORT_MAX_SECONDS", 0.1)

    async def never_go_on(_part: int) -> None:
        await asyncio.Event().wait()

    async with outgoing(service, never_go_on) as (app, address), httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(address, headers=bearer(store.api_key) | CSV)
    assert not app.is_whole
    assert len(log.events("export_broken_off")) == 1


async def test_once_the_client_has_gone_nothing_more_is_read(
    service: Service, store: StoreClient, admin: asyncpg.Connection, log: LogStream
) -> None:
    await add_many(admin, store)

    async def never_go_on(_part: int) -> None:
        await asyncio.Event().wait()

    async with outgoing(service, never_go_on) as (app, address), httpx.AsyncClient() as client:
        headers = bearer(store.api_key) | CSV
        async with client.stream("GET", address, headers=headers) as answer:
            assert await anext(answer.aiter_raw())
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await app.ended.wait()
    assert app.parts == 1
    assert log.events("export_broken_off") == log.events("request_not_served") == []
