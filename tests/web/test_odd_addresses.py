"""Every address there is, with a name in it that nothing can have: it is not found, and no more."""

import re
from collections.abc import Iterator
from typing import Any

from litestar import Router
from litestar.routes import HTTPRoute

from storecredit.web.app import routes
from tests.console.conftest import Browser, browser, hidden
from tests.web.doors import OPERATOR_TOKEN, StoreClient, bearer

__all__ = ["browser"]

NAME = re.compile(r"\{[^}]*\}")
CHANGING = {"POST", "PATCH", "DELETE"}


def addresses() -> Iterator[tuple[str, str]]:
    """Each method and address of a door with names in it, of which the last has a NUL."""
    for route in Router("/", route_handlers=routes()).routes:
        if isinstance(route, HTTPRoute) and ":str}" in route.path:
            *before, after = NAME.split(route.path_format)
            for method in sorted({*route.methods} & {"GET", *CHANGING}):
                yield method, f"{'1'.join(before)}a%00b{after}"


async def test_no_name_with_a_nul_breaks_anything(browser: Browser, store: StoreClient) -> None:
    page = await browser.get("/console")
    form = {"csrf": hidden(page, "/console/sign-out")["csrf"], "form_id": "form_1"}
    sent: dict[str, dict[str, Any]] = {
        "/api/admin": {"headers": bearer(OPERATOR_TOKEN)},
        "/api/v1": {"headers": bearer(store.api_key)},
        "/console": {"headers": browser.origin},
    }
    asked = dict.fromkeys(sent, 0)
    for method, address in addresses():
        door = next((each for each in sent if address.startswith(each)), None)
        if door is None:
            continue
        asked[door] += 1
        content = {"data": form} if door == "/console" else {"json": {"amount": 1}}
        body = content if method in CHANGING else {}
        answer = await browser.http.request(method, address, **sent[door], **body)
        assert answer.status_code in {400, 404}, f"{method} {address}: {answer.text}"
    assert min(asked.values()) > 3, asked
