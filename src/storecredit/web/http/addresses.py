"""Whose an address is, what a request to it counts as, and what names it."""

from typing import Final

from litestar.types import HTTPScope
from uuid_utils import uuid4

from storecredit.stores.rate_limits import Budget
from storecredit.web.http.envelope import Failure, invalid
from storecredit.web.http.headers import SentHeaders
from storecredit.web.http.request_ids import REQUEST_ID_MAX, is_request_id

B2B: Final = "/api/v1"
ADMIN: Final = "/api/admin"
B2C: Final = "/api/trpc"
RESULTS: Final = "/results"
CREATE_PATH: Final = "/api/v1/generation/create"
CREDITS: Final = "/api/v1/credits/"
USERS: Final = f"{ADMIN}/users/"
MOVED_BELOW: Final = (CREDITS, USERS)
"""Below these, a POST moves credits: a store's own, or those of an end user."""
KEYED_PATHS: Final = frozenset({CREATE_PATH, "/api/v1/billing/checkout"})
"""Where an Idempotency-Key takes the place of X-Request-Id; it does so wherever credits move."""


def is_b2c(path: str) -> bool:
    """Whether this is an address of tRPC."""
    return path.startswith(B2C) and (path == B2C or path[len(B2C)] == "/")


def moves_credits(scope: HTTPScope) -> bool:
    """Whether it is a request that takes an owner's credits or gives them back."""
    path = scope["path"]
    return scope["method"] == "POST" and (path == CREATE_PATH or path.startswith(MOVED_BELOW))


def budget_of(scope: HTTPScope) -> Budget:
    """What a request of a store counts as."""
    if not moves_credits(scope):
        return "read"
    return "create" if scope["path"] == CREATE_PATH else "spend"


def request_id_of(scope: HTTPScope, headers: SentHeaders) -> tuple[str, Failure | None]:
    """The request's id, and what is wrong with the one that was sent."""
    path = scope["path"]
    is_keyed = b"idempotency-key" in headers and (
        path in KEYED_PATHS or moves_credits(scope) or path.startswith(f"{ADMIN}/")
    )
    name = b"idempotency-key" if is_keyed else b"x-request-id"
    sent = headers.get(name)
    if sent is None:
        return f"req_{uuid4()}", None
    # The space around a value is none of it (RFC 9110, 5.5); the parser leaves what follows it.
    request_id = _unquoted(sent.strip(" \t")) if is_keyed else sent.strip(" \t")
    is_right = (
        all(map(is_request_id, call_ids(request_id))) if is_b2c(path) else is_request_id(request_id)
    )
    if is_right and headers.stands_once(name):
        return request_id, None
    return f"req_{uuid4()}", invalid(
        f"A request id is one header of 1 to {REQUEST_ID_MAX} printable ASCII characters.",
        [{"key": name.decode(), "source": "header", "message": "not a request id"}],
    )


def call_ids(request_id: str) -> list[str]:
    """The ids of a tRPC request: as its path names its calls, so this header their ids."""
    return [each.strip(" \t") for each in request_id.split(",")]


def _unquoted(value: str) -> str:
    """The string of an Idempotency-Key: a structured-field string (RFC 9651, 3.3.3), or bare."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return value
