"""Signing out while the database is away: out of the browser at once, ended once it is back."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from storecredit.operator import late_sign_outs
from storecredit.operator.late_sign_outs import LateSignOuts
from storecredit.operator.sign_ins import Door
from storecredit.postgres.pool import Database
from storecredit.service import Service, assembled
from tests.console.conftest import ORIGIN, Browser, hidden
from tests.web.conftest import http_client
from tests.web.database_door import DatabaseDoor
from tests.web.doors import OPERATOR_TOKEN, StoreClient

DOORS: tuple[Door, ...] = ("console", "portal")


@pytest.fixture
async def away(server_url: str, database_url: str, service: Service) -> AsyncIterator[DatabaseDoor]:
    """The database's door; the service has its sign-ins before it is shut."""
    server = await asyncpg.connect(server_url)
    found = DatabaseDoor(server, urlsplit(database_url).path.strip("/"))
    yield found
    await found.open()
    await server.close()


async def signed_out(
    api: httpx.AsyncClient, store: StoreClient, away: DatabaseDoor, door: Door
) -> tuple[httpx.Response, str]:
    """The answer to signing out while the database is away, and a copy of the cookie of before."""
    browser = Browser(api)
    name, secret = ("token", OPERATOR_TOKEN) if door == "console" else ("key", store.api_key)
    page = await browser.get(f"/{door}/sign-in")
    assert (await browser.send(page, f"/{door}/sign-in", {name: secret})).status_code == 303
    page = await browser.get(f"/{door}")
    copy = api.cookies[f"storecredit_{door}"]
    await away.shut()
    return await browser.send(page, f"/{door}/sign-out"), copy


async def status_of(api: httpx.AsyncClient, door: Door, cookie: str) -> int:
    """What a copy of a cookie is answered."""
    api.cookies.clear()
    answer = await api.get(f"/{door}", headers={"Cookie": f"storecredit_{door}={cookie}"})
    return answer.status_code


@pytest.mark.parametrize("door", DOORS)
async def test_the_cookie_goes_and_the_page_says_what_is_still_to_come(
    api: httpx.AsyncClient, store: StoreClient, away: DatabaseDoor, door: Door
) -> None:
    answer, _ = await signed_out(api, store, away, door)
    assert answer.status_code == 303
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert f"storecredit_{door}" not in api.cookies
    page = await api.get(answer.headers["location"])
    assert page.status_code == 200, "with the database still away"
    assert "You are signed out in this browser. The database does not answer" in page.text


@pytest.mark.parametrize("door", DOORS)
async def test_a_copy_of_the_cookie_lets_nobody_in_afterwards(
    api: httpx.AsyncClient,
    store: StoreClient,
    service: Service,
    database: Database,
    away: DatabaseDoor,
    door: Door,
) -> None:
    _, copy = await signed_out(api, store, away, door)
    late = service.parts.operator.sign_ins.late
    await late.end()
    assert await status_of(api, door, copy) == 303, "here it is over at once"
    await away.open()
    assert await status_of(api, door, copy) == 303
    async with (
        assembled(service.parts.settings, database) as other,
        http_client(other) as elsewhere,
    ):
        assert await status_of(elsewhere, door, copy) == 200, "nobody else has heard of it yet"
        await late.end()
        assert await status_of(elsewhere, door, copy) == 303
    assert await status_of(api, door, copy) == 303


async def test_another_site_signs_nobody_out_meanwhile(
    api: httpx.AsyncClient, store: StoreClient, away: DatabaseDoor
) -> None:
    browser = Browser(api)
    page = await browser.get("/console/sign-in")
    await browser.send(page, "/console/sign-in", {"token": OPERATOR_TOKEN})
    sent = hidden(await browser.get("/console"), "/console/sign-out")
    await away.shut()
    for headers in ({}, {"Origin": "https://evil.example"}, ORIGIN | {"Sec-Fetch-Site": "none"}):
        answer = await api.post("/console/sign-out", data=sent, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


async def test_of_too_many_the_oldest_are_left_to_their_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(late_sign_outs, "LATE_MAX", 2)
    ended: list[tuple[bytes, str]] = []

    async def end(secret_hash: bytes, door: str) -> None:
        ended.append((secret_hash, door))

    late = LateSignOuts(end)
    for digest in (b"1", b"2", b"3"):
        late.add(digest, "console")
    assert (b"1", "console") not in late
    await late.end()
    assert ended == [(b"2", "console"), (b"3", "console")]
    assert (b"3", "console") not in late
