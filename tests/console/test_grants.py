"""`/console/…/grants`: what is left of each addition, when it ends, and what is set aside."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from tests.console.conftest import Browser, signed_in
from tests.console.reading import cells
from tests.web.doors import Operator, StoreClient, data_of
from tests.web.holding import held
from tests.web.table_rows import of_all_buckets
from tests.web.users import UserClient

SOON = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(days=30)


async def granted(operator: Operator, path: str, **terms: Any) -> None:
    body = {"amount": 50, "type": "grant", "request_id": "welcome", "description": "<i>Hi</i>"}
    data_of(await operator.post(f"{path}/credits", **body, **terms), 201)


@pytest.fixture
async def address(operator: Operator, store: StoreClient) -> str:
    """Of a store with 100 credits that never end, and 50 that do."""
    path = f"/stores/{store.store_id}"
    await granted(operator, path, expires_at=SOON.isoformat(), priority=7)
    return f"/console{path}/grants"


async def test_grants_and_holds_are_shown_in_their_order(
    browser: Browser, store: StoreClient, address: str
) -> None:
    await held(store, 3, description="<i>A film</i>")
    page = await browser.get(address)
    ending, lasting = cells(page.text)
    assert ending[:2] == ["Granted <i>Hi</i> welcome", "47 of 50"]
    assert ending[2].endswith("UTC")
    assert ending[3:5] == ["Promo", "7"]
    assert lasting[1:5] == ["100 of 100", "never", "Promo", "100"]
    [hold] = cells(page.text.partition("Open holds</h2>")[2])
    assert hold[:2] == ["<i>A film</i>", "3"]


async def test_without_any_it_says_what_to_do(browser: Browser, operator: Operator) -> None:
    store = await operator.store(credits=0)
    page = await browser.get(f"/console/stores/{store.store_id}/grants")
    assert "No credits are left of any addition." in page.text
    assert "Nothing is set aside." in page.text


async def test_an_end_is_changed_once_and_written_down(
    browser: Browser,
    operator: Operator,
    admin: asyncpg.Connection,
    store: StoreClient,
    address: str,
) -> None:
    page = await browser.get(f"{address}/2")
    assert f'value="{SOON:%Y-%m-%dT%H:%M}"' in page.text
    later = SOON + timedelta(days=9)
    fields = {"expires_at": f"{later:%Y-%m-%dT%H:%M}", "reason": "Promised"}
    for _ in range(2):
        answer = await browser.send(page, f"{address}/2", fields)
        assert answer.status_code == 303
        assert answer.headers["location"] == f"{address}?done=set"
    assert "The end is set." in (await browser.get(f"{address}?done=set")).text
    grants = data_of(await operator.get(f"/stores/{store.store_id}/grants"))["items"]
    assert [grant["expires_at"] for grant in grants] == [f"{later:%Y-%m-%dT%H:%M:%SZ}", None]
    entries = await of_all_buckets(
        admin, "SELECT * FROM audit_log WHERE action = 'grant.set_expiry'"
    )
    assert [(each["door"], each["actor"], each["reason"]) for each in entries] == [
        ("console", "admin", "Promised")
    ]
    [seq] = [grant["grant_id"] for grant in grants if grant["expires_at"]]
    page = await browser.get(f"{address}/{seq}")
    await browser.send(page, f"{address}/{seq}", {"expires_at": ""})
    grants = data_of(await operator.get(f"/stores/{store.store_id}/grants"))["items"]
    assert [grant["expires_at"] for grant in grants] == [None, None], "left empty: never"


async def test_what_is_no_end_is_refused_and_stays(
    browser: Browser, store: StoreClient, operator: Operator, address: str
) -> None:
    for text in ("2020-01-01T00:00", "soon", "9999-12-31T23:59:59-05:00", "2026-02-30T00:00"):
        page = await browser.get(f"{address}/2")
        answer = await browser.send(page, f"{address}/2", {"expires_at": text})
        assert answer.status_code == 400, text
        assert 'id="fault-expires_at"' in answer.text, text
        assert f'value="{text}"' in answer.text
    grants = data_of(await operator.get(f"/stores/{store.store_id}/grants"))["items"]
    assert [grant["grant_id"] for grant in grants] == [2, 1]


async def test_what_is_no_grant_with_credits_left_is_a_page_that_says_so(
    browser: Browser, address: str
) -> None:
    for seq in ("3", "0", "-1", "x", "1" * 19, "²"):
        assert (await browser.get(f"{address}/{seq}")).status_code == 404, seq
    for query in ("cursor=x", "holds=x"):
        assert (await browser.get(f"{address}?{query}")).status_code == 400, query


async def test_whoever_may_not_move_credits_changes_no_end(
    browser: Browser, operator: Operator, address: str
) -> None:
    made = data_of(await operator.post("/tokens", name="ann", scopes=["read", "keys"]), 201)
    reader = await signed_in(browser.http, made["token"])
    page = await reader.get(f"{address}/2")
    assert page.status_code == 403
    sent = await reader.post(f"{address}/2", page, "/console/sign-out", {"expires_at": ""})
    assert sent.status_code == 403
    made = data_of(await operator.post("/tokens", name="bea", scopes=["read", "credits"]), 201)
    page = await (await signed_in(browser.http, made["token"])).get(f"{address}/2")
    assert (await browser.send(page, f"{address}/2", {"expires_at": ""})).status_code == 303


async def test_an_end_users_grants_are_shown_and_ended_likewise(
    browser: Browser, operator: Operator, user: UserClient
) -> None:
    await user.balance()
    await granted(operator, f"/users/{user.user_id}")
    address = f"/console/users/{user.user_id}/grants"
    page = await browser.get(address)
    assert [row[1] for row in cells(page.text)] == ["10 of 10", "50 of 50"]
    page = await browser.get(f"{address}/2")
    fields = {"expires_at": f"{SOON:%Y-%m-%dT%H:%M}"}
    assert (await browser.send(page, f"{address}/2", fields)).status_code == 303
    grants = data_of(await operator.get(f"/users/{user.user_id}/grants"))["items"]
    assert [grant["expires_at"] is None for grant in grants] == [False, True]
