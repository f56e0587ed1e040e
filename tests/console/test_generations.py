"""`/console/…/generations`: what became of generations, and why."""

import re
from html import unescape

import asyncpg

from stand_ins.http_server import json_answer, stand_in
from storecredit.settings import Settings
from tests.console.conftest import Browser
from tests.console.reading import cells, next_page
from tests.log_stream import LogStream
from tests.web.conftest import WorkerStarter
from tests.web.doors import Operator, StoreClient, error_of
from tests.web.table_rows import of_all_buckets
from tests.web.users import UserClient

REFUSAL = {"error": {"code": "content_filter", "message": "<script>no()</script>"}}


def address(store: StoreClient) -> str:
    return f"/console/stores/{store.store_id}/generations"


async def test_one_that_succeeded_is_shown_with_its_picture(
    browser: Browser, store: StoreClient, worker: WorkerStarter
) -> None:
    async with worker():
        await store.ended(await store.created("order 1&2"))
    page = await browser.get(address(store))
    [[_, status, cause, credits, _, request, _]] = cells(page.text)
    assert (status, cause, credits, request) == ("Completed", "–", "1", "order 1&2")
    [source] = re.findall(r'<img class="thumbnail" src="([^"]*/picture)"', page.text)
    assert "/console/look-up?id=" in page.text
    picture = await browser.get(unescape(source))
    assert picture.status_code == 200
    assert picture.headers["content-type"].startswith("image/")
    [ledger] = re.findall(r'<a href="([^"]*ledger\?request_id=[^"]*)">', page.text)
    moved = await browser.get(unescape(ledger))
    assert [row[0] for row in cells(moved.text)] == ["Generation"]


async def test_one_that_failed_is_shown_with_its_cause_and_what_the_generator_said(
    browser: Browser, store: StoreClient, worker: WorkerStarter
) -> None:
    async with (
        stand_in(json_answer(REFUSAL, 400)) as outside,
        worker(generator="http", generator_url=outside.url()),
    ):
        await store.ended(await store.created("order-1"))
    page = await browser.get(f"{address(store)}?status=failed")
    [[picture, status, cause, credits, _, _, _]] = cells(page.text)
    assert (picture, status, credits) == ("", "Failed", "1 given back")
    assert cause.startswith("Moderation blocked ")
    assert "&lt;script&gt;no()" in page.text
    assert "<script>no()" not in page.text
    moved = await browser.get(f"/console/stores/{store.store_id}/ledger?request_id=order-1")
    assert [row[0] for row in cells(moved.text)] == [
        "Failed generation, given back",
        "Generation",
    ]


async def test_where_the_picture_is_gone_there_is_a_place_for_it(
    browser: Browser, store: StoreClient, worker: WorkerStarter, admin: asyncpg.Connection
) -> None:
    async with worker():
        await store.ended(await store.created())
    await of_all_buckets(admin, "UPDATE sessions SET result_key = NULL")
    page = await browser.get(address(store))
    assert [row[0] for row in cells(page.text)] == ["Picture no longer kept"]
    assert "<img" not in page.text


async def test_where_its_file_is_gone_the_picture_says_so_and_the_api_answers_as_before(
    browser: Browser,
    store: StoreClient,
    worker: WorkerStarter,
    admin: asyncpg.Connection,
    settings: Settings,
) -> None:
    async with worker():
        session_id = await store.created()
        made = await store.ended(session_id)
    [file] = (settings.data_dir / "results").glob(f"*/{session_id}.*")
    file.unlink()
    page = await browser.get(address(store))
    [source] = re.findall(r'src="([^"]*/picture)"', page.text)
    picture = await browser.get(source)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/svg+xml")
    assert "<title>Picture no longer kept</title>" in picture.text
    assert picture.headers["cache-control"] == "no-store"
    look_up = await browser.get(f"/console/look-up?id={session_id}")
    assert f'src="{source}"' in look_up.text
    error_of(await browser.http.get(made["result_url"]), 404, "NOT_FOUND")


async def test_what_the_disk_fails_to_give_is_said_to_be_unreadable_now(
    browser: Browser,
    store: StoreClient,
    worker: WorkerStarter,
    settings: Settings,
    log: LogStream,
) -> None:
    async with worker():
        session_id = await store.created()
        await store.ended(session_id)
    [file] = (settings.data_dir / "results").glob(f"*/{session_id}.*")
    file.unlink()
    file.mkdir()
    picture = await browser.get(f"{address(store)}/{session_id}/picture")
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/svg+xml")
    assert "<title>Picture cannot be read now</title>" in picture.text
    [told] = log.events("result_not_read")
    assert told["session_id"] == session_id
    assert str(settings.data_dir) not in str(told)


async def test_a_picture_is_seen_only_where_it_belongs(
    browser: Browser, store: StoreClient, operator: Operator, worker: WorkerStarter
) -> None:
    async with worker():
        session_id = await store.created()
        await store.ended(session_id)
    other = await operator.store()
    for wrong in (f"{address(other)}/{session_id}", f"{address(store)}/7"):
        answer = await browser.get(f"{wrong}/picture")
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/html")


async def test_filters_leave_what_was_asked_for(browser: Browser, store: StoreClient) -> None:
    for number in (1, 2):
        await store.created(f"order-{number}")
    for query, wanted in (
        ("", ["order-2", "order-1"]),
        ("status=&request_id=", ["order-2", "order-1"]),
        ("status=queued", ["order-2", "order-1"]),
        ("status=failed", []),
        ("request_id=order-1", ["order-1"]),
        ("request_id=order-1&status=failed", []),
        ("request_id=nothing", []),
    ):
        page = await browser.get(f"{address(store)}?{query}")
        assert [row[5] for row in cells(page.text)] == wanted, query
        assert ("No generation is like that." in page.text) is (not wanted)
    for query in ("status=lost", "cursor=x", "request_id=%00", f"request_id={'r' * 201}"):
        page = await browser.get(f"{address(store)}?{query}")
        assert page.status_code == 400, query
        assert cells(page.text) == []


async def test_pages_go_on(browser: Browser, operator: Operator) -> None:
    store = await operator.store(credits=60)
    for number in range(51):
        await store.created(f"order-{number}")
    first = await browser.get(f"{address(store)}?status=queued")
    second = await browser.get(next_page(first.text))
    shown = [row[5] for page in (first, second) for row in cells(page.text)]
    assert shown == [f"order-{number}" for number in range(50, -1, -1)]


async def test_without_one_it_says_how_one_begins(browser: Browser, store: StoreClient) -> None:
    page = await browser.get(address(store))
    assert "Nothing was generated yet." in page.text


async def test_an_end_users_are_shown_likewise(browser: Browser, user: UserClient) -> None:
    await user.created(prompt="forbidden")
    page = await browser.get(f"/console/users/{user.user_id}/generations")
    assert [row[1] for row in cells(page.text)] == ["Queued"]
