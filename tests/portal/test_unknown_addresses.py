"""What is at no address of console and portal is told by a page of that door, or to programs."""

import httpx
import pytest

from tests.console.conftest import Browser
from tests.console.conftest import signed_in as signed_in_operator
from tests.portal.conftest import sign_in
from tests.web.doors import OPERATOR_TOKEN, StoreClient, error_of

NOWHERE = ("/nowhere", "/keys/new/nowhere", "/webhooks/nowhere/at/all", "/%3Cimg%20src=x%3E")
NAVIGATION = {"console": 'aria-label="Console"', "portal": 'aria-label="Your account"'}
DOORS = pytest.mark.parametrize("door", ["console", "portal"])


@pytest.fixture
async def visitor(browser: Browser, store: StoreClient, door: str) -> Browser:
    """Signed in at the door."""
    if door == "console":
        return await signed_in_operator(browser.http, OPERATOR_TOKEN)
    await sign_in(browser, store.api_key)
    return browser


@DOORS
async def test_it_is_a_page_with_the_ways_on_of_whoever_is_signed_in(
    visitor: Browser, door: str
) -> None:
    known = await visitor.get(f"/{door}")
    for address in NOWHERE:
        answer = await visitor.get(f"/{door}{address}")
        assert answer.status_code == 404
        assert "<h1>There is nothing here</h1>" in answer.text
        assert NAVIGATION[door] in answer.text
        assert f'action="/{door}/sign-out"' in answer.text
        policy = "content-security-policy"
        assert answer.headers[policy] == known.headers[policy]
        assert answer.headers["cache-control"] == "no-store"
    answer = await visitor.http.put(f"/{door}/sign-in")
    assert answer.status_code == 405
    assert NAVIGATION[door] in answer.text


@DOORS
async def test_whoever_is_not_signed_in_is_led_no_further(browser: Browser, door: str) -> None:
    for address in NOWHERE:
        answer = await browser.get(f"/{door}{address}")
        assert answer.status_code == 404
        assert "<h1>There is nothing here</h1>" in answer.text
        assert NAVIGATION[door] not in answer.text
        assert ('href="/portal/colours.css"' in answer.text) is (door == "portal")


@DOORS
async def test_one_doors_sign_in_shows_nothing_at_the_other(visitor: Browser, door: str) -> None:
    other = "portal" if door == "console" else "console"
    answer = await visitor.get(f"/{other}/nowhere")
    assert answer.status_code == 404
    assert NAVIGATION[other] not in answer.text


@DOORS
@pytest.mark.parametrize(
    "accept, is_page",
    [
        ("application/json", False),
        ("application/json;q=0.9, application/problem+json", False),
        ("application/json, text/html", True),
        ("application/json, */*", True),
        ("*/*", True),
        ("", True),
    ],
)
async def test_a_program_that_takes_json_alone_is_told_by_it(
    api: httpx.AsyncClient, door: str, accept: str, *, is_page: bool
) -> None:
    answer = await api.get(f"/{door}/nowhere", headers={"Accept": accept})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html") is is_page
    if not is_page:
        error_of(answer, 404, "NOT_FOUND")
        assert answer.headers["vary"] == "Accept, Cookie"
    assert answer.headers["cache-control"] == "no-store"
