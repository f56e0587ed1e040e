"""What of a page whoever looks at it may use, by the scopes that its addresses need.

Those are said once, by the handlers: the table of routes tells which address needs which. So a form
or a link whose address is refused to somebody is not shown to them, and none has to remember it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.routes import BaseRoute, HTTPRoute

from storecredit.operator.sign_ins import SignIn
from storecredit.operator.tokens import Scope
from storecredit.web.http.route_templates import RouteTemplates
from storecredit.web.http.scopes import needed_by

PUBLIC: Final = "is_public"
"""The option of a handler that is there for whoever is not signed in."""
WHOEVER: Final = "is_whoever_asks"
"""The option of a public one to which it is all the same who asks: nobody looks."""
SIGNS_OUT: Final = "signs_out"
"""The option of a public one that lets somebody out although nobody can look who it is."""
CONSOLE: Final = "/console"


def scopes_of(handler: BaseRouteHandler) -> tuple[Scope, ...]:
    """All that a page of the console needs, or what a form does: what it is for stands last.

    A page that asks for an action tells how things are, too: it needs `read` besides. None: it is
    there for anybody.
    """
    if handler.opt.get(PUBLIC):
        return ()
    is_read = isinstance(handler, HTTPRouteHandler) and "GET" in handler.http_methods
    return (Scope.READ, needed_by(handler)) if is_read else (needed_by(handler),)


class NeededScopes:
    """The scopes of an operator's token that each address of the console needs."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        pages = [
            route
            for route in routes
            if isinstance(route, HTTPRoute) and route.path.startswith(CONSOLE)
        ]
        self._templates = RouteTemplates(pages)
        self._needed: dict[tuple[object, str], tuple[Scope, ...]] = {
            (method, route.path_format): scopes_of(handler)
            for route in pages
            for handler in route.route_handlers
            for method in handler.http_methods
        }

    def of(self, method: str, address: str) -> tuple[Scope, ...]:
        """As `scopes_of` tells of its handler; none of an address of no page."""
        path = address.partition("#")[0].partition("?")[0]
        return self._needed.get((method, self._templates.of(path)), ())


@dataclass(frozen=True, slots=True)
class Permissions:
    """What somebody may do, for templates: `may.open(address)`, `may.send(address)`."""

    needed: NeededScopes
    sign_in: SignIn | None

    def open(self, address: str) -> bool:
        """Whether the page at this address is shown to them."""
        return self._have(self.needed.of("GET", address))

    def send(self, address: str) -> bool:
        """Whether a form of theirs is taken there."""
        return self._have(self.needed.of("POST", address))

    def scope_to_open(self, address: str) -> Scope:
        """The scope that such a page is for."""
        return self.needed.of("GET", address)[-1]

    def scope_to_send(self, address: str) -> Scope:
        """The scope that such a form is for."""
        return self.needed.of("POST", address)[-1]

    def _have(self, scopes: Iterable[Scope]) -> bool:
        return self.sign_in is None or all(map(self.sign_in.may, scopes))
