"""Every page there is, by the tables of routes themselves: a new one cannot be forgotten."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from litestar import Router
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from storecredit.operator.sign_ins import Door
from storecredit.operator.tokens import Scope
from storecredit.web.console.routes import console_router
from storecredit.web.http.scopes import NEEDED
from storecredit.web.pages.forms import SIGNS_IN
from storecredit.web.pages.permissions import PUBLIC
from storecredit.web.portal.routes import portal_router

PARAMETER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")
NO_PAGES: Final = ("text/event-stream", "text/csv", "image/")
"""What a browser opens no page for."""


@dataclass(frozen=True, slots=True)
class Address:
    """A method and an address, with names where it is about something."""

    method: str
    path: str
    door: Door
    is_public: bool
    signs_in: bool
    is_page: bool
    needs: Scope | None
    """The scope of the operator's token; None: any, or no operator's door."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def names(self) -> list[str]:
        """What an address is about, as `store_id`."""
        return PARAMETER.findall(self.path)

    def filled(self, values: Mapping[str, str]) -> str:
        """The address of one page. Raises KeyError for what has no value."""
        return PARAMETER.sub(lambda found: values[found[1]], self.path)


def addresses() -> Iterator[Address]:
    """All below /console and /portal."""
    routers: dict[Door, Router] = {"console": console_router(), "portal": portal_router()}
    for door, router in routers.items():
        for route in router.routes:
            assert isinstance(route, HTTPRoute), f"{route.path}: what is there but pages and forms?"
            for handler in route.route_handlers:
                yield from _of(door, route.path, handler)


def _of(door: Door, path: str, handler: HTTPRouteHandler) -> Iterator[Address]:
    is_page = not str(handler.media_type).startswith(NO_PAGES)
    is_public = bool(handler.opt.get(PUBLIC))
    signs_in = bool(handler.opt.get(SIGNS_IN))
    is_for_all = is_public or door == "portal"
    for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"}):
        usual = Scope.READ if method == "GET" else Scope.ALL
        needs = None if is_for_all else handler.opt.get(NEEDED, usual)
        yield Address(method, path, door, is_public, signs_in, is_page, needs)


# A handler with several paths has them in any order; processes that share the tests need one.
ALL: Final = tuple(sorted(addresses(), key=str))
PAGES: Final = tuple(each for each in ALL if each.method == "GET" and each.is_page)
ACTIONS: Final = tuple(each for each in ALL if each.method != "GET")
