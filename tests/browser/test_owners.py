"""Stores and end users on the console, found, made and changed as an operator does it by hand."""

import re
from pathlib import Path

from playwright.async_api import Page, expect

from tests.browser.conftest import Browsing
from tests.browser.judging import good_for_everybody
from tests.browser.signing_in import sign_in_to_console
from tests.browser.watching import Watch
from tests.web.doors import Operator, StoreClient, data_of
from tests.web.users import user_of

XSS = "<img src=x onerror=\"document.title='grown'\">"


async def _go_to(page: Page, name: str) -> None:
    """By the console's main navigation."""
    console = page.get_by_role("navigation", name="Console")
    await console.get_by_role("link", name=name, exact=True).click()


async def test_a_store_is_made_its_key_copied_and_used(
    browsing: Browsing, watch: Watch, operator: Operator
) -> None:
    watch.allow(400)
    page = await browsing(permissions=["clipboard-read", "clipboard-write"])
    await sign_in_to_console(page)
    await _go_to(page, "Stores")
    await (
        page.get_by_role("link", name="Make a store")
        .or_(page.get_by_role("link", name="Make the first store"))
        .first.click()
    )
    await page.get_by_label("Name").fill(f"Hats {XSS}")
    await page.get_by_label("Domain").fill("hats.example")
    await page.get_by_label("Opening credits").fill("500")
    await page.get_by_label("Origins of the first key").fill("not an origin")
    await page.get_by_label("Reason").fill("A new customer")
    await _refused(page, "Make the store")
    await expect(page.get_by_label("Name")).to_have_value(f"Hats {XSS}")
    await page.get_by_label("Origins of the first key").fill("https://hats.example")
    # A double click makes one.
    await page.get_by_role("button", name="Make the store").dblclick()
    await page.get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    key = await page.evaluate("navigator.clipboard.readText()")
    assert key == await page.locator("#secret").text_content()
    await good_for_everybody(page)
    stores = data_of(await operator.get("/stores", search="hats.example"))["items"]
    assert [(store["name"], store["balance"]) for store in stores] == [(f"Hats {XSS}", 500)]
    await page.get_by_role("link", name="To the store").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"Hats {XSS}")
    assert (await page.title()).startswith("Overview · Hats <img")
    answer = await operator.http.get(
        "/api/v1/credits/balance", headers={"Authorization": f"Bearer {key}"}
    )
    assert data_of(answer)["balance"] == 500


async def _refused(page: Page, button: str) -> None:
    """The form says what is wrong with it; the answer's status is one that no other page has."""
    async with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
        await page.get_by_role("button", name=button).click()
    assert (await answered.value).status == 400
    await expect(page.get_by_role("alert")).to_contain_text("Nothing was done")
    await good_for_everybody(page)


async def test_a_store_is_found_sorted_and_read_from_page_to_page(
    page: Page, operator: Operator, store: StoreClient
) -> None:
    await operator.store(name="Zebra prints", credits=3)
    for _ in range(3):
        await store.created()
    await sign_in_to_console(page)
    await page.goto("/console/stores")
    await page.get_by_label("Name, domain or id").fill("zebra")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Zebra prints").click()
    await expect(page.locator("[data-live=balance]")).to_have_text("3")
    await page.goto(f"/console/stores/{store.store_id}")
    await page.get_by_role("link", name="90 days").click()
    await expect(page.get_by_role("link", name="90 days")).to_have_attribute("aria-current", "true")
    await page.get_by_role("link", name="Ledger", exact=True).click()
    await page.get_by_label("What").select_option("Spent")
    await page.get_by_role("button", name="Show").click()
    await expect(page.locator("tbody tr")).to_have_count(3)
    await good_for_everybody(page)
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Download as CSV").click()
    download = await downloading.value
    assert download.suggested_filename == f"transactions-{store.store_id}.csv"
    assert len(Path(await download.path()).read_text().splitlines()) == 4
    await page.locator("tbody tr").first.get_by_role("link").click()
    await expect(page).to_have_url(re.compile(r"/console/look-up\?id=."))


async def test_a_filter_that_is_not_taken_is_said(page: Page, watch: Watch) -> None:
    watch.allow(400)
    await sign_in_to_console(page)
    await page.goto("/console/stores?below=-3")
    await expect(page.get_by_role("alert")).to_contain_text(
        "Fewer credits than: This must be at least 0."
    )
    await good_for_everybody(page)


async def test_a_grant_is_given_another_end(
    page: Page, operator: Operator, store: StoreClient
) -> None:
    await sign_in_to_console(page)
    await page.goto(f"/console/stores/{store.store_id}")
    await page.get_by_role("link", name="Grants and holds").click()
    await page.get_by_role("link", name="Change the end").click()
    await page.get_by_label("Ends at").fill("2999-05-06T07:08")
    await page.get_by_role("button", name="Set the end").dblclick()
    await expect(page.get_by_role("status").first).to_contain_text("The end is set.")
    await good_for_everybody(page)
    [grant] = data_of(await operator.get(f"/stores/{store.store_id}/grants"))["items"]
    assert grant["expires_at"] == "2999-05-06T11:08:00Z", "it was typed in New York"


async def test_an_end_user_is_found_blocked_let_in_and_erased(
    page: Page, operator: Operator
) -> None:
    user = user_of(operator.http)
    await user.balance()
    await sign_in_to_console(page)
    await _go_to(page, "End users")
    await page.get_by_label("Id, or a part of it").fill(str(user.user_id)[:20])
    await page.get_by_role("button", name="Show").click()
    await page.get_by_role("link", name=str(user.user_id)).click()
    for link, button, said in (
        ("Block this user", "Block this user", "Blocked: "),
        ("Let this user in again", "Let this user in again", "Let in again."),
        ("Erase what is personal", "Erase for ever", "Erased. "),
    ):
        await page.get_by_role("link", name=link).first.click()
        await good_for_everybody(page)
        await page.get_by_role("button", name=button).dblclick()
        await expect(page.locator(".notice.good")).to_contain_text(said)
    view = data_of(await operator.get(f"/users/{user.user_id}"))
    assert view["status"] == "erased"


async def test_a_store_is_let_into_its_portal_by_a_link(
    page: Page, browsing: Browsing, store: StoreClient
) -> None:
    await sign_in_to_console(page)
    await page.goto(f"/console/stores/{store.store_id}")
    await page.get_by_role("link", name="Link to its portal").click()
    await page.get_by_role("button", name="Make the link").click()
    link = await page.locator("#secret").text_content()
    assert link is not None
    theirs = await browsing()
    await theirs.goto(link)
    await expect(theirs).to_have_url("/portal")
    await expect(theirs.locator("[data-live=balance]")).to_have_text("100")
