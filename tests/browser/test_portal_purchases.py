"""A store buys in its portal, in the operator's own colours, and sees the credits come."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from stand_ins.paddle.api import PaddleStandIn, paddle_stand_in
from storecredit.settings import Settings
from tests.browser.conftest import Site
from tests.browser.judging import axe, good_for_everybody
from tests.browser.signing_in import sign_in_to_portal
from tests.browser.watching import Watch
from tests.web.doors import StoreClient

YELLOW, GREY = "#ffe600", "#808080"
"""Neither can be read on white, nor much on the other."""


@pytest.fixture(scope="module")
async def paddle() -> AsyncIterator[PaddleStandIn]:
    async with paddle_stand_in() as running:
        yield running


@pytest.fixture(scope="module")
def site_settings(site_settings: Settings, paddle: PaddleStandIn) -> Settings:
    own = {
        "portal_accent": YELLOW,
        "portal_background": GREY,
        "paddle_webhook_tolerance_seconds": 300,
        **paddle.settings(),
    }
    return Settings.model_validate(site_settings.model_dump() | own)


async def test_what_is_paid_for_is_there_by_itself(
    page: Page, site: Site, paddle: PaddleStandIn, store: StoreClient
) -> None:
    await sign_in_to_portal(page, store.api_key)
    await expect(page.locator(".figure").first).to_have_text("100")
    await page.get_by_role("link", name="Buy", exact=True).click()
    await page.get_by_label("How many").fill("400")
    await page.get_by_role("button", name="To the checkout").click()
    pay = page.get_by_role("link", name="Go and pay")
    [(transaction_id, transaction)] = paddle.account.transactions.items()
    await expect(pay).to_have_attribute("href", transaction["checkout"]["url"])
    await good_for_everybody(page)
    await page.get_by_role("link", name="see what you have").click()
    await expect(page.locator(".live-state")).to_contain_text("Live")
    webhooks = paddle.webhooks(f"{site.url}/webhooks/paddle")
    assert set(await webhooks.send_all(paddle.account.pay(transaction_id))) == {200}
    await expect(page.locator(".figure").first).to_have_text("500")
    await expect(page.get_by_role("table", name="Newest movements")).to_contain_text(
        "Bought, single credits"
    )


async def test_colours_that_nobody_could_read_are_made_readable(
    page: Page, store: StoreClient
) -> None:
    await page.goto("/portal/sign-in")
    await good_for_everybody(page)
    await sign_in_to_portal(page, store.api_key)
    ground = "() => getComputedStyle(document.documentElement).backgroundColor"
    for path in ("", "/ledger", "/keys", "/keys/new", "/webhooks", "/top-up", "/purchases"):
        await page.goto(f"/portal{path}")
        await good_for_everybody(page)
        for scheme in ("dark", "light"):
            await page.emulate_media(color_scheme=scheme)
            assert await page.evaluate(ground) == "rgb(128, 128, 128)"
    button = page.get_by_role("button", name="To the checkout")
    await expect(button).to_have_css("background-color", "rgb(255, 230, 0)")
    await expect(button).to_have_css("color", "rgb(0, 0, 0)")


async def test_the_console_keeps_its_own_colours(page: Page) -> None:
    await page.goto("/console/sign-in")
    button = page.get_by_role("button", name="Sign in")
    await expect(button).to_have_css("background-color", "rgb(11, 107, 87)")


async def test_whoever_revokes_the_key_they_came_by_is_told_why_they_are_out(
    page: Page, watch: Watch, store: StoreClient
) -> None:
    await sign_in_to_portal(page, store.api_key)
    await page.get_by_role("link", name="API keys").click()
    await page.get_by_role("link", name="first key").click()
    await expect(page.get_by_text("You are signed in by this key.")).to_be_visible()
    await page.get_by_role("link", name="Revoke it…").click()
    await expect(page.get_by_text("revoking it signs you out")).to_be_visible()
    await page.get_by_role("button", name="Revoke first key").dblclick()
    await expect(page.get_by_role("status")).to_contain_text("The key is revoked")
    await axe(page)
    watch.allow(401)
    await page.get_by_label("API key").fill(store.api_key)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("status")).to_contain_text("No API key that works")
