"""What fails a browser test does fail it: each fault planted in a page, and found."""

import asyncio
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Page, Route

from tests.browser import shots
from tests.browser.judging import HEIGHT, WAIT_SECONDS_MAX, WIDE, axe, fits, tables_fit
from tests.browser.keyboard import assert_usable_by_keyboard
from tests.browser.watching import Watch

HEAD = '<!doctype html><html lang="en"><title>Planted</title><main><h1>Planted</h1>'
POLICY = "default-src 'self'"
SMALL = '<a href="/a">a</a><br>'
PLANTED = re.compile(r"/planted$")


async def show(page: Page, body: str, *, policy: str = "") -> None:
    """A page of the site's origin with this body; returns once it is loaded."""

    async def answer(route: Route) -> None:
        headers = {"content-security-policy": policy} if policy else {}
        await route.fulfill(body=HEAD + body, content_type="text/html", headers=headers)

    await page.route(PLANTED, answer)
    await page.goto("/planted", wait_until="load")


@pytest.mark.parametrize(
    "body, policy, fault",
    [
        ("<script>console.error('broken')</script>", "", "console error: broken"),
        ("<script>console.warn('bent')</script>", "", "console warning: bent"),
        ("<script>throw new Error('uncaught')</script>", "", "exception: uncaught"),
        ("<script>1</script>", POLICY, "policy violated: script-src-elem by inline"),
        (
            '<p style="color: red">',
            POLICY,
            "policy violated: style-src-attr by inline",
        ),
        ('<img src="http://elsewhere.example/a.png" alt="">', "", "asked elsewhere: GET"),
        ('<img src="//localhost/a.png" alt="">', "", "asked elsewhere: GET"),
        ('<img src="/not/there.png" alt="">', "", "answered 404: GET"),
        ('<img src="//localhost/a.png" alt="">', POLICY, "policy violated: img-src"),
    ],
)
async def test_a_fault_is_noted(
    page: Page, watch: Watch, body: str, policy: str, fault: str
) -> None:
    await show(page, body, policy=policy)
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            if any(fault in told for told in watch.faults):
                break
            await asyncio.sleep(0.01)
    with pytest.raises(AssertionError, match=re.escape(fault)):
        watch.assert_faultless()
    watch.faults.clear()


async def test_a_status_that_a_test_is_about_is_no_fault(page: Page, watch: Watch) -> None:
    watch.allow(404)
    answer = await page.goto("/not/there")
    assert answer is not None
    assert answer.status == 404


@pytest.mark.parametrize(
    "body, rule",
    [
        ('<img src="data:," >', "image-alt"),
        ('<p>Pale: <span style="color: #aaa">pale</span>', "color-contrast"),
        (f'<div style="font: 9px/9px serif">{SMALL * 3}</div>', "target-size"),
        ('<input name="nameless">', "label"),
    ],
)
async def test_what_keeps_people_out_is_found(page: Page, body: str, rule: str) -> None:
    await show(page, body)
    with pytest.raises(AssertionError, match=f"{rule}: "):
        await axe(page)


async def test_what_is_too_wide_for_a_narrow_screen_is_found(page: Page) -> None:
    await show(page, "<p>narrow<div style='width: 361px'>wide</div>")
    with pytest.raises(AssertionError, match=r"on a screen of 360:\n<div"):
        await fits(page)
    await show(page, "<div style='overflow: auto'><div style='width: 900px'>wide</div></div>")
    await fits(page)


async def test_a_table_that_has_to_be_scrolled_is_found(page: Page) -> None:
    cell = "<td><div style='width: {}px'>1</div></td>"
    table = "<details><div style='overflow: auto'><table><tr>{}</table></div></details>"
    await show(page, table.format(cell.format(200) * 2))
    with pytest.raises(AssertionError, match="scrolled sideways"):
        await tables_fit(page)
    await show(page, table.format(cell.format(100) * 2))
    await tables_fit(page)


@pytest.mark.parametrize(
    "body, fault",
    [
        ('<a href="/a" style="outline: none">a</a>', "does not show where one is"),
        ('<p><a href="/a" tabindex="-1">a</a> <button>b</button>', "does not reach"),
        ('<a href="/a" style="position: fixed; left: -999px">a</a>', "does not show where one is"),
    ],
)
async def test_what_cannot_be_used_by_keyboard_is_found(page: Page, body: str, fault: str) -> None:
    await show(page, f"<style>:focus-visible {{ outline: 2px solid }}</style>{body}")
    with pytest.raises(AssertionError, match=fault):
        await assert_usable_by_keyboard(page)


async def test_a_field_of_a_date_and_a_group_of_buttons_can_be_used_by_keyboard(page: Page) -> None:
    choice = "<label>{0}<input type='radio' name='one' value='{0}'></label>"
    group = choice.format(1) + choice.format(2)
    body = f"<input type='date' aria-label='day'>{group}<button>b</button>"
    await show(page, f"<style>:focus-visible {{ outline: 2px solid }}</style>{body}")
    await assert_usable_by_keyboard(page)


async def test_a_picture_is_made_where_one_is_wanted_and_else_has_to_be_there(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shots, "PICTURES", tmp_path)
    monkeypatch.delenv("STORECREDIT_SCREENSHOTS", raising=False)
    await show(page, "<p>seen")
    with pytest.raises(AssertionError, match="planted"):
        await shots.shot(page, "planted")
    monkeypatch.setenv("STORECREDIT_SCREENSHOTS", "1")
    await shots.shot(page, "planted")
    monkeypatch.delenv("STORECREDIT_SCREENSHOTS")
    await shots.shot(page, "planted")
    with Image.open(tmp_path / "planted.png") as picture:
        assert picture.size == (WIDE, HEIGHT)
