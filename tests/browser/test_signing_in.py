"""Signing in and out with a real browser, and what other sites can have it do: nothing."""

import asyncpg
import pytest
from playwright.async_api import Page, expect

from stand_ins.http_server import Answer, stand_in
from tests.browser.conftest import Browsing, Site
from tests.browser.judging import axe, good_for_everybody
from tests.browser.signing_in import sign_in_to_console, sign_in_to_portal
from tests.browser.watching import Watch
from tests.log_stream import LogStream
from tests.web.doors import OPERATOR_TOKEN, Operator, StoreClient, data_of

HTML = {"Content-Type": "text/html; charset=utf-8"}
HEAD = '<title>Elsewhere</title><link rel="icon" href="data:,">'
OUT = "Sign out"


async def test_an_operator_signs_in_goes_where_they_wanted_and_signs_out(page: Page) -> None:
    await page.goto("/console?days=30")
    await expect(page).to_have_title("Sign in · storecredit")
    await page.get_by_label("Token").fill("the-operators-token")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url("/console?days=30")
    [cookie] = await page.context.cookies()
    assert cookie["name"] == "storecredit_console"
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/console")
    assert "storecredit" not in await page.evaluate("document.cookie")
    await page.get_by_role("button", name=OUT).click()
    await expect(page.get_by_role("status")).to_have_text("You are signed out.")
    assert await page.context.cookies() == []
    await page.go_back()
    await expect(page.get_by_label("Token")).to_be_visible()
    await expect(page.get_by_role("button", name=OUT)).to_have_count(0)


async def test_a_store_signs_in_with_its_key_and_is_at_no_other_door(
    page: Page, store: StoreClient
) -> None:
    await sign_in_to_portal(page, store.api_key)
    await expect(page.locator(".figure").first).to_have_text("100")
    [cookie] = await page.context.cookies()
    assert (cookie["name"], cookie["path"]) == ("storecredit_portal", "/portal")
    await page.goto("/console")
    await expect(page.get_by_label("Token")).to_be_visible()
    # Not even by hand: each door knows its own cookies.
    by_hand = f"{cookie['value']}; Path=/console"
    await page.evaluate("(own) => { document.cookie = `storecredit_console=${own}` }", by_hand)
    await page.goto("/console")
    await expect(page.get_by_label("Token")).to_be_visible()


@pytest.mark.parametrize("secret", ["wrong", "sc_admin_wrong", "<b>wrong</b>", "é" * 400])
async def test_what_is_no_token_is_told_and_not_shown(
    page: Page, watch: Watch, secret: str
) -> None:
    watch.allow(401)
    await page.goto("/console/sign-in")
    await page.get_by_label("Token").fill(secret)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("status")).to_contain_text("This token does not work")
    await expect(page.get_by_label("Token")).to_have_value("")
    assert secret not in await page.content()
    assert secret not in page.url
    await axe(page)


@pytest.mark.parametrize("has_script", [True, False])
async def test_a_link_signs_in_once(
    browsing: Browsing, watch: Watch, store: StoreClient, *, has_script: bool
) -> None:
    made = data_of(await store.send("POST", "/api/v1/portal/sessions", json={}), 201)
    page = await browsing(java_script_enabled=has_script)
    await page.goto(made["url"])
    if not has_script:
        await page.get_by_role("button", name="Sign in").click()
    await expect(page).to_have_url("/portal")
    await expect(page.get_by_role("button", name=OUT)).to_be_visible()
    watch.allow(410)
    again = await browsing()
    await again.goto(made["url"])
    await expect(again.get_by_text("was used before")).to_be_visible()
    await axe(again)


async def test_the_page_of_a_link_waits_for_who_has_no_script(page: Page, watch: Watch) -> None:
    await page.route("**/pages.js*", lambda route: route.fulfill(content_type="text/javascript"))
    await page.goto("/console/sign-in/no-such-link")
    await good_for_everybody(page)
    watch.allow(410)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text("was used before")).to_be_visible()


