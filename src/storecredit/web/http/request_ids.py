"""What names a request: in a header, in a body, in a path."""

from typing import Annotated, Final

import msgspec

from storecredit.settings import Settings
from storecredit.web.http.faults import Check

REQUEST_ID_MAX: Final = 200


def is_request_id(value: str) -> bool:
    """Whether `value` can name a request."""
    has_a_length = 1 <= len(value) <= REQUEST_ID_MAX and value == value.strip()
    return has_a_length and value.isascii() and value.isprintable()


def _refusal(request_id: str, _settings: Settings) -> str | None:
    if is_request_id(request_id):
        return None
    return f"A request id has 1 to {REQUEST_ID_MAX} printable ASCII characters."


RequestId = Annotated[str, msgspec.Meta(min_length=1, max_length=REQUEST_ID_MAX), Check(_refusal)]
"""A request id in a body."""
