"""Moments are typed in the zone of whoever looks; without a script in UTC."""

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import Browsing
from tests.browser.judging import good_for_everybody
from tests.browser.signing_in import sign_in_to_console
from tests.web.doors import Operator, StoreClient, data_of

# Clocks of New York are put forward on March 14, 2027 at 2 h, and back on November 7 at 2 h.
SKIPPED, TWICE = "2027-03-14T02:30", "2027-11-07T01:30"


async def asked(page: Page, store: StoreClient) -> Locator:
    """The field of a form that asks for a moment, the rest of which is filled in."""
    await sign_in_to_console(page)
    await page.goto(f"/console/stores/{store.store_id}/credits/add")
    await page.get_by_label("Credits", exact=True).fill("5")
    return page.get_by_label("Expires at")


async def added(page: Page, operator: Operator, store: StoreClient) -> str:
    """When what the page adds from now on ends."""
    await page.get_by_role("button", name="See what will be").click()
    await page.get_by_role("button", name="Add 5 credits").click()
    await expect(page.get_by_role("status").first).to_contain_text("5 credits were added")
    grants = data_of(await operator.get(f"/stores/{store.store_id}/grants"))["items"]
    [end] = [grant["expires_at"] for grant in grants if grant["amount"] == 5]
    return str(end)


@pytest.mark.parametrize(
    "zone, named, end",
    [
        ("America/New_York", "America/New York", "2027-06-01T14:00:00Z"),
        ("Australia/Adelaide", "Australia/Adelaide", "2027-06-01T00:30:00Z"),
        ("UTC", "UTC", "2027-06-01T10:00:00Z"),
    ],
)
async def test_what_is_typed_is_meant_in_the_zone_that_the_page_names(
    browsing: Browsing, operator: Operator, store: StoreClient, zone: str, named: str, end: str
) -> None:
    page = await browsing(timezone_id=zone)
    field = await asked(page, store)
    await expect(page.get_by_text(f"In your time zone, {named}.")).to_be_visible()
    await field.fill("2027-06-01T10:00")
    await expect(page.get_by_text(f"That is {end[:16].replace('T', ' ')} in UTC.")).to_be_visible()
    await page.get_by_role("button", name="See what will be").click()
    await expect(page.get_by_text("expires on Jun 1, 2027, 10:00:00 AM")).to_be_visible()
    await expect(field).to_have_value("2027-06-01T10:00")
    await good_for_everybody(page)
    assert await added(page, operator, store) == end


async def test_a_time_that_clocks_skip_is_told_and_not_sent(
    page: Page, operator: Operator, store: StoreClient
) -> None:
    field = await asked(page, store)
    await field.fill(SKIPPED)
    await expect(page.locator(".fault")).to_contain_text("Clocks are put forward then")
    await good_for_everybody(page)
    await page.get_by_role("button", name="See what will be").click()
    await expect(page.get_by_role("heading", name="What will be")).to_have_count(0)
    await field.fill("2027-03-14T03:30")
    assert await added(page, operator, store) == "2027-03-14T07:30:00Z"


@pytest.mark.parametrize(
    "choice, end",
    [
        ("The first time, UTC−4", "2027-11-07T05:30:00Z"),
        ("The second time, UTC−5", "2027-11-07T06:30:00Z"),
    ],
)
async def test_of_a_time_that_clocks_show_twice_it_is_asked_which_is_meant(
    page: Page, operator: Operator, store: StoreClient, choice: str, end: str
) -> None:
    field = await asked(page, store)
    which = page.get_by_label("Which do you mean?")
    await expect(which).to_be_hidden()
    await field.fill(TWICE)
    await which.select_option(choice)
    await good_for_everybody(page)
    await page.get_by_role("button", name="See what will be").click()
    await expect(which.locator("option:checked")).to_have_text(choice)
    assert await added(page, operator, store) == end
    await page.get_by_role("link", name="Grants and holds").click()
    row = page.get_by_role("row").filter(has=page.get_by_text("of 5", exact=True))
    await row.get_by_role("link", name="Change the end").click()
    await expect(page.get_by_label("Ends at")).to_have_value(TWICE)
    await expect(which.locator("option:checked")).to_have_text(choice)


async def test_a_field_left_empty_or_emptied_means_never(
    page: Page, operator: Operator, store: StoreClient
) -> None:
    field = await asked(page, store)
    await field.fill(TWICE)
    await field.fill("")
    await expect(page.get_by_label("Which do you mean?")).to_be_hidden()
    assert await added(page, operator, store) == "None"


async def test_without_a_script_it_is_in_utc_and_says_so(
    browsing: Browsing, operator: Operator, store: StoreClient
) -> None:
    page = await browsing(java_script_enabled=False)
    field = await asked(page, store)
    await expect(page.get_by_text("In UTC. Left empty, they never expire.")).to_be_visible()
    await field.fill("2027-06-01T10:00")
    assert await added(page, operator, store) == "2027-06-01T10:00:00Z"
