"""`/console/stores/{store_id}/portal`: a link that lets a store into its own page."""

import re
from html import unescape

import asyncpg
import httpx

from storecredit.service import Service
from tests.console.conftest import Browser, signed_in
from tests.web.conftest import http_client
from tests.web.doors import Operator, StoreClient, data_of
from tests.web.table_rows import of_all_buckets


async def test_a_link_is_made_and_lets_one_browser_in(
    browser: Browser, store: StoreClient, service: Service, admin: asyncpg.Connection
) -> None:
    address = f"/console/stores/{store.store_id}/portal"
    page = await browser.get(address)
    fields = {"expires_in_seconds": "3600", "sign_in_seconds": "28800", "reason": "They asked"}
    made = await browser.send(page, address, fields)
    assert made.status_code == 200
    [link] = re.findall(r'<code id="secret">([^<]*)</code>', made.text)
    path = httpx.URL(unescape(link)).path
    async with http_client(service) as elsewhere:
        theirs = Browser(elsewhere)
        answer = await theirs.send(await theirs.get(path), path)
        assert answer.headers["location"] == "/portal"
        assert (await theirs.get("/portal")).status_code == 200
    [entry] = await of_all_buckets(admin, "SELECT * FROM audit_log WHERE action = 'portal.link'")
    assert (entry["door"], entry["actor"], entry["reason"]) == ("console", "admin", "They asked")
    assert path.rpartition("/")[2] not in str(dict(entry))


async def test_whoever_came_by_a_commands_link_makes_one_that_no_token_ends(
    api: httpx.AsyncClient, operator: Operator, store: StoreClient, service: Service
) -> None:
    address = f"/console/stores/{store.store_id}/portal"
    # Two tokens bear the names of logins, and have nothing to do with them.
    made = data_of(await operator.post("/tokens", name="ann", scopes=["read"]), 201)
    for name in ("bob", "ann", "admin"):
        way_in = (await service.parts.operator.sign_ins.console_link(name)).path
        browser = Browser(api)
        await browser.send(await browser.get(way_in), way_in)
        shown = await browser.send(await browser.get(address), address)
        assert shown.status_code == 200, name
        [link] = re.findall(r'<code id="secret">([^<]*)</code>', shown.text)
        if name == "ann":
            await operator.delete(f"/tokens/{made['token_id']}")
        async with http_client(service) as elsewhere:
            theirs, path = Browser(elsewhere), httpx.URL(unescape(link)).path
            answer = await theirs.send(await theirs.get(path), path)
            assert answer.headers["location"] == "/portal", name


async def test_what_is_no_time_is_refused(browser: Browser, store: StoreClient) -> None:
    address = f"/console/stores/{store.store_id}/portal"
    for field in ("expires_in_seconds", "sign_in_seconds"):
        for value in ("0", "86401", "soon"):
            page = await browser.get(address)
            answer = await browser.send(page, address, {field: value})
            assert answer.status_code == 400, (field, value)
            assert f'id="fault-{field}"' in answer.text


async def test_a_suspended_store_has_none(
    browser: Browser, operator: Operator, store: StoreClient
) -> None:
    address = f"/console/stores/{store.store_id}/portal"
    page = await browser.get(address)
    data_of(await operator.patch(f"/stores/{store.store_id}", status="suspended"))
    answer = await browser.send(page, address)
    assert answer.status_code == 403
    assert 'id="secret"' not in answer.text
    assert f'action="{address}"' not in (await browser.get(address)).text


async def test_whoever_may_not_make_keys_makes_none(
    browser: Browser, operator: Operator, store: StoreClient
) -> None:
    address = f"/console/stores/{store.store_id}/portal"
    for scopes, status in ((["read", "credits"], 403), (["read", "keys"], 200)):
        token = data_of(await operator.post("/tokens", name=scopes[1], scopes=scopes), 201)["token"]
        theirs = await signed_in(browser.http, token)
        page = await theirs.get(address)
        assert page.status_code == status
        sent = await theirs.post(address, page, "/console/sign-out")
        assert sent.status_code == status
