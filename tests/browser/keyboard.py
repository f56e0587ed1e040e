"""A page used without a mouse: what the Tab key reaches, and whether one sees where one is."""

from typing import Final

from playwright.async_api import Page

PARTS_OF_A_DATE: Final = 8
_MARK: Final = """() => {
    const wanted = "a[href], button, input:not([type=hidden]), select, textarea, summary, " +
        "[tabindex]:not([tabindex='-1'])";
    const all = [...document.querySelectorAll(wanted)].filter((one) =>
        !one.disabled && one.checkVisibility({visibilityProperty: true}));
    // Of a group of radio buttons the Tab key reaches one.
    const groups = new Set();
    const reachable = all.filter((one) => one.type !== "radio" ||
        !groups.has(one.name) && groups.add(one.name));
    window.unreached = new Set(reachable);
    document.activeElement.blur();
    // In a field of a date the Tab key goes through its parts.
    const parts = reachable.filter((one) => /date|time|month|week/.test(one.type)).length * PARTS;
    return reachable.length + parts + 1;
}""".replace("PARTS", str(PARTS_OF_A_DATE))
_STEP: Final = """() => {
    const one = document.activeElement;
    if (!window.unreached.delete(one)) return "";
    const style = getComputedStyle(one);
    const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    const box = one.getBoundingClientRect();
    const within = box.bottom > 0 && box.top < innerHeight
        && box.right > 0 && box.left < innerWidth;
    return seen && within ? "" : one.outerHTML.slice(0, 200);
}"""
_LEFT: Final = "() => [...window.unreached].map((one) => one.outerHTML.slice(0, 200))"


async def assert_usable_by_keyboard(page: Page) -> None:
    """The Tab key reaches everything that can be used, and shows where it is, in the window."""
    unseen: list[str] = []
    for _ in range(await page.evaluate(_MARK)):
        await page.keyboard.press("Tab")
        unseen += filter(None, [await page.evaluate(_STEP)])
    assert unseen == [], f"{page.url} does not show where one is"
    left = await page.evaluate(_LEFT)
    assert left == [], f"{page.url}: the Tab key does not reach {left}"
