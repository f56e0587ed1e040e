"""Signed in with a browser, as people do it."""

from playwright.async_api import Page, expect

from tests.web.doors import OPERATOR_TOKEN


async def sign_in_to_console(page: Page, token: str = OPERATOR_TOKEN) -> None:
    """Leaves the page at the console's first one."""
    await page.goto("/console/sign-in")
    await page.get_by_label("Token").fill(token)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()


async def sign_in_to_portal(page: Page, key: str) -> None:
    """Leaves the page at the portal's first one."""
    await page.goto("/portal/sign-in")
    await page.get_by_label("API key").fill(key)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
