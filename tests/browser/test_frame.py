"""What all pages have in common, seen in a real browser: the way in, forms, errors, numbers."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import Browsing
from tests.browser.judging import good_for_everybody
from tests.browser.signing_in import sign_in_to_console
from tests.browser.watching import Watch
from tests.web.doors import Operator, data_of

NEW_STORE = "/console/stores/new"
MAKE = "Make the store"


async def stores_named(operator: Operator, name: str) -> list[str]:
    listed = data_of(await operator.get("/stores", search=name))["items"]
    return [each["store_id"] for each in listed]


async def test_the_first_key_leads_past_the_navigation(page: Page) -> None:
    await sign_in_to_console(page)
    await page.reload()
    skip = page.get_by_role("link", name="Skip to content")
    await expect(skip).not_to_be_in_viewport()
    await page.keyboard.press("Tab")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()


async def test_a_store_is_made_by_keyboard_alone(page: Page, operator: Operator) -> None:
    await sign_in_to_console(page)
    await page.goto(NEW_STORE)
    await reach(page, page.get_by_label("Name"))
    await page.keyboard.type("By keys")
    await reach(page, page.get_by_label("Domain"))
    await page.keyboard.type("keys.example")
    await reach(page, page.get_by_label("Tier"))
    await page.keyboard.press("ArrowDown")
    await reach(page, page.get_by_role("button", name=MAKE))
    await page.keyboard.press("Space")
    await expect(page.locator("#secret")).to_be_visible()
    assert len(await stores_named(operator, "By keys")) == 1


async def reach(page: Page, wanted: Locator) -> None:
    """Press Tab until it has the focus."""
    for _ in range(100):
        if await wanted.evaluate("(one) => one === document.activeElement"):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"the Tab key does not reach {wanted}")


@pytest.mark.parametrize("has_script", [True, False])
async def test_a_double_click_acts_once(
    browsing: Browsing, operator: Operator, *, has_script: bool
) -> None:
    page, name = await browsing(java_script_enabled=has_script), f"Twice {has_script}"
    await sign_in_to_console(page)
    await page.goto(NEW_STORE)
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Domain").fill("twice.example")
    await page.get_by_role("button", name=MAKE).dblclick()
    await expect(page.get_by_role("button", name=MAKE)).to_have_count(0)
    assert len(await stores_named(operator, name)) == 1


async def test_the_second_click_of_a_double_click_does_nothing_on_the_page_that_came_of_it(
    page: Page, operator: Operator
) -> None:
    await sign_in_to_console(page)
    await page.goto(NEW_STORE)
    await page.get_by_label("Name").fill("Second")
    await page.get_by_label("Domain").fill("second.example")
    make = page.get_by_role("button", name=MAKE)
    for under_the_mouse in (page.get_by_role("link", name="Cancel"), make):
        await under_the_mouse.hover()
        await page.mouse.down(click_count=2)
        await page.mouse.up(click_count=2)
    # Neither led away, nor was the form sent, which now is.
    await expect(page.get_by_label("Name")).to_have_value("Second")
    assert await stores_named(operator, "Second") == []
    await make.click()
    await expect(page.locator("#secret")).to_be_visible()
    assert len(await stores_named(operator, "Second")) == 1


async def test_a_form_that_is_sent_again_acts_once(page: Page, operator: Operator) -> None:
    await sign_in_to_console(page)
    await page.goto(NEW_STORE)
    await page.get_by_label("Name").fill("Again")
    await page.get_by_label("Domain").fill("again.example")
    await page.get_by_role("button", name=MAKE).click()
    key = await page.locator("#secret").inner_text()
    assert key.startswith("sc_live_")
    await page.reload()
    await expect(page.locator("#secret")).to_have_text(key)
    assert len(await stores_named(operator, "Again")) == 1


async def test_what_is_not_taken_is_told_by_field_and_stays(page: Page, watch: Watch) -> None:
    watch.allow(400)
    await sign_in_to_console(page)
    await page.goto(NEW_STORE)
    await page.get_by_label("Name").fill("Kept as it is")
    await page.get_by_label("Domain").fill("kept.example")
    await page.get_by_label("Origins of the first key").fill("no origin")
    await page.get_by_role("button", name=MAKE).click()
    await expect(page.get_by_role("alert")).to_contain_text("Nothing was done")
    await expect(page.get_by_label("Name")).to_have_value("Kept as it is")
    field = page.get_by_label("Origins of the first key")
    await expect(field).to_have_value("no origin")
    await expect(field).to_have_attribute("aria-invalid", "true")
    await page.get_by_role("alert").get_by_role("link").click()
    await expect(field).to_be_focused()
    await good_for_everybody(page)


async def test_errors_say_what_happened_and_what_to_do(
    page: Page, watch: Watch, operator: Operator
) -> None:
    watch.allow(403, 404, 405)
    made = data_of(await operator.post("/tokens", name="bob", scopes=["read"]), 201)
    await sign_in_to_console(page, made["token"])
    for address, told in (
        ("/console/nowhere", "There is nothing here"),
        ("/console/stores/00000000-0000-4000-8000-000000000000", "There is nothing here"),
        ("/console/<img src=x onerror=planted=1>", "There is nothing here"),
        ("/console/tokens", "Your token does not allow this"),
        ("/console/sign-out", "This cannot be done"),
    ):
        await page.goto(address)
        await expect(page.get_by_role("heading", level=1)).to_have_text(told)
        await expect(page.locator("main")).to_contain_text("name this request: ")
        assert await page.evaluate("typeof planted") == "undefined"
    await good_for_everybody(page)
    await page.get_by_role("link", name="To the first page").click()
    await expect(page).to_have_url("/console")


async def test_a_key_is_copied_by_a_button(browsing: Browsing) -> None:
    page = await browsing(permissions=["clipboard-read", "clipboard-write"])
    await sign_in_to_console(page)
    await page.goto(NEW_STORE)
    await page.get_by_label("Name").fill("Copied")
    await page.get_by_label("Domain").fill("copied.example")
    await page.get_by_role("button", name=MAKE).click()
    key = await page.locator("#secret").text_content()
    await page.get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == key
    await good_for_everybody(page)


@pytest.mark.parametrize(
    "locale, zone, number, clock",
    [
        ("en-US", "America/New_York", "12,345", "%-I:%M:%S"),
        ("de-DE", "Asia/Kolkata", "12.345", "%H:%M:%S"),
    ],
)
async def test_numbers_and_moments_are_the_viewers(
    browsing: Browsing, operator: Operator, locale: str, zone: str, number: str, clock: str
) -> None:
    store = await operator.store(credits=12345, name=f"Of {locale}")
    page = await browsing(locale=locale, timezone_id=zone)
    await sign_in_to_console(page)
    await page.goto(f"/console/stores/{store.store_id}/ledger")
    row = page.locator("tbody tr").first
    await expect(row).to_contain_text(number)
    moment = row.locator("time")
    at = datetime.fromisoformat(await moment.get_attribute("datetime") or "")
    await expect(moment).to_contain_text(at.astimezone(ZoneInfo(zone)).strftime(clock))
    await expect(moment).to_have_attribute("title", at.strftime("%Y-%m-%d %H:%M:%S UTC"))
