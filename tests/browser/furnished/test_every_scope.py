"""Every page of the console as tokens see it: it leads to what they may do, and to all of that.

What an address needs stands in the table of routes alone, so that no page can forget it.
"""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

import pytest

from storecredit.operator.tokens import Scope
from tests.browser.conftest import Site
from tests.browser.furnished.addresses import ALL, PAGES, PARAMETER, Address
from tests.browser.furnished.asking import Visitor, visitor
from tests.browser.furnished.furnishing import Furnished
from tests.browser.furnished.markup import Markup
from tests.web.doors import data_of

WITHIN: Final = tuple(each for each in PAGES if each.door == "console" and not each.is_public)
TOKENS: Final = (
    *((scope,) for scope in Scope if scope is not Scope.ALL),
    *((Scope.READ, scope) for scope in (Scope.CREDITS, Scope.KEYS)),
)
PATTERNS: Final = tuple(
    (each, re.compile(PARAMETER.sub("[^/]+", each.path)))
    for each in sorted(ALL, key=lambda each: len(each.names))
)
SIGN_OUT: Final = ("POST", "/console/sign-out")
Way = tuple[str, str]


@pytest.fixture(scope="module")
async def scoped(site: Site, furnished: Furnished) -> AsyncIterator[dict[str, Visitor]]:
    """Who signed in with a token of some scopes, by these."""
    async with AsyncExitStack() as stack:
        found = {}
        for scopes in (*TOKENS, (Scope.ALL,)):
            name = " ".join(scopes)
            made = await site.operator.post("/tokens", name=f"may {name}", scopes=list(scopes))
            token = data_of(made, 201)["token"]
            found[name] = await stack.enter_async_context(visitor(site, "console", token))
        yield found


def ways(page: str) -> set[Way]:
    """Where a page leads within the console: by which method, to which path."""
    seen = Markup(page)
    found = {(form.method, form.action) for form in seen.forms}
    found |= {("GET", link) for link in seen.links}
    return {
        (method, re.split("[?#]", address)[0])
        for method, address in found
        if address.startswith("/console")
    }


def needed(way: Way) -> set[Scope]:
    """What the table of routes says that it needs; a page tells something, besides."""
    method, path = way
    for address, pattern in PATTERNS:
        if address.method == method and pattern.fullmatch(path):
            scopes = {address.needs} if address.needs else set()
            return scopes | {Scope.READ} if scopes and method == "GET" else scopes
    raise AssertionError(f"a page leads to {method} {path}, where there is nothing")


@pytest.mark.parametrize("address", WITHIN, ids=str)
async def test_a_page_leads_to_what_its_reader_may_do_and_to_all_of_that(
    scoped: dict[str, Visitor], furnished: Furnished, address: Address
) -> None:
    where = furnished.address_of(address)
    whole = ways((await scoped["all"].http.get(where)).text)
    acts = {way for way in whole if way[0] == "POST"} - {SIGN_OUT}
    for scopes in TOKENS:
        page = await scoped[" ".join(scopes)].http.get(where)
        open_to_them = {way for way in whole if needed(way) <= set(scopes)}
        if not needed(("GET", where)) <= set(scopes):
            assert page.status_code == 403
            assert all(needed(way) <= set(scopes) for way in ways(page.text))
            continue
        assert page.status_code == 200
        assert ways(page.text) == open_to_them, scopes
        if acts and not acts & open_to_them:
            names = "|".join({scope for way in acts for scope in needed(way)})
            assert re.search(f"token that has the scope <code>({names})</code>", page.text), scopes


async def test_there_are_pages_for_each_scope() -> None:
    assert {each.needs for each in WITHIN} == set(Scope)
