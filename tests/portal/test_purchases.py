"""`/portal/purchases` and the console's: what is sold, a checkout for it, what is subscribed to."""

from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from stand_ins.paddle.api import Failure, PaddleStandIn
from storecredit.settings import Settings
from tests.billing.overages import subscribe
from tests.console.acts import acts, faults_of
from tests.console.conftest import ORIGIN, Browser, hidden, signed_in
from tests.console.reading import cells, text_of
from tests.web.conftest import web_settings
from tests.web.doors import OPERATOR_TOKEN, StoreClient

AT = "/portal/purchases"


@pytest.fixture
def settings(data_dir: Path, paddle: PaddleStandIn) -> Settings:
    """Something is sold."""
    usual = web_settings(data_dir).model_dump()
    return Settings.model_validate(usual | paddle.settings())


async def test_what_is_on_sale_is_shown_with_its_price(portal: Browser) -> None:
    assert f'href="{AT}"' in (await portal.get("/portal")).text
    shown = text_of((await portal.get(AT)).text)
    assert "$0.18 each, before tax" in shown
    assert "350 credits a month for $49.00 before tax" in shown
    assert "4 to 5,000 at a time" in shown


async def test_credits_are_bought_at_a_checkout_that_is_opened_once(
    portal: Browser, paddle: PaddleStandIn, admin: asyncpg.Connection
) -> None:
    page = await portal.get(AT)
    fields = hidden(page, "/portal/sign-out") | {"credits": "200"}
    opened, again = [await portal.http.post(AT, data=fields, headers=ORIGIN) for _ in range(2)]
    assert "200 credits for $36.00 before tax" in text_of(opened.text)
    [transaction] = paddle.account.transactions.values()
    url = transaction["checkout"]["url"]
    for answer in (opened, again):
        assert answer.status_code == 200
        assert f'href="{url}" target="_blank" rel="noopener noreferrer"' in answer.text
    [act] = await acts(admin, "checkout.create", "portal")
    assert act.by == ("store", "portal", "")
    assert act.asked["credits"] == 200


async def test_a_plan_is_subscribed_to(portal: Browser, paddle: PaddleStandIn) -> None:
    page = await portal.get(AT)
    opened = await portal.post(AT, page, "/portal/sign-out", {"plan": "starter"})
    assert "350 credits each month, the plan Starter, for $49.00" in text_of(opened.text)
    assert len(paddle.account.transactions) == 1


async def test_what_is_subscribed_to_is_shown_and_bars_another(
    portal: Browser, store: StoreClient, admin: asyncpg.Connection, paddle: PaddleStandIn
) -> None:
    before = await portal.get(AT)
    await admin.execute("SET search_path TO storecredit, public")
    await subscribe(admin, UUID(store.store_id), "sub_1")
    page = await portal.get(AT)
    assert "You subscribe to Starter : 350 credits a month" in text_of(page.text)
    assert 'name="plan"' not in page.text
    [[plan, status, credits, *_]] = cells(page.text)
    assert (plan, status, credits) == ("Starter", "Active", "350")
    late = await portal.post(AT, before, "/portal/sign-out", {"plan": "growth"})
    assert late.status_code == 400
    assert "There is a subscription that runs already." in text_of(late.text)
    assert not paddle.account.transactions
    await admin.execute("UPDATE subscriptions SET status = 'canceled'")
    assert 'name="plan"' in (await portal.get(AT)).text


@pytest.mark.parametrize("typed", ["3", "5001", "0", "-4", "", "many", "4.5"])
async def test_what_is_not_sold_is_told_at_its_field(
    portal: Browser, paddle: PaddleStandIn, typed: str
) -> None:
    page = await portal.get(AT)
    wrong = await portal.post(AT, page, "/portal/sign-out", {"credits": typed})
    assert wrong.status_code == 400
    assert set(faults_of(wrong)) == {"credits"}
    assert f'value="{typed}"' in wrong.text
    assert not paddle.account.transactions


async def test_a_plan_that_there_is_not_is_told(portal: Browser, paddle: PaddleStandIn) -> None:
    page = await portal.get(AT)
    for plan in ("<b>no</b>", "p" * 51):
        wrong = await portal.post(AT, page, "/portal/sign-out", {"plan": plan})
        assert wrong.status_code == 400
        assert "Nothing was done" in wrong.text
        assert "<b>no" not in wrong.text
    assert not paddle.account.transactions


async def test_while_paddle_is_away_nothing_is_sold_and_it_may_be_tried_again(
    portal: Browser, paddle: PaddleStandIn
) -> None:
    page = await portal.get(AT)
    paddle.failures.append(Failure.REFUSE_503)
    sent = {"credits": "10"}
    away = await portal.post(AT, page, "/portal/sign-out", sent)
    assert away.status_code == 503
    assert "may be sent again" in away.text
    opened = await portal.post(AT, page, "/portal/sign-out", sent)
    assert opened.status_code == 200
    assert len(paddle.account.transactions) == 1


async def test_the_operator_makes_a_checkout_to_send_to_the_store(
    browser: Browser, store: StoreClient, admin: asyncpg.Connection, paddle: PaddleStandIn
) -> None:
    here = f"/console/stores/{store.store_id}/purchases"
    console = await signed_in(browser.http, OPERATOR_TOKEN)
    page = await console.get(here)
    fields = {"credits": "10", "reason": "asked by mail"}
    made = await console.post(here, page, "/console/sign-out", fields)
    [transaction] = paddle.account.transactions.values()
    assert f'<code id="checkout">{transaction["checkout"]["url"]}</code>' in made.text
    [act] = await acts(admin, "checkout.create")
    assert act.by == ("admin", "console", "asked by mail")
