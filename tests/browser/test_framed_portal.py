"""The portal within a page of the operator's own site, where the settings name that site."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from stand_ins.http_server import Answer, Received, StandIn, stand_in
from storecredit.settings import Settings
from tests.browser.conftest import Site
from tests.browser.watching import Watch
from tests.web.doors import StoreClient, data_of

HTML = {"Content-Type": "text/html; charset=utf-8"}
HOST = "localhost"


def embedding(received: Received) -> Answer:
    """A page of the site, which shows within it what stands behind the `?` of its own address."""
    shown = received.path.partition("?")[2]
    page = (
        '<!doctype html><html lang="en"><title>Shop</title><link rel="icon" href="data:,">'
        f'<h1>The shop</h1><iframe title="Credits" width="900" height="600" src="{shown}"></iframe>'
    )
    return Answer(200, page.encode(), HTML)


@pytest.fixture(scope="module")
async def shop() -> AsyncIterator[StandIn]:
    async with stand_in(embedding) as running:
        yield running


@pytest.fixture(scope="module")
def site_settings(site_settings: Settings, shop: StandIn) -> Settings:
    # As behind a proxy that speaks https: browsers take loopback for as safe.
    own = {
        "portal_frame_ancestors": shop.url("", HOST),
        "portal_accent": "#8a1a5c",
        "public_url": "https://credits.example",
    }
    return Settings.model_validate(site_settings.model_dump() | own)


async def test_a_store_uses_its_portal_within_the_shop(
    page: Page, site: Site, watch: Watch, shop: StandIn, store: StoreClient
) -> None:
    watch.origins.add(shop.url("", HOST))
    made = data_of(await store.send("POST", "/api/v1/portal/sessions", json={}), 201)
    path = made["url"].removeprefix("https://credits.example")
    await page.goto(f"{shop.url('/', HOST)}?{site.url}{path}")
    portal = page.frame_locator("iframe")
    await expect(portal.get_by_role("button", name="Sign out")).to_be_visible()
    await expect(portal.locator(".figure").first).to_have_text("100")
    await portal.get_by_role("link", name="Ledger").click()
    await expect(portal.get_by_role("table").first).to_be_visible()
    # Asked again where the page goes on just then.
    await expect(portal.locator("body")).to_have_css("--accent", "#8a1a5c")
    [cookie] = await page.context.cookies()
    assert (cookie["secure"], cookie["sameSite"], cookie["httpOnly"]) == (True, "None", True)
    await portal.get_by_role("button", name="Sign out").click()
    await expect(portal.get_by_label("API key")).to_be_visible()


async def test_no_other_page_shows_it_and_the_console_nobody(
    page: Page, site: Site, watch: Watch, shop: StandIn
) -> None:
    watch.origins |= {shop.url("", HOST), shop.url("", "127.0.0.1")}
    for host, path in (("127.0.0.1", "/portal/sign-in"), (HOST, "/console/sign-in")):
        await page.goto(f"{shop.url('/', host)}?{site.url}{path}")
        assert any("frame-ancestors" in fault for fault in watch.faults), (host, path)
        assert await page.frames[1].locator("form").count() == 0
        watch.faults.clear()
