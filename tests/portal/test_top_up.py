"""`/portal/top-up` and `/console/…/top-up`: when a store is told, and whether it buys by itself."""

from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from stand_ins.paddle.api import PaddleStandIn
from storecredit.settings import Settings
from tests.billing.overages import subscribe
from tests.console.acts import acts, faults_of, sent_twice
from tests.console.conftest import Browser, signed_in
from tests.console.reading import text_of
from tests.web.conftest import web_settings
from tests.web.doors import OPERATOR_TOKEN, Operator, StoreClient, data_of

AT = "/portal/top-up"
TOP_UP = {"threshold": "20", "credits": "100", "max_per_day": "2", "max_per_month": "5"}


@pytest.fixture
def settings(data_dir: Path, paddle: PaddleStandIn) -> Settings:
    """Something is sold."""
    usual = web_settings(data_dir).model_dump()
    return Settings.model_validate(usual | paddle.settings())


@pytest.fixture
async def subscribed(admin: asyncpg.Connection, store: StoreClient) -> None:
    """The store has a plan."""
    await admin.execute("SET search_path TO storecredit, public")
    await subscribe(admin, UUID(store.store_id), "sub_1")


async def threshold(admin: asyncpg.Connection, store: StoreClient) -> int | None:
    found: int | None = await admin.fetchval(
        "SELECT low_threshold FROM storecredit.accounts WHERE owner_id = $1", store.store_id
    )
    return found


async def test_a_store_says_at_how_many_credits_it_is_told(
    portal: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    page = await portal.get(AT)
    assert "at a tenth of what was added last" in page.text
    for typed, kept, said in (
        ("30", 30, "counts as low at 30"),
        ("0", 0, "never counts as low"),
        ("", None, "at a tenth of what was added last"),
    ):
        sent = {"low_threshold": typed}
        saved = await portal.send(await portal.get(AT), f"{AT}/threshold", sent)
        assert saved.headers["location"] == f"{AT}?done=told"
        assert await threshold(admin, store) == kept
        assert said in text_of((await portal.get(f"{AT}?done=told")).text)
    entries = await acts(admin, "store.update", "portal")
    assert [act.asked for act in entries] == [{"low_threshold": n} for n in (30, 0, None)]
    assert {act.by for act in entries} == {("store", "portal", "")}
    for nonsense in ("-1", "many", "1.5", "9" * 30):
        wrong = await portal.send(page, f"{AT}/threshold", {"low_threshold": nonsense})
        assert wrong.status_code == 400
        assert set(faults_of(wrong)) == {"low_threshold"}
        assert f'value="{nonsense}"' in wrong.text
    assert await threshold(admin, store) is None


async def test_without_a_plan_there_is_nothing_to_buy_through(
    portal: Browser, admin: asyncpg.Connection
) -> None:
    page = await portal.get(AT)
    assert "Subscribe to a plan" in page.text
    # Somebody whose plan ended since the page was made.
    answer = await portal.post(AT, page, f"{AT}/threshold", TOP_UP)
    assert answer.status_code == 400
    assert "subscribe to a plan first" in answer.text
    assert await acts(admin, "top_up.set", "portal") == []


@pytest.mark.usefixtures("subscribed")
async def test_it_is_switched_on_changed_and_off(
    portal: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    page = await portal.get(AT)
    assert "$0.18 a credit" in text_of(page.text)
    assert 'name="credits" type="number" step="1" min="1" value=""' in page.text
    on, again = await sent_twice(portal, page, AT, TOP_UP)
    assert on.headers["location"] == again.headers["location"] == f"{AT}?done=on"
    shown = text_of((await portal.get(f"{AT}?done=on")).text)
    assert "At 20 credits or below, 100 are bought for $18.00 before tax." in shown
    assert "0 of 2 times" in shown
    [act] = await acts(admin, "top_up.set", "portal")
    assert act.by == ("store", "portal", "")
    assert data_of(await store.get("/api/v1/top-up"))["threshold"] == 20
    off = await portal.send(await portal.get(AT), f"{AT}/off")
    assert off.headers["location"] == f"{AT}?done=off"
    assert data_of(await store.get("/api/v1/top-up"))["status"] == "off"
    [act] = await acts(admin, "top_up.remove", "portal")
    assert act.by == ("store", "portal", "")


@pytest.mark.usefixtures("subscribed")
@pytest.mark.parametrize(
    "field, typed",
    [
        ("threshold", "-1"),
        ("threshold", ""),
        ("credits", "3"),
        ("credits", "9999999"),
        ("max_per_day", "11"),
        ("max_per_month", "0"),
        ("max_per_month", "<b>"),
    ],
)
async def test_what_is_wrong_is_told_by_field(
    portal: Browser, admin: asyncpg.Connection, field: str, typed: str
) -> None:
    page = await portal.get(AT)
    wrong = await portal.send(page, AT, TOP_UP | {field: typed})
    assert wrong.status_code == 400
    assert set(faults_of(wrong)) == {field}
    assert 'value="100"' in wrong.text or field == "credits"
    assert await acts(admin, "top_up.set", "portal") == []


@pytest.mark.usefixtures("subscribed")
async def test_a_declined_card_is_told_with_what_to_do(
    portal: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    top_up = {"threshold": 5, "credits": 50}
    data_of(await store.send("PUT", "/api/v1/top-up", json=top_up))
    await admin.execute(
        "UPDATE storecredit.top_ups SET status = 'paused', pause_reason = 'declined', due_at = NULL"
    )
    shown = text_of((await portal.get(AT)).text)
    assert "The means of payment was declined" in shown
    assert "switch this on again" in shown
    await portal.send(await portal.get(AT), AT, TOP_UP)
    assert data_of(await store.get("/api/v1/top-up"))["status"] == "on"


@pytest.mark.usefixtures("subscribed")
async def test_the_operator_does_the_same_with_a_reason(
    browser: Browser, operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    here = f"/console/stores/{store.store_id}/top-up"
    console = await signed_in(browser.http, OPERATOR_TOKEN)
    page = await console.get(here)
    done = await console.send(page, here, TOP_UP | {"reason": "they asked"})
    assert done.headers["location"] == f"{here}?done=on"
    await console.send(page, f"{here}/threshold", {"low_threshold": "7", "reason": "too"})
    await console.send(await console.get(here), f"{here}/off", {"reason": "and off"})
    assert [act.by for act in await acts(admin)] == [
        ("admin", "console", reason) for reason in ("they asked", "too", "and off")
    ]
    assert await threshold(admin, store) == 7
    made = data_of(await operator.post("/tokens", name="ann", scopes=["read"]), 201)
    browser.http.cookies.clear()
    reader = await signed_in(browser.http, made["token"])
    page = await reader.get(here)
    assert "scope <code>all</code>" in page.text
    for address in (here, f"{here}/off", f"{here}/threshold"):
        refused = await reader.post(address, page, "/console/sign-out", TOP_UP)
        assert refused.status_code == 403
