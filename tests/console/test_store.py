"""`/console/stores/{store_id}`: one store, found as people call it."""

from uuid import uuid4

from tests.console.conftest import Browser
from tests.web.doors import Operator, data_of


async def test_a_store_is_found_by_id_name_and_domain(browser: Browser, operator: Operator) -> None:
    made = await operator.store(name="Hats & <b>Co", credits=1234)
    data_of(await operator.patch(f"/stores/{made.store_id}", shop_domain="hats.example"))
    for name in (made.store_id, "hats%20%26%20%3Cb%3Eco", "HATS.example"):
        page = await browser.get(f"/console/stores/{name}")
        assert page.status_code == 200
        assert "<h1>Hats &amp; &lt;b&gt;Co</h1>" in page.text
        assert "1,234" in page.text
        assert f'<a href="/console/stores/{made.store_id}" aria-current="page">' in page.text


async def test_a_name_of_several_leads_to_a_search(browser: Browser, operator: Operator) -> None:
    for _ in range(2):
        await operator.store(name="Hats & Co")
    page = await browser.get("/console/stores/Hats%20%26%20Co")
    assert page.status_code == 404
    assert 'href="/console/stores?search=Hats+%26+Co"' in page.text


async def test_an_unknown_store_is_a_page_that_says_so(browser: Browser) -> None:
    for name in (str(uuid4()), "nobody", "%00", "%C3%28"):
        page = await browser.get(f"/console/stores/{name}")
        assert page.status_code == 404
        assert "There is no such store." in page.text
