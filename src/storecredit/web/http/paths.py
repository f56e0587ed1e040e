"""The path of a request in its one spelling, as it is checked and as it is served.

A request id may stand in it, and holds any printable character: a slash does not end it, and one
that is `batch` is not the address of that name. So an id stays one part of the path, encoded, until
its handler reads it (`named_request`).
"""

import re
from typing import Any, Final
from urllib.parse import quote, unquote

from litestar.connection import ASGIConnection
from litestar.exceptions import NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.types import HTTPScope
from litestar.utils import normalize_path

_WITH_REQUEST_ID: Final = re.compile(
    r"(/api/v1/credits/spend/|/api/admin/users/[^/]+/spend/|/api/admin/requests/)"
    r"([^/]+)(/refund)?"
)
_BATCH: Final = "batch"
"""What stands in the place of a request id, and is none where it is sent to."""


def path_of(scope: HTTPScope) -> str:
    """Without what slashes there are too many; a request id in it is encoded."""
    path = scope["path"]
    # Most paths are in their one spelling, and the framework's function makes two copies to see it.
    if not path.startswith("/") or path.endswith("/") or "//" in path:
        path = normalize_path(path)
    if b"/spend/" not in scope["raw_path"] and b"/requests/" not in scope["raw_path"]:
        return path
    asked = normalize_path(scope["raw_path"].decode("latin-1").partition("?")[0])
    found = _WITH_REQUEST_ID.fullmatch(asked)
    if found is None:
        return path
    before, request_id, after = found.groups(default="")
    is_address = request_id == _BATCH and not after and scope["method"] not in {"GET", "HEAD"}
    return path if is_address else f"{before}{encoded_request(unquote(request_id))}{after}"


def refuse_nul(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """A guard of a door: no name in an address has what PostgreSQL has no text for.

    A request id has been encoded by then. Raises NotFoundException.
    """
    if "\0" in connection.scope["path"]:
        raise NotFoundException


def encoded_request(request_id: str) -> str:
    """A request id as one part of a path, which is no other address's name."""
    text = quote(request_id, safe="")
    return text if text != _BATCH else f"%{ord(text[0]):02X}{text[1:]}"


def named_request(part: str) -> str:
    """The request id that a part of the path stands for."""
    return unquote(part)
