"""Whose pages they are: an owner's, below an address, in the layout of a door.

A page that console and portal both have, or that stores and end users both have, is one handler and
one template. Each door registers it below its own address, and hands in the place.
"""

from dataclasses import dataclass
from typing import Any

from litestar import Request, Response

from storecredit.ledger.owners import Owner
from storecredit.web.pages.rendering import door_of, page


@dataclass(frozen=True, slots=True)
class Place:
    """An owner's pages: below which address, in which layout, which shows `shown`."""

    owner: Owner
    address: str
    layout: str
    # A Store or a User. The framework checks what it hands on, and knows no union of such two.
    shown: object

    @property
    def is_own(self) -> bool:
        """Whether the owner itself looks at them."""
        return door_of(self.address) == "portal"

    def page(
        self, request: Request[Any, Any, Any], template: str, *, status: int = 200, **values: object
    ) -> Response[str]:
        """One of them. The template has `place`, and the store as `store` or the user as `user`."""
        named = {self.owner.kind.value: self.shown, "place": self, "layout": self.layout}
        return page(request, template, status=status, **named, **values)
