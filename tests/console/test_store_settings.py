"""`/console/stores/{store_id}/settings`: what is changed of a store, and that it is suspended."""

import asyncpg
import httpx
import pytest

from tests.console.acts import acts, faults_of, sent_twice
from tests.console.conftest import Browser, signed_in
from tests.web.doors import Operator, StoreClient, data_of

GOOD = {
    "name": "Caps <b>& Co",
    "shop_domain": "caps.example",
    "tier": "tight",
    "overage_limit": "50",
    "low_threshold": "7",
}


@pytest.fixture
def at(store: StoreClient) -> str:
    return f"/console/stores/{store.store_id}/settings"


async def test_settings_are_changed_once_and_only_what_is_otherwise(
    browser: Browser, operator: Operator, store: StoreClient, admin: asyncpg.Connection, at: str
) -> None:
    page = await browser.get(at)
    changed, again = await sent_twice(browser, page, at, {**GOOD, "reason": "asked by mail"})
    assert changed.headers["location"] == again.headers["location"] == f"{at}?done=changed"
    now = data_of(await operator.get(f"/stores/{store.store_id}"))
    assert {name: str(now[name]) for name in GOOD} == GOOD
    [act] = await acts(admin, "store.update")
    assert act.by == ("admin", "console", "asked by mail")
    assert act.asked == {**GOOD, "overage_limit": 50, "low_threshold": 7}
    page = await browser.get(f"{at}?done=changed")
    assert "It is as you said now" in page.text
    assert 'value="Caps &lt;b&gt;&amp; Co"' in page.text
    # Empty: as the last addition says. Nothing else is otherwise.
    await browser.send(page, at, {**GOOD, "low_threshold": ""})
    assert data_of(await operator.get(f"/stores/{store.store_id}"))["low_threshold"] is None
    assert (await acts(admin, "store.update"))[-1].asked == {"low_threshold": None}


async def test_an_address_of_the_domain_that_it_has_changes_nothing(
    browser: Browser, admin: asyncpg.Connection, at: str
) -> None:
    await browser.send(await browser.get(at), at, GOOD)
    same = {**GOOD, "shop_domain": f"https://{GOOD['shop_domain']}/"}
    answer = await browser.send(await browser.get(at), at, same)
    assert answer.status_code == 303
    assert len(await acts(admin, "store.update")) == 1


async def test_what_is_wrong_is_told_by_field_and_nothing_is_changed(
    browser: Browser, admin: asyncpg.Connection, at: str
) -> None:
    page = await browser.get(at)
    for wrong in (
        {"name": ""},
        {"name": "n" * 201},
        {"shop_domain": ""},
        {"shop_domain": "d" * 254},
        {"shop_domain": "ann@hats.example"},
        {"tier": "huge"},
        {"overage_limit": "-1"},
        {"overage_limit": "many"},
        {"low_threshold": "-1"},
        {"low_threshold": "9" * 10},
    ):
        answer = await browser.send(page, at, {**GOOD, **wrong})
        assert answer.status_code == 400, wrong
        assert set(faults_of(answer)) == set(wrong), wrong
        assert 'value="50"' in answer.text or "overage_limit" in wrong
    assert await acts(admin) == []


async def test_a_store_is_suspended_and_resumed_in_two_steps(
    browser: Browser, store: StoreClient, admin: asyncpg.Connection, at: str
) -> None:
    status = "SELECT status FROM storecredit.stores"
    page = await browser.get(f"{at}/suspend")
    assert "with any of its keys" in page.text
    assert await admin.fetchval(status) == "active"
    action = f"{at}/suspend"
    suspended, again = await sent_twice(browser, page, action, {"reason": "unpaid"})
    assert suspended.headers["location"] == again.headers["location"] == f"{at}?done=suspended"
    assert await admin.fetchval(status) == "suspended"
    [act] = await acts(admin, "store.update")
    assert act.by == ("admin", "console", "unpaid")
    assert act.asked == {"status": "suspended"}
    assert "is suspended already" in (await browser.get(f"{at}/suspend")).text
    page = await browser.get(f"{at}/resume")
    resumed, again = await sent_twice(browser, page, f"{at}/resume", {"reason": "paid"})
    assert resumed.headers["location"] == again.headers["location"] == f"{at}?done=active"
    assert await admin.fetchval(status) == "active"
    assert len(await acts(admin, "store.update")) == 2
    assert "is active already" in (await browser.get(f"{at}/resume")).text


async def test_who_may_not_change_sees_what_there_is(
    api: httpx.AsyncClient, operator: Operator, store: StoreClient, at: str
) -> None:
    made = data_of(await operator.post("/tokens", name="ann", scopes=["read", "keys"]), 201)
    ann = await signed_in(api, made["token"])
    page = await ann.get(at)
    assert "unlimited" in page.text
    assert f'action="{at}"' not in page.text
    for below in ("", "/suspend", "/resume"):
        answer = await ann.post(at + below, page, "/console/sign-out", GOOD)
        assert answer.status_code == 403
    assert data_of(await operator.get(f"/stores/{store.store_id}"))["status"] == "active"
