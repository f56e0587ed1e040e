"""A person at a page: who follows links, fills forms in, and clicks twice where once was meant."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from playwright.async_api import Locator, Page, Request, expect

from storecredit.operator.audit import Action
from storecredit.operator.sign_ins import Door
from tests.browser.acting.world import World
from tests.browser.judging import WAIT_SECONDS_MAX
from tests.web.doors import StoreClient

PARAMETER: Final = re.compile(r"\{\w+(?::\w+)?\}")
REASON: Final = "as agreed"
Fields = Mapping[str, str | bool]
"""What is typed, chosen or ticked, by the label."""


@dataclass(frozen=True)
class Place:
    """Where something is done: below which address, and how its navigation is called.

    `names`: what it calls there otherwise than the others do.
    """

    prefix: str
    navigation: str
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def door(self) -> Door:
        return "portal" if self.prefix.startswith("/portal") else "console"


CONSOLE: Final = Place("/console", "Console")
STORE: Final = Place("/console/stores/{store_id:str}", "Pages of this store")
USER: Final = Place("/console/users/{user_id:uuid}", "Pages of this end user")
PORTAL: Final = Place("/portal", "Your account", {"Keys": "API keys", "Purchases": "Buy"})


# No slots: Playwright 1.65.2 keeps something of its own on whose methods it calls.
@dataclass
class Person:
    """Somebody who does one thing, asked for by `route`, at a place, whose pages begin at `at`.

    `store`: one of their own, with 100 credits. `gave_reason`: whether the form asked for one.
    """

    page: Page
    world: World
    route: str
    place: Place
    at: str
    store: StoreClient
    has_script: bool
    gave_reason: bool = False
    sent: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._note)

    @property
    def owner(self) -> str:
        """The id of whose pages they are."""
        return self.at.rpartition("/")[2] if self.place is USER else self.store.store_id

    @property
    def times(self) -> int:
        """How often the thing was asked for."""
        wanted = re.compile(PARAMETER.sub("[^/]+", self.route))
        return sum(wanted.fullmatch(path) is not None for path in self.sent)

    def typed(self, at: datetime) -> str:
        """A moment as it is typed: in the viewer's zone, which only a script knows; else in UTC."""
        zone = ZoneInfo("America/New_York") if self.has_script else UTC
        return at.astimezone(zone).strftime("%Y-%m-%dT%H:%M")

    async def opens(self, name: str) -> None:
        """A page of the place, by its navigation."""
        await self.page.goto(self.at)
        name = self.place.names.get(name, name)
        navigation = self.page.get_by_role("navigation", name=self.place.navigation, exact=True)
        await navigation.get_by_role("link", name=name, exact=True).click()

    async def follows(self, *links: str) -> None:
        """One link of the page after the other, by how it begins."""
        for name in links:
            begins = re.compile(f"^{re.escape(name)}")
            await self.page.get_by_role("main").get_by_role("link", name=begins).first.click()

    async def looks(self, button: str, fields: Fields) -> None:
        """Fills a form in that only shows what will be."""
        form = await self._filled(button, fields)
        await form.get_by_role("button", name=button, exact=True).click()

    async def does(
        self, button: str, fields: Fields | None = None, *, within: Locator | None = None
    ) -> None:
        """Fills a form in, with a reason if it asks for one, and clicks its button twice.

        With a script it is sent once. Without, both clicks send it, the second while what the first
        one asked for is not yet done.
        """
        form = await self._filled(button, fields or {}, within)
        found = form.get_by_role("button", name=button, exact=True)
        async with self.world.nothing_written():
            await self.clicks_twice(found)
            await self._has_sent(1 if self.has_script else 2)

    async def clicks_twice(self, button: Locator) -> None:
        """As people do it: the second time when the browser has begun to send the form.

        Playwright's own double click is quicker than that, and Chromium makes one sending of it.
        """
        await button.scroll_into_view_if_needed()
        box = await button.bounding_box()
        assert box is not None
        mouse = self.page.mouse
        await mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        await self._has_sent(1)
        await mouse.down(click_count=2)
        await mouse.up(click_count=2)

    async def is_told(self, text: str) -> None:
        """By a notice on the page that came of it."""
        notice = self.page.get_by_role("status").filter(has_text=text)
        await expect(notice).to_be_visible()

    async def is_shown(self) -> str:
        """What is shown once, though the second answer is what the browser shows."""
        secret = self.page.locator("#secret")
        await expect(secret).to_be_visible()
        return await secret.inner_text()

    async def _filled(self, button: str, fields: Fields, within: Locator | None = None) -> Locator:
        named = self.page.get_by_role("button", name=button, exact=True)
        form = (within or self.page).locator("form").filter(has=named)
        await expect(form).to_be_visible()
        for label, wanted in fields.items():
            exactly = re.compile(rf"^\s*{re.escape(label)}( \(optional\))?\s*$")
            one = form.get_by_label(exactly)
            if isinstance(wanted, bool):
                await one.set_checked(wanted)
            elif await one.evaluate("(one) => one.localName") == "select":
                await one.select_option(wanted)
            else:
                await one.fill(wanted)
        reason = form.get_by_label(re.compile("^Reason"))
        if await reason.count():
            await reason.fill(REASON)
            self.gave_reason = True
        return form

    async def _has_sent(self, times: int) -> None:
        """Waits until the thing was asked for so often."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while self.times < times:  # noqa: ASYNC110 - the browser tells nobody
                await asyncio.sleep(0.005)

    def _note(self, request: Request) -> None:
        if request.method == "POST":
            self.sent.append(urlsplit(request.url).path)


Doing = Callable[[Person], Awaitable[None]]


@dataclass(frozen=True)
class Performance:
    """How one thing is done and seen, at each place that has it; `path` is below the place's.

    `action`: what the audit log calls it; None: it is not written there. `is_signed_in`: before it.
    `is_subscribed`: the store has a plan.
    """

    do: Doing
    path: str
    action: Action | None
    places: tuple[Place, ...]
    is_signed_in: bool
    is_subscribed: bool


def performs(
    path: str,
    action: Action | None,
    *places: Place,
    is_signed_in: bool = True,
    is_subscribed: bool = False,
) -> Callable[[Doing], Performance]:
    """Names what a function does as a person does it."""
    return lambda do: Performance(do, path, action, places, is_signed_in, is_subscribed)
