"""What is done on the console's pages, in a real browser: seen beforehand, and once per form."""

import asyncpg
import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Browsing
from tests.browser.judging import good_for_everybody
from tests.browser.signing_in import sign_in_to_console
from tests.browser.watching import Watch
from tests.web.doors import Operator, StoreClient, data_of
from tests.web.table_rows import Rows

URL = "https://hats.example/hooks"


@pytest.fixture
async def console(page: Page) -> Page:
    await sign_in_to_console(page)
    return page


async def test_a_double_click_adds_credits_once(
    console: Page, store: StoreClient, rows: Rows
) -> None:
    await console.goto(f"/console/stores/{store.store_id}/credits")
    await console.get_by_role("link", name="Add credits…").click()
    await console.get_by_label("Credits", exact=True).fill("40")
    await console.get_by_role("button", name="See what will be").click()
    row = console.get_by_role("region", name="Balances before and afterwards")
    await expect(row.get_by_role("cell", name="140")).to_be_visible()
    await good_for_everybody(console)
    assert len(await rows.ledger(store.store_id)) == 1
    await console.get_by_role("button", name="Add 40 credits").dblclick()
    await expect(console.get_by_role("status")).to_contain_text("40 credits were added")
    assert [row["amount"] for row in await rows.ledger(store.store_id)] == [100, 40]
    # Whoever goes back is asked anew, and sees what is there by now.
    await console.go_back()
    await expect(row.get_by_role("cell", name="180")).to_be_visible()


async def test_a_key_is_made_copied_and_not_shown_again(console: Page, store: StoreClient) -> None:
    await console.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await console.goto(f"/console/stores/{store.store_id}/keys/new")
    await console.get_by_label("Label").fill("till")
    await console.get_by_role("button", name="Make the key").click()
    key = await console.locator("#secret").inner_text()
    await good_for_everybody(console)
    await console.get_by_role("button", name="Copy").click()
    await expect(console.get_by_role("button", name="Copied")).to_be_visible()
    assert await console.evaluate("navigator.clipboard.readText()") == key
    assert data_of(await StoreClient(store.http, "", "", key).get("/api/v1/credits/balance"))
    await console.get_by_role("link", name="All keys").click()
    await expect(console.get_by_role("link", name="till")).to_be_visible()
    assert key not in await console.content()


async def test_all_of_it_works_without_a_script(
    browsing: Browsing, operator: Operator, store: StoreClient, rows: Rows
) -> None:
    page = await browsing(java_script_enabled=False)
    await sign_in_to_console(page)
    other = await operator.store(name="Other shop", credits=5)
    at = f"/console/stores/{store.store_id}"
    await page.goto(f"{at}/credits/transfer")
    await page.get_by_role("textbox", name="To").fill("Other shop")
    await page.get_by_label("Credits", exact=True).fill("30")
    await page.get_by_role("button", name="See what will be").click()
    await page.get_by_label("Reason").fill("one owner")
    await page.get_by_role("button", name="Hand 30 credits over").click()
    await expect(page.get_by_role("status")).to_contain_text("30 credits were handed over")
    assert (await rows.credits(other.store_id))["balance"] == 35
    await page.goto(f"{at}/settings")
    await page.get_by_role("link", name="Suspend the store…").click()
    await page.get_by_role("button", name="Suspend").click()
    await expect(page.get_by_role("status")).to_contain_text("The store is suspended")


async def test_an_endpoint_is_registered_told_and_deleted(
    console: Page, watch: Watch, store: StoreClient, admin: asyncpg.Connection
) -> None:
    watch.allow(400)
    await console.goto(f"/console/stores/{store.store_id}/webhooks")
    await console.get_by_role("link", name="Register the first").click()
    await console.get_by_label("URL").fill("nonsense")
    await console.get_by_label("All there are, and will be").uncheck()
    await console.get_by_label("credits.low").check()
    await console.get_by_role("button", name="Register the endpoint").click()
    await expect(console.get_by_role("alert")).to_contain_text("Nothing was done")
    await good_for_everybody(console)
    assert await console.get_by_label("credits.low").is_checked()
    await console.get_by_label("URL").fill(URL)
    await console.get_by_role("button", name="Register the endpoint").dblclick()
    await expect(console.locator("#secret")).to_contain_text("whsec_")
    await console.get_by_role("link", name="The endpoint's page").click()
    await console.get_by_role("button", name="Send a test event").dblclick()
    await expect(console.get_by_role("status")).to_contain_text("on its way")
    mine = "SELECT count(*) FROM storecredit.webhook_endpoints WHERE url = $1"
    assert await admin.fetchval(mine, URL) == 1
    assert await admin.fetchval("SELECT count(*) FROM storecredit.events") == 1
    await console.go_back()
    await console.get_by_role("link", name="Delete…").click()
    await console.get_by_role("button", name="Delete it").click()
    await expect(console.get_by_role("status")).to_contain_text("is deleted")
    assert await admin.fetchval(mine, URL) == 0
