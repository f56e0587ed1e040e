"""Texts that would do something are shown, as text: those there are, and whatever is typed."""

import httpx
import pytest

from tests.browser.furnished.addresses import PAGES, Address
from tests.browser.furnished.asking import Visitor
from tests.browser.furnished.furnishing import Furnished
from tests.browser.furnished.markup import Markup
from tests.browser.furnished.planting import FIELDS, planted

SIGN_OUT = ("/console/sign-out", "/portal/sign-out")


def is_html(answer: httpx.Response) -> bool:
    return str(answer.headers.get("content-type")).startswith("text/html")


async def test_each_text_that_comes_from_outside_is_shown_somewhere(
    visitors: dict[str, Visitor], furnished: Furnished
) -> None:
    shown = ""
    for address in PAGES:
        answer = await visitors[address.door].http.get(furnished.address_of(address))
        if is_html(answer):
            shown += Markup(answer.text).shown
    missing = [name for name in FIELDS if planted(name) not in shown]
    assert not missing, f"no page shows {missing}"


@pytest.mark.parametrize("address", PAGES, ids=str)
async def test_what_is_typed_is_shown_as_text(
    visitors: dict[str, Visitor], furnished: Furnished, address: Address
) -> None:
    page = await visitors[address.door].http.get(furnished.address_of(address))
    if not is_html(page):
        return
    for form in Markup(page.text).forms:
        texts = {name: planted("typed") for name in form.fields}
        # What a button alone does would be done.
        if form.action in SIGN_OUT or not texts.keys() - {"reason"}:
            continue
        where = form.action or str(page.url)
        own = {"Origin": str(page.url.copy_with(path="/", query=None)).rstrip("/")}
        http = visitors[address.door].http
        if form.method == "GET":
            answer = await http.get(where, params=form.hidden | texts)
        else:
            answer = await http.post(where, data=form.hidden | texts, headers=own)
        assert answer.status_code < 500, f"{form.action}: {answer.status_code}"
        if is_html(answer):
            assert Markup(answer.text).faults == []
