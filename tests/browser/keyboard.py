"""A page used without a mouse: what the Tab key reaches, and whether one sees where one is."""

import asyncio
from typing import Final

from playwright.async_api import Page

PARTS_OF_A_DATE: Final = 8
_WATCH: Final = """(partsOfADate) => {
    const wanted = "a[href], button, input:not([type=hidden]), select, textarea, summary, " +
        "[tabindex]:not([tabindex='-1'])";
    const all = [...document.querySelectorAll(wanted)].filter((one) =>
        !one.disabled && one.checkVisibility({visibilityProperty: true}));
    // Of a group of radio buttons the Tab key reaches one.
    const groups = new Set();
    const reachable = all.filter((one) => one.type !== "radio" ||
        !groups.has(one.name) && groups.add(one.name));
    const told = (one) => one.outerHTML.slice(0, 200);
    const unreached = new Set(reachable), unseen = [];
    // Each press tells of where the one before has led: by now it is scrolled to.
    document.addEventListener("keydown", () => {
        const one = document.activeElement;
        if (!unreached.delete(one)) return;
        const style = getComputedStyle(one);
        const box = one.getBoundingClientRect();
        const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
        const within = box.bottom > 0 && box.top < innerHeight
            && box.right > 0 && box.left < innerWidth;
        if (!outlined || !within) unseen.push(told(one));
    }, true);
    window.byKeyboard = () => [unseen, [...unreached].map(told)];
    document.activeElement.blur();
    const dates = reachable.filter((one) => /date|time|month|week/.test(one.type));
    return reachable.length + dates.length * partsOfADate + 1;
}"""


async def assert_usable_by_keyboard(page: Page) -> None:
    """The Tab key reaches everything that can be used, and shows where it is, in the window."""
    presses = await page.evaluate(_WATCH, PARTS_OF_A_DATE)
    # In their order, and ahead of their answers: to wait for each is four fifths of the work.
    await asyncio.gather(*(page.keyboard.press("Tab") for _ in range(presses)))
    unseen, unreached = await page.evaluate("() => byKeyboard()")
    assert unseen == [], f"{page.url} does not show where one is"
    assert unreached == [], f"{page.url}: the Tab key does not reach it"
