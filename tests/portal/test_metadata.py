"""What a store sent along, shown to itself and to no other."""

from tests.console.conftest import Browser
from tests.console.reading import cells
from tests.console.test_metadata import METADATA, SHOWN, sent_in, spend
from tests.portal.conftest import sign_in
from tests.web.doors import Operator, StoreClient


async def test_a_store_sees_its_own_and_no_other_stores(
    portal: Browser, operator: Operator, store: StoreClient
) -> None:
    await store.created("order-1", metadata=METADATA)
    await spend(store, "spend-1", METADATA)
    ledger = await portal.get("/portal/ledger")
    assert sent_in(ledger.text) == [SHOWN, SHOWN]
    assert sent_in((await portal.get("/portal/generations")).text) == [SHOWN]
    other = await operator.store()
    await spend(other, "spend-1", None)
    portal.http.cookies.clear()
    await sign_in(portal, other.api_key)
    for address in ("/portal/ledger", "/portal/generations"):
        assert "A-1001" not in (await portal.get(address)).text


async def test_a_movements_details_have_the_description_as_the_api_has_it(
    portal: Browser, store: StoreClient
) -> None:
    await store.created("order-1")
    page = await portal.get("/portal/ledger")
    assert "<dt>Description</dt><dd>Image generation</dd>" in page.text
    assert "<dt>Type</dt><dd><code>deduction</code></dd>" in page.text
    assert cells(page.text)[0][:3] == ["Generation", "−1", "99"]
