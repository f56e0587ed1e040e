"""Texts that would do something are shown, as text: those there are, and whatever is typed."""

import json

import httpx
import pytest

from tests.browser.furnished.addresses import PAGES, Address
from tests.browser.furnished.asking import Visitor
from tests.browser.furnished.furnishing import Furnished
from tests.browser.furnished.markup import Markup
from tests.browser.furnished.planting import FIELDS, planted

ASKED = {"cursor", "after", "before", "page", "limit", "done", "next", "sort", "days", "signed-out"}
"""What pages are asked for by links, besides what their forms ask."""
NONSENSE = ("-1", "9" * 40, "\0")
NO_TEXTS = ("", "1e999", "\ud7ff\U0010ffff", "é" * 300)
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
    missing = [
        name
        for name in FIELDS
        if planted(name) not in shown and json.dumps(planted(name))[1:-1] not in shown
    ]
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


@pytest.mark.parametrize("address", PAGES, ids=str)
async def test_a_question_that_makes_no_sense_is_answered_by_a_page(
    visitors: dict[str, Visitor], furnished: Furnished, address: Address
) -> None:
    http, where = visitors[address.door].http, furnished.address_of(address)
    page = await http.get(where)
    if not is_html(page):
        return
    markup = Markup(page.text)
    names = ASKED | {name for form in markup.forms if form.method == "GET" for name in form.fields}
    alone = [{name: value} for value in NONSENSE for name in sorted(names)]
    for params in [*alone, *(dict.fromkeys(sorted(names), value) for value in NO_TEXTS)]:
        answer = await http.get(where, params=params)
        assert answer.status_code in {200, 400, 404}, f"{params!r}: {answer.status_code}"
        assert is_html(answer)
        assert "<h1" in answer.text
        assert Markup(answer.text).faults == []
    head = await http.head(where)
    assert (head.status_code, head.content) == (page.status_code, b"")
    assert head.headers["content-security-policy"] == page.headers["content-security-policy"]
