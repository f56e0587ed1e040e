"""The route of an address, for requests that the framework did not get to match.

Who is refused at the door, or asks with a method that is not served, is counted under the route
that was asked for. Looked up for those alone: a request that is served brings its route along.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from litestar.routes import BaseRoute

UNMATCHED: Final = "unmatched"
"""What any address is counted under that is none of ours: there is no end of those."""


@dataclass(slots=True)
class _Node:
    """What may follow in an address; `template` if a route ends here, `takes_rest` for a path."""

    named: "dict[str, _Node]" = field(default_factory=dict)
    parameter: "_Node | None" = None
    template: str | None = None
    takes_rest: bool = False


class RouteTemplates:
    """The templates of all routes (`/api/v1/generation/{session_id}`), by the path of a request.

    As in the framework, what is named goes before a parameter. What a parameter looks like does
    not matter: `/api/v1/generation/none` asks for a generation, too, and for none that there is.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._root = _Node()
        for route in routes:
            self._add(route)

    def of(self, path: str) -> str:
        """The template of a normalised path; `UNMATCHED`: it has none."""
        node: _Node | None = self._root
        for part in path.split("/"):
            if node is None or node.takes_rest:
                break
            if part:
                node = node.named.get(part, node.parameter)
        return (node.template if node is not None else None) or UNMATCHED

    def _add(self, route: BaseRoute) -> None:
        node = self._root
        for component in route.path_components:
            if isinstance(component, str):
                node = node.named.setdefault(component, _Node())
            else:
                if node.parameter is None:
                    node.parameter = _Node(takes_rest=component.type is Path)
                node = node.parameter
        node.template = route.path_format
