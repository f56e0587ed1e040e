"""The portal within another page where nothing is https: what docs/portal.md says of that."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from stand_ins.http_server import StandIn, stand_in
from storecredit.settings import Settings
from tests.browser.conftest import Site
from tests.browser.test_framed_portal import embedding
from tests.browser.watching import Watch
from tests.web.doors import StoreClient, data_of

SAME, OTHER = "127.0.0.1", "localhost"
"""The service's own host, which has another port here, and one that is another site."""


@pytest.fixture(scope="module")
async def shop() -> AsyncIterator[StandIn]:
    async with stand_in(embedding) as running:
        yield running


@pytest.fixture(scope="module")
def site_settings(site_settings: Settings, shop: StandIn) -> Settings:
    own = {"portal_frame_ancestors": ",".join(shop.url("", host) for host in (SAME, OTHER))}
    return Settings.model_validate(site_settings.model_dump() | own)


async def signed_in_within(
    page: Page, site: Site, watch: Watch, shop: StandIn, store: StoreClient, host: str
) -> None:
    """Has a link used within the page that this host shows, up to the portal's answer."""
    watch.origins.add(shop.url("", host))
    made = data_of(await store.send("POST", "/api/v1/portal/sessions", json={}), 201)
    async with page.expect_response(f"{site.url}/portal"):
        await page.goto(f"{shop.url('/', host)}?{made['url']}")


async def test_within_a_page_of_the_same_host_it_works(
    page: Page, site: Site, watch: Watch, shop: StandIn, store: StoreClient
) -> None:
    await signed_in_within(page, site, watch, shop, store, SAME)
    portal = page.frame_locator("iframe")
    await expect(portal.get_by_role("button", name="Sign out")).to_be_visible()
    await expect(portal.locator(".figure").first).to_have_text("100")


async def test_within_a_page_of_another_the_cookie_is_not_kept(
    page: Page, site: Site, watch: Watch, shop: StandIn, store: StoreClient
) -> None:
    await signed_in_within(page, site, watch, shop, store, OTHER)
    await expect(page.frame_locator("iframe").get_by_label("API key")).to_be_visible()
    assert await page.context.cookies() == []
