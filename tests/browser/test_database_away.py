"""What people see while the database is away, and that they may go on once it is back."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.judging import good_for_everybody
from tests.browser.signing_in import sign_in_to_console
from tests.browser.watching import Watch
from tests.web.database_door import DatabaseDoor
from tests.web.doors import OPERATOR_TOKEN

AWAY = "Not possible right now"


@pytest.fixture
async def door(server_url: str, books_url: str, site: Site) -> AsyncIterator[DatabaseDoor]:
    server = await asyncpg.connect(server_url)
    found = DatabaseDoor(server, urlsplit(books_url).path.strip("/"))
    yield found
    await found.open()
    await server.close()


async def test_pages_say_so_and_nobody_is_signed_out(
    page: Page, watch: Watch, door: DatabaseDoor
) -> None:
    watch.allow(503)
    await sign_in_to_console(page)
    await page.goto("/console/stores/new")
    await page.get_by_label("Name").fill("Once")
    await page.get_by_label("Domain").fill("once.example")
    await door.shut()
    await page.get_by_role("button", name="Make the store").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(AWAY)
    await expect(page.locator("main")).to_contain_text("Nothing is lost")
    await good_for_everybody(page)
    await page.goto("/console")
    await expect(page.get_by_role("heading", level=1)).to_have_text(AWAY)
    [cookie] = await page.context.cookies()
    assert cookie["name"] == "storecredit_console"
    await door.open()
    await page.get_by_role("link", name="Try again").click()
    await expect(page).to_have_url("/console")
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()


async def test_whoever_wants_to_sign_in_is_told(
    page: Page, watch: Watch, door: DatabaseDoor
) -> None:
    watch.allow(503)
    await page.goto("/console/sign-in")
    await door.shut()
    await page.get_by_label("Token").fill(OPERATOR_TOKEN)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(AWAY)
    await good_for_everybody(page)


async def test_whoever_signs_out_is_out_and_told_what_is_still_to_come(
    page: Page, watch: Watch, door: DatabaseDoor, admin: asyncpg.Connection
) -> None:
    await sign_in_to_console(page)
    await door.shut()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Console")
    await expect(page.get_by_role("status")).to_contain_text("You are signed out in this browser.")
    assert await page.context.cookies() == []
    await good_for_everybody(page)
