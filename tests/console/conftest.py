"""The console over the real application, and an operator who is signed in to it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape

import httpx
import pytest

from tests.web.conftest import (
    api,
    operator,
    rows,
    service,
    settings,
    store,
    user,
    worker,
)
from tests.web.doors import OPERATOR_TOKEN

__all__ = ["api", "operator", "rows", "service", "settings", "store", "user", "worker"]

ORIGIN = {"Origin": "http://api.test"}


@dataclass(frozen=True)
class Browser:
    """Asks as a browser does that has no script: follows links, and sends the forms of pages."""

    http: httpx.AsyncClient
    origin: Mapping[str, str] = field(default_factory=lambda: ORIGIN)

    async def get(self, address: str) -> httpx.Response:
        return await self.http.get(address)

    async def send(
        self,
        page: httpx.Response,
        action: str,
        fields: Mapping[str, str | Sequence[str]] | None = None,
    ) -> httpx.Response:
        """Sends the form of a page that leads to `action`, with these fields filled in."""
        return await self.http.post(
            action, data={**hidden(page, action), **(fields or {})}, headers=self.origin
        )

    async def post(
        self,
        address: str,
        page: httpx.Response,
        action: str,
        fields: Mapping[str, str | list[str]] | None = None,
    ) -> httpx.Response:
        """Sends to `address` what a page's form for `action` carries besides its own fields."""
        return await self.http.post(
            address, data={**hidden(page, action), **(fields or {})}, headers=self.origin
        )


def hidden(page: httpx.Response, action: str) -> dict[str, str]:
    """The hidden fields of the form that leads to `action`."""
    form = re.compile(r'<form method="post" action="([^"]*)"[^>]*>(.*?)</form>', re.DOTALL)
    forms = form.findall(page.text)
    [content] = [content for address, content in forms if unescape(address) == action]
    fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', content)
    return {name: unescape(value) for name, value in fields}


@pytest.fixture
async def browser(api: httpx.AsyncClient) -> Browser:
    """Signed in with STORECREDIT_ADMIN_TOKEN."""
    return await signed_in(api, OPERATOR_TOKEN)


async def signed_in(api: httpx.AsyncClient, token: str) -> Browser:
    """An operator's browser, signed in with a token."""
    here = Browser(api)
    page = await here.get("/console/sign-in")
    answer = await here.send(page, "/console/sign-in", {"token": token})
    assert answer.status_code == 303, answer.text
    return here
