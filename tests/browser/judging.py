"""Whether people can use a page: by the rules of axe-core, light and dark, on a narrow screen."""

import asyncio
import json
from typing import Any, Final

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page

WCAG: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
"""WCAG 2.2 at level AA, by axe-core's tags. Its one rule of 2.2 runs only when it is asked for."""

WAIT_SECONDS_MAX: Final = 90.0
"""How long a busy machine may take for a page, or for what is waited for on one."""
NARROW: Final = 360
WIDE: Final = 1280
HEIGHT: Final = 800
WIDER: Final = """(limit) => [...document.querySelectorAll("body *")]
    .filter((one) => one.getBoundingClientRect().right > limit + 1)
    .slice(0, 5).map((one) => one.outerHTML.slice(0, 160))"""


SCROLLED: Final = """() => {
    const closed = [...document.querySelectorAll("details:not([open])")];
    for (const each of closed) each.open = true;
    const scrolled = [...document.querySelectorAll("table")].map((table) => table.parentElement)
        .filter((box) => box.checkVisibility() && box.scrollWidth > box.clientWidth)
        .map((box) => box.outerHTML.slice(0, 160)).join("\\n");
    for (const each of closed) each.open = false;
    return scrolled;
}"""


# What passed is not sent along: that is a tenth of the work.
FOUND: Final = """(options) => axe.run(options).then((found) =>
    ({passes: found.passes.length, violations: found.violations}))"""


async def axe(page: Page) -> None:
    """No rule of WCAG 2.2 AA that a program can judge is broken on the page as it is now."""
    options = {"runOnly": WCAG, "resultTypes": ["violations"]}
    # Where scripts are off it never ends.
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        if not await page.evaluate("typeof axe === 'object'"):
            await page.evaluate(AXE_SCRIPT)
        found = await page.evaluate(FOUND, options)
    assert found["passes"], f"{page.url}: no rule had anything to judge"
    broken = "\n".join(map(_told, found["violations"]))
    assert not broken, f"{page.url} at {page.viewport_size}:\n{broken}"


def _told(violation: dict[str, Any]) -> str:
    """A rule, and where it is broken and why."""
    nodes = (
        f"  {json.dumps(node['target'])} {node['html']}\n    {node['failureSummary']}"
        for node in violation["nodes"]
    )
    return "\n".join([f"{violation['id']}: {violation['help']}", *nodes])


async def fits(page: Page, width: int = NARROW) -> None:
    """On a screen of this many CSS pixels nothing has to be scrolled sideways but what says so."""
    await page.set_viewport_size({"width": width, "height": HEIGHT})
    wanted, there = await page.evaluate(
        "() => [document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]"
    )
    if wanted > there:
        wider = "\n".join(await page.evaluate(WIDER, there))
        raise AssertionError(f"{page.url} is {wanted} pixels wide on a screen of {there}:\n{wider}")


async def tables_fit(page: Page) -> None:
    """On a narrow screen no table, opened as far as it can be, has to be scrolled sideways."""
    await page.set_viewport_size({"width": NARROW, "height": HEIGHT})
    scrolled = await page.evaluate(SCROLLED)
    assert not scrolled, f"{page.url}: these tables have to be scrolled sideways:\n{scrolled}"


async def good_for_everybody(page: Page) -> None:
    """All of it: dark on a narrow screen, light on a wide one; leaves the page so."""
    await fits(page, NARROW)
    await tables_fit(page)
    await page.emulate_media(color_scheme="dark")
    await axe(page)
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size({"width": WIDE, "height": HEIGHT})
    await axe(page)
