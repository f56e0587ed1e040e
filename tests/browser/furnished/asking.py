"""Pages asked for without a browser, by whoever might be one: their forms, cookies and headers."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from typing import Final
from uuid import uuid4

import httpx

from storecredit.operator.sign_ins import Door
from tests.browser.conftest import Site

_CSRF: Final = re.compile(r'name="csrf" value="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in at a door, and what every form of theirs carries."""

    http: httpx.AsyncClient
    csrf: str

    async def send(self, address: str, method: str = "POST", **fields: str) -> httpx.Response:
        """A form of a page of theirs, with these fields besides what every form has."""
        data = {"csrf": self.csrf, "form_id": f"form_{uuid4()}"} | fields
        return await self.http.request(
            method, address, data=data, headers={"Origin": str(self.http.base_url).rstrip("/")}
        )


@asynccontextmanager
async def visitor(site: Site, door: Door, secret: str) -> AsyncIterator[Visitor]:
    """Somebody who signed in with a token, or a store's key."""
    async with httpx.AsyncClient(base_url=site.url) as http:
        field = "token" if door == "console" else "key"
        origin = {"Origin": site.url}
        answer = await http.post(f"/{door}/sign-in", data={field: secret}, headers=origin)
        assert answer.status_code == 303, answer.text
        # Of a token that may not look at it, it says so.
        page = await http.get(f"/{door}")
        found = _CSRF.search(page.text)
        assert found is not None, f"it has at least the form to sign out: {page.text}"
        yield Visitor(http, unescape(found[1]))
