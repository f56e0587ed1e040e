"""What anybody may look at: the front page and the pages about the API."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.judging import good_for_everybody


async def test_the_front_page_is_for_everybody(page: Page) -> None:
    answer = await page.goto("/")
    assert answer is not None
    assert "unsafe-inline" not in answer.headers["content-security-policy"]
    await expect(page.get_by_role("heading", level=1)).to_have_text("storecredit")
    await good_for_everybody(page)


@pytest.mark.parametrize(
    "link, heading", [("For the operator", "Console"), ("For stores", "Your credits")]
)
async def test_it_leads_to_where_people_sign_in(page: Page, link: str, heading: str) -> None:
    await page.goto("/")
    await page.get_by_role("link", name=link).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(heading)


@pytest.mark.parametrize(
    "link, shown, hidden",
    [
        ("API below /api/v1", "/api/v1/credits/balance", "/api/admin/stores"),
        ("API below /api/admin", "/api/admin/stores", "/api/v1/credits/balance"),
    ],
)
async def test_its_links_lead_to_the_pages_about_the_api(
    page: Page, link: str, shown: str, hidden: str
) -> None:
    await page.goto("/")
    await page.get_by_role("link", name=link).click()
    await expect(page.get_by_text(shown, exact=True).first).to_be_visible()
    await expect(page.get_by_text(hidden, exact=True)).to_have_count(0)
