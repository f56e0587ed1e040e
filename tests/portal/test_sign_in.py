"""`/portal`: who is let in by a link or a key, until when, and at no other door."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from storecredit.service import Service
from tests.console.conftest import ORIGIN, Browser, hidden
from tests.log_stream import LogStream
from tests.web.conftest import http_client
from tests.web.doors import OPERATOR_TOKEN, Operator, StoreClient, data_of

SESSIONS = "/api/v1/portal/sessions"


async def link_of(store: StoreClient, **asked: int) -> str:
    """The path of a new link."""
    made = data_of(await store.send("POST", SESSIONS, json=asked or None), 201)
    return str(urlsplit(made["url"]).path)


async def used(browser: Browser, address: str) -> httpx.Response:
    return await browser.send(await browser.get(address), address)


async def is_in(browser: Browser, address: str = "/portal") -> bool:
    answer = await browser.get(address)
    assert answer.status_code in {200, 303}
    return answer.status_code == 200


def cookie_of(answer: httpx.Response) -> str:
    return answer.headers["set-cookie"].partition(";")[0].partition("=")[2]


async def test_a_link_lets_one_browser_in_once(
    browser: Browser, store: StoreClient, log: LogStream
) -> None:
    address = await link_of(store, sign_in_seconds=600)
    await browser.http.head(address)
    answer = await used(browser, address)
    assert (answer.status_code, answer.headers["location"]) == (303, "/portal")
    for part in ("Path=/portal", "Max-Age=600", "HttpOnly", "SameSite=Lax"):
        assert part in answer.headers["set-cookie"]
    assert await is_in(browser)
    browser.http.cookies.clear()
    again = await used(browser, address)
    assert again.status_code == 410
    assert "set-cookie" not in again.headers
    assert not await is_in(browser)
    for secret in (address.rpartition("/")[2], cookie_of(answer), cookie_of(answer)[:43]):
        assert secret not in str(log.lines())


async def test_of_two_browsers_with_one_link_one_is_let_in(
    service: Service, store: StoreClient
) -> None:
    for _ in range(5):
        address = await link_of(store)
        async with http_client(service) as one, http_client(service) as other:
            both = [Browser(one), Browser(other)]
            answers = await asyncio.gather(*(used(each, address) for each in both))
            assert sorted(each.status_code for each in answers) == [303, 410]
            assert sorted([await is_in(each) for each in both]) == [False, True]


async def test_the_form_of_a_link_sent_twice_signs_in_once_and_both_answers_say_so(
    service: Service, store: StoreClient, admin: asyncpg.Connection
) -> None:
    address = await link_of(store)
    async with http_client(service) as http, http_client(service) as elsewhere:
        browser = Browser(http)
        page = await browser.get(address)
        # Of a browser that has not read the first answer, when it sends the form again.
        answers = await asyncio.gather(*(browser.send(page, address) for _ in range(3)))
        assert {each.status_code for each in answers} == {303}
        assert len({cookie_of(each) for each in answers}) == 1
        # And of one that has.
        again = await browser.send(page, address)
        assert again.status_code == 303
        assert await is_in(browser)
        assert await admin.fetchval("SELECT count(*) FROM storecredit.sign_ins") == 1
        # Another page of the link, or none, lets nobody in.
        other = Browser(elsewhere)
        assert (await used(other, address)).status_code == 410
        assert (await elsewhere.post(address, headers=ORIGIN)).status_code == 410
        await browser.send(await browser.get("/portal"), "/portal/sign-out")
        assert (await browser.send(page, address)).status_code == 410


async def test_who_is_signed_out_already_is_told_the_same(
    service: Service, store: StoreClient
) -> None:
    address = await link_of(store)
    async with http_client(service) as http:
        browser = Browser(http)
        await used(browser, address)
        page = await browser.get("/portal")
        for _ in range(2):
            answer = await browser.send(page, "/portal/sign-out")
            assert answer.headers["location"] == "/portal/sign-in?signed-out=1"
        assert not await is_in(browser)


async def test_a_key_lets_a_store_in_while_it_works(
    browser: Browser, operator: Operator, store: StoreClient
) -> None:
    page = await browser.get("/portal/sign-in")
    answer = await browser.send(page, "/portal/sign-in", {"key": f" {store.api_key} "})
    assert answer.headers["location"] == "/portal"
    assert await is_in(browser)
    path = f"/stores/{store.store_id}"
    data_of(await operator.patch(path, status="suspended"))
    assert not await is_in(browser)
    data_of(await operator.patch(path, status="active"))
    assert await is_in(browser)
    data_of(await operator.delete(f"{path}/keys/{store.key_id}"))
    assert not await is_in(browser)
    refused = await browser.send(
        await browser.get("/portal/sign-in"), "/portal/sign-in", {"key": store.api_key}
    )
    assert refused.status_code == 401
    assert store.api_key not in refused.text


async def test_what_opens_one_door_does_not_open_the_other(
    browser: Browser, service: Service, store: StoreClient
) -> None:
    for door, name, secret in (
        ("portal", "key", OPERATOR_TOKEN),
        ("console", "token", store.api_key),
    ):
        page = await browser.get(f"/{door}/sign-in")
        refused = await browser.send(page, f"/{door}/sign-in", {name: secret})
        assert (refused.status_code, "set-cookie" in refused.headers) == (401, False)

    sign_ins = service.parts.operator.sign_ins
    to_portal = await link_of(store)
    to_console = (await sign_ins.console_link()).path
    swapped = {"portal": to_console, "console": to_portal}
    for door, address in swapped.items():
        elsewhere = f"/{door}/sign-in/{address.rpartition('/')[2]}"
        assert (await used(browser, elsewhere)).status_code == 410
    portal = cookie_of(await used(browser, to_portal))
    console = cookie_of(await used(browser, to_console))
    browser.http.cookies.clear()
    for door, cookie, status in (
        ("portal", console, 303),
        ("console", portal, 303),
        ("portal", portal, 200),
        ("console", console, 200),
    ):
        names = "; ".join(f"storecredit_{each}={cookie}" for each in ("portal", "console"))
        answer = await browser.http.get(f"/{door}", headers={"Cookie": names})
        assert answer.status_code == status, door


async def test_a_forged_cookie_is_none(browser: Browser, store: StoreClient) -> None:
    cookie = cookie_of(await used(browser, await link_of(store)))
    browser.http.cookies.clear()
    secret, _, signature = cookie.rpartition(".")
    for forged in ("", ".", secret, f"{secret}.", f".{signature}", cookie[:-1], f"{cookie}x"):
        sent = {"Cookie": f"storecredit_portal={forged}"}
        assert (await browser.http.get("/portal", headers=sent)).status_code == 303, forged
    quoted = {"Cookie": f'a=b;storecredit_portal={cookie} ;c="d;"'}
    assert (await browser.http.get("/portal", headers=quoted)).status_code == 200


async def test_signing_in_again_ends_what_was_before(
    browser: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    first = cookie_of(await used(browser, await link_of(store)))
    second = cookie_of(await used(browser, await link_of(store)))
    browser.http.cookies.clear()
    for cookie, status in ((first, 303), (second, 200)):
        sent = {"Cookie": f"storecredit_portal={cookie}"}
        assert (await browser.http.get("/portal", headers=sent)).status_code == status
    assert await admin.fetchval("SELECT count(*) FROM storecredit.sign_ins") == 1


async def test_a_link_to_another_store_is_gone_on_with_by_hand(
    browser: Browser, operator: Operator, store: StoreClient
) -> None:
    other = await operator.store(name="Another shop")
    await used(browser, await link_of(store))
    for address, is_pressed in ((await link_of(store), True), (await link_of(other), False)):
        page = await browser.get(address)
        assert ("data-submit" in page.text) is is_pressed
        assert ("another store" in page.text) is not is_pressed
    assert (await used(browser, await link_of(other))).status_code == 303
    for nonsense in ("x", "x" * 600):
        assert "data-submit" in (await browser.get(f"/portal/sign-in/{nonsense}")).text


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "https://evil.example"}, {**ORIGIN, "Sec-Fetch-Site": "cross-site"}],
)
async def test_another_site_uses_no_link_up(
    browser: Browser, store: StoreClient, headers: dict[str, Any]
) -> None:
    address = await link_of(store)
    sent = hidden(await browser.get(address), address)
    answer = await browser.http.post(address, data=sent, headers=headers)
    assert answer.status_code == 403
    assert (await used(browser, address)).status_code == 303


async def test_signing_out_ends_it_and_the_cookie_with_it(
    browser: Browser, store: StoreClient
) -> None:
    cookie = cookie_of(await used(browser, await link_of(store)))
    page = await browser.get("/portal")
    out = await browser.send(page, "/portal/sign-out")
    assert out.headers["location"] == "/portal/sign-in?signed-out=1"
    assert not browser.http.cookies
    sent = {"Cookie": f"storecredit_portal={cookie}"}
    assert (await browser.http.get("/portal", headers=sent)).status_code == 303
