"""Every page of console and portal, with all sorts of things on it, as everybody can use it."""

import pytest
from playwright.async_api import Page, expect

from storecredit.operator.sign_ins import Door
from tests.browser.conftest import Browsing, Site
from tests.browser.furnished.addresses import PAGES, Address
from tests.browser.furnished.asking import Visitor
from tests.browser.furnished.furnishing import Furnished
from tests.browser.furnished.planting import assert_nothing_grew
from tests.browser.judging import good_for_everybody
from tests.browser.keyboard import assert_usable_by_keyboard
from tests.browser.watching import Watch

UNSEEN = """() => [...document.querySelectorAll("main :is(h1, h2, h3, table, dl, form, svg, img)")]
    .filter((one) => !one.checkVisibility() && !one.closest("details"))
    .map((one) => one.outerHTML.slice(0, 120))"""
Visitors = dict[str, Visitor]


async def open_signed_in(
    page: Page, site: Site, visitors: Visitors, furnished: Furnished, address: Address
) -> bool:
    """Open one page of an address; whether there is one."""
    cookies = visitors[address.door].http.cookies
    where = f"{site.url}/{address.door}"
    await page.context.add_cookies(
        [{"name": name, "value": value, "url": where} for name, value in cookies.items()]
    )
    answer = await page.goto(furnished.address_of(address))
    assert answer is not None
    return answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("address", PAGES, ids=str)
async def test_a_page_is_for_everybody_and_shows_text_as_text(
    page: Page,
    site: Site,
    watch: Watch,
    visitors: Visitors,
    furnished: Furnished,
    address: Address,
) -> None:
    is_link = "code" in address.names
    if is_link:
        watch.allow(410)
    if not await open_signed_in(page, site, visitors, furnished, address):
        return
    if is_link:  # a page that goes on by itself, to where it says that there is no such link
        await expect(page.get_by_text("was used before")).to_be_visible()
    await assert_nothing_grew(page)
    await assert_usable_by_keyboard(page)
    await good_for_everybody(page)


@pytest.mark.parametrize("door", ["console", "portal"])
async def test_every_page_can_be_read_without_a_script(
    browsing: Browsing, site: Site, visitors: Visitors, furnished: Furnished, door: Door
) -> None:
    page = await browsing(java_script_enabled=False)
    for address in PAGES:
        if address.door != door or "code" in address.names:
            continue
        if not await open_signed_in(page, site, visitors, furnished, address):
            continue
        await expect(page.locator("main h1")).to_be_visible()
        assert await page.evaluate(UNSEEN) == [], str(address)
