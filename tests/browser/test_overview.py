"""The overview in a browser: charts for everybody, and moments in the viewer's zone."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import asyncpg
from playwright.async_api import Page, expect

from tests.browser.conftest import Browsing
from tests.browser.judging import WAIT_SECONDS_MAX, good_for_everybody
from tests.browser.signing_in import sign_in_to_console
from tests.sql.recounted import DAYS_ANEW
from tests.web.doors import Operator

HOURLY = """
    INSERT INTO storecredit.hourly_sums
        (hour, owner_kind, type, cause, movements, generations, credits)
    SELECT date_trunc('hour', now(), 'UTC') - make_interval(hours => i), k, t, c, 9, 9, 90
    FROM generate_series(-1, 40) i, (VALUES ('store'), ('user')) k (k),
        (VALUES ('deduction', ''), ('refund', 'GENERATOR_TIMEOUT'), ('refund', 'GENERATION_FAILED'),
            ('purchase', ''), ('grant', ''), ('expiry', ''), ('clawback', '')) t (t, c)
    ON CONFLICT DO NOTHING"""
UNCOUNTED = "SELECT NOT EXISTS (SELECT FROM storecredit.summing WHERE money_at IS NOT NULL)"
PAID = """
    INSERT INTO storecredit.daily_money (day, paid, returned, currency)
    SELECT (now() AT TIME ZONE 'UTC')::date - i, 900 * i, 10 * i, c
    FROM generate_series(1, 20) i, (VALUES ('USD'), ('EUR'), ('JPY')) c (c)
    ON CONFLICT DO NOTHING"""


async def full(page: Page, admin: asyncpg.Connection, address: str = "/console") -> None:
    """The overview of a service in which much has happened."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        # The service, which tells nobody, makes the sums of money anew when it starts.
        while await admin.fetchval(UNCOUNTED):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.02)
    await admin.execute(HOURLY)
    await admin.execute(DAYS_ANEW)
    await admin.execute(PAID)
    await sign_in_to_console(page)
    await page.goto(address)


async def test_charts_are_good_for_everybody_with_their_figures_open(
    page: Page, admin: asyncpg.Connection
) -> None:
    for address in ("/console?span=24h", "/console?span=12m&owners=stores"):
        await full(page, admin, address)
        summaries = page.locator("figure summary")
        assert await summaries.count() == 6
        # By the keyboard alone.
        for summary in await summaries.all():
            await summary.press("Enter")
        await expect(page.locator("figure details[open] table")).to_have_count(6)
        await good_for_everybody(page)


async def test_a_chart_is_as_wide_as_its_place_and_its_texts_keep_their_size(
    page: Page, admin: asyncpg.Connection
) -> None:
    await full(page, admin)
    figure = page.locator("#chart-spent")
    label = figure.locator(".x-axis span").last
    sizes = []
    for width in (1280, 360):
        await page.set_viewport_size({"width": width, "height": 800})
        plot, outer = await figure.locator(".plot").bounding_box(), await figure.bounding_box()
        text = await label.bounding_box()
        assert plot is not None
        assert outer is not None
        assert text is not None
        assert outer["width"] * 0.7 < plot["width"] < outer["width"]
        assert text["x"] + text["width"] <= outer["x"] + outer["width"]
        sizes.append(text["height"])
    assert sizes[0] == sizes[1] >= 12


async def test_labels_below_a_chart_do_not_touch_each_other(
    page: Page, admin: asyncpg.Connection
) -> None:
    for address in ("/console", "/console?span=24h", "/console?span=12m"):
        await full(page, admin, address)
        for width in (1280, 360):
            await page.set_viewport_size({"width": width, "height": 800})
            for chart in ("spent", "failures", "money-1"):
                labels = page.locator(f"#chart-{chart} .x-axis span:visible")
                boxes = [await each.bounding_box() for each in await labels.all()]
                assert len(boxes) >= 3
                ends = [(box["x"], box["x"] + box["width"]) for box in boxes if box is not None]
                assert all(end + 4 < begin for (_, end), (begin, _) in pairwise(ends)), (
                    address,
                    width,
                    chart,
                )


async def test_colours_of_charts_are_others_in_the_dark(
    page: Page, admin: asyncpg.Connection
) -> None:
    await full(page, admin)
    colours = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        swatch = page.locator("#chart-spent pattern .ground").first
        colours.append(await swatch.evaluate("(each) => getComputedStyle(each).fill"))
    assert len(set(colours)) == 2
    assert all(re.fullmatch(r"rgb\(\d+, \d+, \d+\)", colour) for colour in colours)


async def test_hours_are_told_in_the_viewers_zone_and_in_utc_where_there_is_no_script(
    browsing: Browsing, admin: asyncpg.Connection
) -> None:
    page = await browsing(timezone_id="Asia/Kolkata")
    await full(page, admin, "/console?span=24h")
    row = page.locator("#chart-spent tbody th").first
    told = datetime.fromisoformat(await row.locator("time").get_attribute("datetime") or "")
    local = told + timedelta(hours=5, minutes=30)
    assert abs(datetime.now(UTC) - told) < timedelta(hours=2)
    await expect(page.locator("#chart-spent .x-axis time").last).to_have_text(
        re.compile(local.strftime("%H:%M"))
    )
    title = await page.locator("#chart-spent .slot title").last.text_content()
    assert title is not None
    assert local.strftime(":%M") in title
    assert "Spent 180" in title
    without = await browsing(java_script_enabled=False)
    await sign_in_to_console(without)
    await without.goto("/console?span=24h")
    await without.locator("#chart-spent summary").click()
    assert (await without.locator("#chart-spent tbody th").first.inner_text()).endswith("UTC")


async def test_time_and_whose_are_changed_by_the_keyboard(
    page: Page, admin: asyncpg.Connection
) -> None:
    await full(page, admin)
    await page.get_by_role("link", name="24 hours").press("Enter")
    await page.wait_for_url("**/console?span=24h")
    await (
        page.get_by_role("navigation", name="Whose")
        .get_by_role("link", name="End users")
        .press("Enter")
    )
    await page.wait_for_url("**/console?span=24h&owners=users")
    await expect(page.locator("#chart-spent .slot")).to_have_count(24)
    await page.get_by_role("link", name="Failure rate").click()
    await expect(page.locator("#failures")).to_be_in_viewport()


async def test_what_moves_meanwhile_is_on_the_page_by_itself(
    page: Page, operator: Operator
) -> None:
    await sign_in_to_console(page)
    store = await operator.store(name="Late Hats")
    row = page.get_by_role("row").filter(has_text="Late Hats")
    await expect(row.first).to_be_visible()
    await store.created()
    await expect(row.filter(has_text="Generation").first).to_be_visible()
