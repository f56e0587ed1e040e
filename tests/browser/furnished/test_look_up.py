"""What an id names, as people look it up: pasted into any page, readable for everybody."""

import re
from collections.abc import Callable

import asyncpg
import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.furnished.furnishing import SET_ASIDE, Furnished
from tests.browser.furnished.planting import assert_nothing_grew, planted
from tests.browser.judging import good_for_everybody
from tests.browser.signing_in import sign_in_to_console
from tests.browser.watching import Watch
from tests.impatient_reads import give_up_soon

IDS: dict[str, Callable[[Furnished], str]] = {
    "a request with a picture": lambda there: there.values["request_id"],
    "its generation": lambda there: there.values["session_id"],
    "a hold": lambda there: there.values["hold_id"],
    "a grant, of two owners": lambda _: "grant-1",
    "a transfer": lambda _: "transfer-1",
    "a webhook": lambda there: there.of_store["event_id"],
    "Paddle's event that was set aside": lambda _: SET_ASIDE,
    "a store": lambda there: there.store.store_id,
    "an end user": lambda there: str(there.user.user_id),
    "a key": lambda there: there.values["key_id"],
    "an endpoint": lambda there: there.of_store["endpoint_id"],
    "the operator's endpoint": lambda there: there.values["endpoint_id"],
    "a token": lambda there: there.values["token_id"],
    "what nobody knows": lambda _: planted("id"),
}


async def look_up(page: Page, identifier: str) -> None:
    """By the field that every page has."""
    await page.get_by_role("searchbox", name="Look up an id").fill(identifier)
    await page.get_by_role("search").get_by_role("button", name="Look up").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text(identifier)


def happened(page: Page) -> Locator:
    return page.get_by_label("What happened, oldest first").get_by_role("listitem")


@pytest.mark.parametrize("wanted", IDS.values(), ids=list(IDS))
async def test_whatever_is_found_is_for_everybody_and_shown_as_text(
    page: Page, furnished: Furnished, wanted: Callable[[Furnished], str]
) -> None:
    await sign_in_to_console(page)
    await look_up(page, wanted(furnished))
    await good_for_everybody(page)
    await assert_nothing_grew(page)
    is_unknown = wanted(furnished) == planted("id")
    await expect(page.get_by_text("Nothing has this id")).to_have_count(int(is_unknown))


async def test_a_life_leads_on_to_its_owner_its_picture_and_its_webhook(
    page: Page, furnished: Furnished
) -> None:
    await sign_in_to_console(page)
    await look_up(page, furnished.values["request_id"])
    await expect(happened(page).first).to_contain_text("Accepted")
    await expect(happened(page).nth(1)).to_contain_text("credit taken")
    await expect(page.get_by_text(re.compile(r"\d m?s later")).first).to_be_visible()
    assert await page.get_by_role("img", name=re.compile("Result of")).evaluate(
        "(image) => image.decode().then(() => image.naturalWidth)"
    )
    owner = page.get_by_role("link", name=planted("store"))
    assert await owner.get_attribute("href") == f"/console/stores/{furnished.store.store_id}"
    told = happened(page).filter(has_text="Webhook generation.completed written")
    link = told.get_by_role("link", name=re.compile("^evt_"))
    webhook_id = await link.inner_text()
    await link.click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text(webhook_id)
    await expect(happened(page).first).to_contain_text("Accepted")
    await expect(page.get_by_text("a webhook", exact=True)).to_be_visible()


async def test_a_generation_that_was_refused_tells_the_generators_own_words(
    page: Page, furnished: Furnished
) -> None:
    await sign_in_to_console(page)
    await look_up(page, "order-2")
    failed = happened(page).filter(has_text="Attempt 1 failed")
    await expect(failed).to_contain_text("The generator said")
    await expect(failed).to_contain_text(planted("generator"))
    await expect(happened(page).filter(has_text="given back")).to_have_count(1)
    assert furnished.values["request_id"] != "order-2"


async def test_a_life_leads_on_to_the_ledger_and_the_audit_log(
    page: Page, furnished: Furnished
) -> None:
    await sign_in_to_console(page)
    await look_up(page, "removal-1")
    await page.get_by_role("link", name="Its movements in the ledger").click()
    await expect(page).to_have_url(re.compile(f"{furnished.store.store_id}/ledger"))
    await expect(page.get_by_role("row").filter(has_text="removal-1")).to_have_count(1)
    await page.go_back()
    await page.get_by_role("link", name="What they did, in the audit log").click()
    await expect(page.get_by_role("row").filter(has_text="credits.remove")).to_have_count(1)


async def test_what_is_several_owners_is_narrowed_to_one(page: Page, furnished: Furnished) -> None:
    await sign_in_to_console(page)
    await look_up(page, "grant-1")
    await expect(page.get_by_role("heading", level=2, name="Request grant-1")).to_have_count(2)
    await page.get_by_label("Whose").fill(f"user:{furnished.user.user_id}")
    await page.get_by_role("main").get_by_role("button", name="Look up").click()
    await expect(page.get_by_role("heading", level=2, name="Request grant-1")).to_have_count(1)
    await expect(page.get_by_label("Still to come")).to_contain_text("expires")


async def test_nobody_of_a_name_and_a_pasted_secret_are_said_to_be(
    page: Page, furnished: Furnished, watch: Watch
) -> None:
    watch.allow(400)
    await sign_in_to_console(page)
    await page.goto("/console/look-up?id=grant-1&of=nobody.example")
    await expect(page.get_by_text("no store or end user of this name")).to_be_visible()
    await good_for_everybody(page)
    await page.goto(f"/console/look-up?id={furnished.store.api_key}")
    await expect(page.get_by_text("That is a secret, not an id")).to_be_visible()
    assert furnished.store.api_key not in await page.content()
    await good_for_everybody(page)


async def test_a_search_that_takes_too_long_is_given_up_and_says_how_to_ask_less(
    page: Page,
    furnished: Furnished,
    watch: Watch,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch.allow(503)
    await sign_in_to_console(page)
    with monkeypatch.context() as patch:
        give_up_soon(patch)
        async with admin.transaction():
            await admin.execute("LOCK TABLE storecredit.movements IN ACCESS EXCLUSIVE MODE")
            await page.goto("/console/look-up?id=grant-1")
    await expect(page.get_by_text("Say whose the id is")).to_be_visible()
    await good_for_everybody(page)
    await page.get_by_label("Whose").fill(furnished.store.store_id)
    await page.get_by_role("main").get_by_role("button", name="Look up").click()
    await expect(page.get_by_role("heading", level=2, name="Request grant-1")).to_be_visible()
