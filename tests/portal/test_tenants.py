"""What is one store's is at no address of another's portal, by the table of its routes."""

from typing import Final

from tests.browser.furnished.addresses import ALL
from tests.console.conftest import Browser
from tests.portal.conftest import sign_in
from tests.web.doors import Operator, data_of
from tests.web.tenants import NOBODYS, two_stores

NAMING: Final = tuple(
    each for each in ALL if each.door == "portal" and each.names and not each.is_public
)
REMAINS: Final = ("/api/v1/webhooks", "/api/v1/credits/balance", "/api/v1/generations")


async def test_what_a_store_has_is_to_others_as_if_it_were_not(
    browser: Browser, operator: Operator
) -> None:
    two = await two_stores(operator)
    await sign_in(browser, two.second.api_key)
    home = await browser.get("/portal")
    before = [data_of(await two.first.get(path)) for path in REMAINS]
    for address in NAMING:
        told = []
        for ids in (two.of_first, NOBODYS):
            path = address.filled(ids)
            if address.method == "GET":
                answer = await browser.get(path)
            else:
                answer = await browser.post(path, home, "/portal/sign-out")
            assert answer.status_code == 404, f"{address}: {answer.text}"
            told.append(answer.text.count("<h1>There is nothing here</h1>"))
        assert told[0] == told[1], f"{address} tells that it is there"
    assert [data_of(await two.first.get(path)) for path in REMAINS] == before
    assert data_of(await two.first.get("/api/v1/health")), "its key still works"
    assert len(NAMING) >= 20


async def test_the_first_store_finds_all_of_it(browser: Browser, operator: Operator) -> None:
    """Else the test above would pass with addresses that nobody can reach."""
    two = await two_stores(operator)
    await sign_in(browser, two.first.api_key)
    for address in NAMING:
        if address.method == "GET" and address.is_page:
            answer = await browser.get(address.filled(two.of_first))
            assert answer.status_code == 200, f"{address}: {answer.text}"
