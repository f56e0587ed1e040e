"""Every page of console and portal, with all sorts of things on it, as everybody can use it."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.furnished.addresses import PAGES, Address
from tests.browser.furnished.furnishing import Furnished
from tests.browser.furnished.planting import assert_nothing_grew
from tests.browser.judging import good_for_everybody
from tests.browser.signing_in import sign_in_to_console, sign_in_to_portal
from tests.browser.watching import Watch


@pytest.mark.parametrize("address", PAGES, ids=str)
async def test_a_page_is_for_everybody_and_shows_text_as_text(
    page: Page, watch: Watch, furnished: Furnished, address: Address
) -> None:
    await _sign_in(page, address, furnished)
    is_link = "code" in address.names
    if is_link:
        watch.allow(410)
    answer = await page.goto(furnished.address_of(address))
    assert answer is not None
    if not answer.headers["content-type"].startswith("text/html"):
        return
    if is_link:  # a page that goes on by itself, to where it says that there is no such link
        await expect(page.get_by_text("was used before")).to_be_visible()
    await good_for_everybody(page)
    await assert_nothing_grew(page)


async def _sign_in(page: Page, address: Address, furnished: Furnished) -> None:
    if address.is_public:
        return
    if address.door == "console":
        await sign_in_to_console(page)
    else:
        await sign_in_to_portal(page, furnished.store.api_key)
