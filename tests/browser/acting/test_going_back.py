"""Back, in a browser that keeps whole pages to come back to, as people's browsers do.

Playwright switches that off for others; whoever signed out must not find what they had seen.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from playwright.async_api import Browser, Error, Page, expect

from tests.browser.chromium import running_chromium
from tests.browser.conftest import Browsing, Site
from tests.browser.judging import WAIT_SECONDS_MAX
from tests.browser.signing_in import sign_in_to_console, sign_in_to_portal
from tests.web.doors import StoreClient

SEEN = "Nobody else's shop"
OUT = "Sign out"
PAGES = {"console": ("", "/ledger", "/keys"), "portal": ("", "/ledger", "/keys")}


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """In the place of the one that keeps nothing."""
    async with running_chromium(keeps_pages=True) as browser:
        yield browser


@pytest.fixture
async def store(site: Site) -> StoreClient:
    return await site.operator.store(name=SEEN)


async def signed_in(page: Page, door: str, store: StoreClient) -> None:
    """And having looked at some pages, each of which has the store's name."""
    if door == "console":
        await sign_in_to_console(page)
    else:
        await sign_in_to_portal(page, store.api_key)
    for below in PAGES[door]:
        at = f"/console/stores/{store.store_id}" if door == "console" else "/portal"
        await page.goto(f"{at}{below}")
        await expect(page.get_by_text(SEEN).first).to_be_visible()


async def goes(page: Page, where: str) -> None:
    """By the browser's button. Playwright's own waits for a load that a kept page does not have."""
    before = await page.evaluate("performance.timeOrigin + location.href")
    with suppress(Error):
        await page.evaluate(f"history.{where}()")
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            with suppress(Error):
                if await page.evaluate("performance.timeOrigin + location.href") != before:
                    return
            await asyncio.sleep(0.01)


async def shows_nothing(page: Page) -> None:
    """That somebody who is not signed in sees the page."""
    await expect(page.locator("input[type=password]")).to_be_visible()
    assert SEEN not in await page.content()
    await expect(page.get_by_role("button", name=OUT)).to_have_count(0)


async def test_this_browser_keeps_pages(page: Page) -> None:
    await page.goto("/")
    await page.evaluate("window.kept = true")
    await page.get_by_role("link", name="For the operator").click()
    await expect(page.get_by_label("Token")).to_be_visible()
    await goes(page, "back")
    await expect(page.get_by_role("heading", level=1)).to_have_text("storecredit")
    assert await page.evaluate("window.kept") is True


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no-script"])
@pytest.mark.parametrize("door", PAGES)
async def test_back_after_signing_out_shows_nothing(
    browsing: Browsing, store: StoreClient, door: str, *, has_script: bool
) -> None:
    page = await browsing(java_script_enabled=has_script)
    await signed_in(page, door, store)
    await page.get_by_role("button", name=OUT).click()
    await expect(page.get_by_role("status")).to_have_text("You are signed out.")
    for _ in PAGES[door]:
        await goes(page, "back")
        await shows_nothing(page)
    await goes(page, "forward")
    await shows_nothing(page)


@pytest.mark.parametrize("door", PAGES)
async def test_back_after_signing_out_in_another_window_shows_nothing(
    page: Page, store: StoreClient, door: str
) -> None:
    await signed_in(page, door, store)
    other = await page.context.new_page()
    await other.goto(f"/{door}")
    await other.get_by_role("button", name=OUT).click()
    await expect(other.get_by_role("status")).to_have_text("You are signed out.")
    for _ in PAGES[door][1:]:
        await goes(page, "back")
        await shows_nothing(page)