async def test_a_revoked_token_shows_no_page_more(page: Page, operator: Operator) -> None:
    made = data_of(await operator.post("/tokens", name="ann", scopes=["read"]), 201)
    await sign_in_to_console(page, made["token"])
    await expect(page.get_by_text("ann", exact=True)).to_be_visible()
    data_of(await operator.delete(f"/tokens/{made['token_id']}"))
    await page.reload()
    await expect(page.get_by_label("Token")).to_be_visible()


async def test_a_revoked_key_shows_no_page_more(
    page: Page, operator: Operator, store: StoreClient
) -> None:
    await sign_in_to_portal(page, store.api_key)
    data_of(await operator.delete(f"/stores/{store.store_id}/keys/{store.key_id}"))
    await page.reload()
    await expect(page.get_by_label("API key")).to_be_visible()


async def test_no_page_of_anywhere_else_has_the_browser_send_a_form(
    page: Page, site: Site, watch: Watch
) -> None:
    await sign_in_to_console(page)
    csrf = await page.locator('form[action="/console/sign-out"] [name=csrf]').input_value()
    # Without the token no page elsewhere could have it; with it, were it ever seen.
    for host, statuses in (("localhost", {401, 403}), ("127.0.0.1", {403})):
        watch.allow(*statuses)
        async with stand_in(_form(f"{site.url}/console/sign-out", csrf)) as elsewhere:
            watch.origins.add(elsewhere.url("", host))
            await page.goto(elsewhere.url("/", host))
            async with page.expect_navigation() as gone:
                await page.get_by_role("button").click()
            answer = await gone.value
        assert answer is not None
        assert answer.status in statuses
        await expect(page.locator("main")).to_contain_text("nothing was done", ignore_case=True)
        await page.goto("/console")
        await expect(page.get_by_role("button", name=OUT)).to_be_visible()


def _form(action: str, csrf: str) -> Answer:
    body = (
        f'<!doctype html><html lang="en">{HEAD}<form method="post" '
        f'action="{action}"><input type="hidden" name="csrf" value="{csrf}">'
        f'<input type="hidden" name="form_id" value="form_1"><button>Win a prize</button></form>'
    )
    return Answer(200, body.encode(), HTML)


async def test_no_page_of_anywhere_else_shows_ours_within_itself(
    page: Page, site: Site, watch: Watch
) -> None:
    await sign_in_to_console(page)
    framing = f'<!doctype html><html lang="en">{HEAD}<iframe src="{site.url}/console"></iframe>'
    async with stand_in(Answer(200, framing.encode(), HTML)) as elsewhere:
        watch.origins.add(elsewhere.url("", "127.0.0.1"))
        await page.goto(elsewhere.url("/"))
        frame = page.frames[1]
        assert await frame.get_by_role("button", name=OUT).count() == 0
    assert any("frame-ancestors 'none'" in fault for fault in watch.faults), watch.faults
    watch.faults.clear()


async def test_a_sign_in_is_over_at_its_time(page: Page, admin: asyncpg.Connection) -> None:
    await sign_in_to_console(page)
    await admin.execute(
        "UPDATE storecredit.sign_ins SET created_at = now() - interval '2 d', expires_at = now()"
    )
    await page.reload()
    await expect(page.get_by_label("Token")).to_be_visible()


async def test_nothing_by_which_one_comes_in_stands_in_the_log(
    page: Page, store: StoreClient, log: LogStream
) -> None:
    made = data_of(await store.send("POST", "/api/v1/portal/sessions", json={}), 201)
    await page.goto(made["url"])
    await expect(page.get_by_role("button", name=OUT)).to_be_visible()
    [cookie] = await page.context.cookies()
    csrf = await page.locator("[name=csrf]").first.input_value()
    await sign_in_to_console(page)
    told = log.getvalue()
    assert "/portal/sign-in/{" in told
    code = made["url"].rpartition("/")[2]
    for secret in (code, store.api_key, OPERATOR_TOKEN, cookie["value"], csrf):
        assert len(secret) > 10
        assert secret not in told
