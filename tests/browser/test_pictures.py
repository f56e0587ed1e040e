"""The pictures of the README, made of the pages as they are, and that they are there."""

import asyncio

import asyncpg
import pytest
from playwright.async_api import Page, expect
from pydantic import SecretStr

from storecredit.settings import Settings
from tests.browser.conftest import Browsing, Site
from tests.browser.judging import WAIT_SECONDS_MAX
from tests.browser.shots import shot
from tests.browser.signing_in import sign_in_to_console, sign_in_to_portal
from tests.browser.some_weeks import make_some_weeks
from tests.web.conftest import web_settings
from tests.web.doors import data_of

SUMMED = """
    SELECT (SELECT count(*) FROM storecredit.movements)
        = (SELECT coalesce(sum(movements), 0) FROM storecredit.hourly_sums)"""
VIEW = {"width": 1200, "height": 860}


@pytest.fixture(scope="module")
def site_settings(books_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    own = {"database_url": SecretStr(books_url), "port": 0, "sums_interval_seconds": 0.2}
    return web_settings(tmp_path_factory.mktemp("data")).model_copy(update=own)


async def test_the_console_and_a_stores_portal(
    site: Site, browsing: Browsing, admin: asyncpg.Connection
) -> None:
    first, *_ = await make_some_weeks(site.operator, admin)
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        # The service tells nobody when it has counted.
        while not await admin.fetchval(SUMMED):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.1)
    proven = data_of(await site.operator.get("/verify"))
    assert proven["discrepancies"] == []
    console = await browsing(viewport=VIEW)
    await sign_in_to_console(console)
    await _settled(console)
    await shot(console, "console")
    portal = await browsing(viewport=VIEW)
    await sign_in_to_portal(portal, first)
    await _settled(portal)
    await shot(portal, "portal")


async def _settled(page: Page) -> None:
    """Once its figures are those of now, and nothing moves any more."""
    await expect(page.locator("figure svg").first).to_be_visible()
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
