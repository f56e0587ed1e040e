"""Pages that stay open: what happens meanwhile appears on them, as text, without a reload."""

import re
from collections.abc import Mapping

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from storecredit.web.pages import live as live_events
from tests.browser.conftest import Browsing
from tests.browser.judging import good_for_everybody
from tests.browser.signing_in import sign_in_to_console, sign_in_to_portal
from tests.browser.watching import Watch
from tests.log_stream import LogStream
from tests.running_listener import until
from tests.web.doors import Operator, StoreClient, data_of
from tests.web.holding import end, hold

SCRIPT = "<img src=x onerror=\"document.body.id='taken'\">"
STATE = ".live-state"
BROWSERS, WINDOWS, CONSOLES = 2, 5, 10
LOOKS = """(row) => [row, ...row.querySelectorAll("*")].map((each) => [
    each.localName,
    ...[...each.attributes].map(({ name, value }) => `${name}=${value.trim()}`).sort(),
    each.children.length ? "" : each.textContent.trim(),
])"""
HIDE = """(isHidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, value: isHidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def store(operator: Operator) -> StoreClient:
    return await operator.store()


def newest(page: Page, name: str) -> Locator:
    """The first row of a list."""
    return page.locator(f'tbody[data-live-rows="{name}"] > tr').first


async def says(page: Page, text: str | re.Pattern[str]) -> None:
    await expect(page.locator(STATE)).to_contain_text(text)


async def on(page: Page, address: str) -> Page:
    """Another page of the same browser, live."""
    other = await page.context.new_page()
    await other.goto(address)
    await says(other, "Live")
    return other


def requests(log: LogStream, route: str) -> list[Mapping[str, object]]:
    """Those that were answered to their end."""
    return [line for line in log.events("request") if line["route"] == route]


async def test_what_is_created_appears_on_console_store_page_and_portal(
    page: Page, browsing: Browsing, operator: Operator
) -> None:
    store = await operator.store(name=SCRIPT)
    await sign_in_to_console(page)
    await says(page, "Live")
    of_store = await on(page, f"/console/stores/{store.store_id}")
    portal = await browsing()
    await sign_in_to_portal(portal, store.api_key)
    await says(portal, "Live")
    request_id = "order <b>7</b>/?&=%"

    session_id = await store.created("order-7")
    answer = await store.send(
        "POST",
        "/api/v1/credits/spend",
        headers={"Idempotency-Key": request_id},
        json={"amount": 40, "description": SCRIPT},
    )
    assert answer.is_success, answer.text

    of_all = newest(page, "latest")
    await expect(of_all).to_contain_text("−40")
    await expect(of_all.get_by_role("link", name=SCRIPT)).to_have_attribute(
        "href", f"/console/stores/{store.store_id}"
    )
    # Once at the creation, and not again for each time that is told.
    await expect(page.locator('[data-key$=".2"]')).to_have_count(1)
    for each in (of_store, portal):
        row = newest(each, "movements")
        await expect(row).to_contain_text(SCRIPT)
        await expect(row.locator(".id")).to_have_attribute("title", request_id)
        await expect(each.locator(".balance .figure")).to_have_text("59")
        generation = newest(each, "generations")
        await expect(generation.locator(".id")).to_have_attribute("title", session_id)
        # The worker has it, and the page follows.
        await expect(generation.locator(".status")).to_have_text("Completed")
        await expect(generation.locator(".status")).to_have_class(re.compile("good"))
        await expect(each.get_by_text("Nothing was generated yet.")).to_be_hidden()
    await expect(newest(of_store, "movements").get_by_role("link")).to_have_attribute(
        "href", re.compile(r"/console/look-up\?id=order%20%3Cb%3E7%3C%2Fb%3E%2F%3F%26%3D%25$")
    )
    for each in (page, of_store, portal):
        assert await each.locator("img").count() == 0, "nothing told is taken for markup"
        assert await each.locator("body").get_attribute("id") is None
        await good_for_everybody(each)


async def test_a_row_that_came_looks_as_after_a_reload(
    page: Page, operator: Operator, store: StoreClient
) -> None:
    await sign_in_to_console(page)
    pages = {"latest": page, "movements": await on(page, f"/console/stores/{store.store_id}")}
    await store.created("order-8")
    for name, each in pages.items():
        row = newest(each, name)
        await expect(row.locator(".id")).to_have_attribute("title", "order-8")
        came = await row.evaluate(LOOKS)
        await each.reload()
        await says(each, "Live")
        assert await newest(each, name).evaluate(LOOKS) == came


async def test_what_moved_nothing_in_the_balance_says_how_many_credits_it_is_of(
    page: Page, store: StoreClient
) -> None:
    await sign_in_to_portal(page, store.api_key)
    await says(page, "Live")
    held = await hold(store, "hold-1", 9)
    await end(store, data_of(held, 201)["hold_id"], "capture")
    for _ in ("as it came", "as it is"):
        row = newest(page, "movements")
        await expect(row.locator("[data-main]")).to_have_text("9")
        await expect(row).to_contain_text("Spent of what was set aside")
        await page.reload()


async def test_the_pages_say_the_same_without_a_script(
    browsing: Browsing, operator: Operator, store: StoreClient
) -> None:
    await store.created("order-9")
    page = await browsing(java_script_enabled=False)
    await sign_in_to_console(page)
    await expect(newest(page, "latest")).to_contain_text("Generation")
    await expect(page.locator(STATE)).to_have_text("")
    await page.goto(f"/console/stores/{store.store_id}")
    await expect(newest(page, "movements")).to_contain_text("−1")
    await expect(newest(page, "generations").locator(".id")).to_be_visible()


async def test_whoever_wants_it_to_stand_still_has_it_stand_still(
    page: Page, store: StoreClient, log: LogStream
) -> None:
    await sign_in_to_console(page)
    await says(page, "Live")
    await page.get_by_role("button", name="Pause").click()
    await says(page, "Paused")
    await until(lambda: len(requests(log, "/console/events")) == 1)
    await store.created("order-10")
    await expect(newest(page, "latest").locator(".id")).not_to_have_attribute("title", "order-10")
    await page.get_by_role("button", name="Go on").click()
    await says(page, "Live")
    await expect(newest(page, "latest").locator(".id")).to_have_attribute("title", "order-10")


async def test_signed_out_in_another_window_it_says_so_and_stops(
    page: Page, monkeypatch: pytest.MonkeyPatch, log: LogStream
) -> None:
    monkeypatch.setattr(live_events, "SIGN_IN_SECONDS", 0.1)
    await sign_in_to_console(page)
    await says(page, "Live")
    other = await on(page, "/console")
    await other.get_by_role("button", name="Sign out").click()
    await expect(other.get_by_text("You are signed out.")).to_be_visible()
    await says(page, "You are signed out")
    await until(lambda: len(requests(log, "/console/events")) == 2)
    await page.locator(STATE).get_by_role("link", name="Sign in").click()
    await expect(page.get_by_label("Token")).to_be_visible()


async def test_a_page_that_nobody_sees_lets_its_connection_go(
    page: Page, store: StoreClient, log: LogStream
) -> None:
    await sign_in_to_console(page)
    await says(page, "Live")
    await page.evaluate(HIDE, arg=True)
    await until(lambda: len(requests(log, "/console/events")) == 1)
    await store.created("order-11")
    await page.evaluate(HIDE, arg=False)
    await expect(newest(page, "latest").locator(".id")).to_have_attribute("title", "order-11")


async def test_many_consoles_are_told_at_once(browsing: Browsing, store: StoreClient) -> None:
    pages: list[Page] = []
    for _ in range(BROWSERS):
        page = await browsing()
        await sign_in_to_console(page)
        await says(page, "Live")
        pages += [page, *[await on(page, "/console") for _ in range(WINDOWS - 1)]]
    assert len(pages) == CONSOLES
    await store.created("order-12")
    for each in pages:
        await expect(newest(each, "latest").locator(".id")).to_have_attribute("title", "order-12")


async def test_a_page_that_is_told_no_more_does_without(
    page: Page, monkeypatch: pytest.MonkeyPatch, watch: Watch
) -> None:
    monkeypatch.setattr("storecredit.operator.live.WATCHERS_MAX", 0)
    watch.allow(503)
    await sign_in_to_console(page)
    await says(page, "Connection lost, trying again")
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    monkeypatch.undo()
    await says(page, "Up to date again")
