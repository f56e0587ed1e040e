"""Tables on a narrow screen: each row says what is most telling without being scrolled to."""

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.judging import HEIGHT, NARROW, WIDE
from tests.browser.signing_in import sign_in_to_console, sign_in_to_portal
from tests.web.doors import StoreClient, data_of

SEEN = """(cell) => {
    const box = cell.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && box.left >= 0 && box.right <= innerWidth;
}"""


async def moved(store: StoreClient) -> None:
    body = {"amount": 14, "description": "A report whose name is long enough to be wrapped"}
    headers = {"Idempotency-Key": "spend-of-a-long-name-that-no-line-holds"}
    answer = await store.send("POST", "/api/v1/credits/spend", headers=headers, json=body)
    data_of(answer, 201)


async def top_of(cell: Locator) -> float:
    box = await cell.bounding_box()
    assert box is not None
    return box["y"]


async def assert_seen(row: Locator, texts: list[str]) -> None:
    """Each stands in a cell of the row that is within the screen."""
    for text in texts:
        cell = row.locator("th, td").filter(has_text=text).first
        assert await cell.evaluate(SEEN), text


@pytest.mark.parametrize(
    "path, table",
    [
        ("/console", "Newest movements of credits"),
        ("/console/stores/{}", "Newest movements of credits"),
        ("/console/stores/{}/ledger", "Movements, newest first"),
        ("/portal", "Newest movements of credits"),
        ("/portal/ledger", "Movements, newest first"),
    ],
)
async def test_a_movement_says_when_what_how_many_and_what_was_left(
    page: Page, store: StoreClient, path: str, table: str
) -> None:
    await moved(store)
    if path.startswith("/portal"):
        await sign_in_to_portal(page, store.api_key)
    else:
        await sign_in_to_console(page)
    await page.goto(path.format(store.store_id))
    await page.set_viewport_size({"width": NARROW, "height": HEIGHT})
    found = page.get_by_role("table", name=table)
    row = found.locator("tbody tr").filter(has_text="A report").first
    await assert_seen(row, ["A report", "−14", "86", "202"])
    first, second = row.locator("[data-main]"), row.locator('[data-label="Balance after"]')
    assert await top_of(first) < await top_of(second)
    await page.set_viewport_size({"width": WIDE, "height": HEIGHT})
    assert await top_of(first) == await top_of(second)


async def test_programs_that_read_pages_still_find_a_table(page: Page, store: StoreClient) -> None:
    await moved(store)
    await sign_in_to_console(page)
    await page.set_viewport_size({"width": NARROW, "height": HEIGHT})
    await page.goto(f"/console/stores/{store.store_id}/ledger")
    table = page.get_by_role("table", name="Movements, newest first")
    headings = ["What", "Credits", "Balance after", "When", "Request"]
    await expect(table.get_by_role("columnheader")).to_have_text(headings)
    await expect(table.get_by_role("row")).to_have_count(3)
    spent = table.get_by_role("row").filter(has=page.get_by_role("rowheader", name="Spent"))
    await expect(spent.get_by_role("cell")).to_have_count(4)
    await expect(spent.get_by_role("cell", name="−14")).to_be_visible()


@pytest.mark.parametrize(
    "path, table",
    [("/portal", "Newest generations"), ("/portal/generations", "Generations, newest first")],
)
async def test_a_card_has_no_line_for_a_cause_that_there_is_not(
    page: Page, store: StoreClient, path: str, table: str
) -> None:
    await store.created("order-1")
    await sign_in_to_portal(page, store.api_key)
    await page.goto(path)
    row = page.get_by_role("table", name=table).locator("tbody tr").first
    cause = row.locator('[data-label="Cause"]')
    await expect(cause).to_be_visible()
    await page.set_viewport_size({"width": NARROW, "height": HEIGHT})
    await expect(row).to_be_visible()
    await expect(cause).to_be_hidden()


async def test_nothing_is_said_of_how_long_jobs_wait_where_none_does(page: Page) -> None:
    await sign_in_to_console(page)
    tile = page.locator(".tile").filter(has_text="Jobs that wait")
    await expect(tile.get_by_text("being worked on")).to_be_visible()
    await expect(tile.get_by_text("for up to")).to_be_hidden()


async def test_the_figure_of_a_card_stays_on_its_first_line_when_details_are_opened(
    page: Page, store: StoreClient
) -> None:
    await moved(store)
    await sign_in_to_portal(page, store.api_key)
    await page.goto("/portal/ledger")
    await page.set_viewport_size({"width": NARROW, "height": HEIGHT})
    row = page.get_by_role("table", name="Movements, newest first").locator("tbody tr").first
    figure, summary = row.locator("[data-main]"), row.locator("summary")
    before = await top_of(figure)
    await summary.click()
    await expect(row.locator("details dl")).to_be_visible()
    assert await top_of(figure) == before < await top_of(summary)
    assert await figure.evaluate(SEEN)
