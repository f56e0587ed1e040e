"""What both clients tell the HTTP library, and which of its errors mean that an answer was lost."""

from typing import Final, TypedDict
from urllib.parse import urlsplit

import httpx2

from storecredit_client.version import VERSION

CONNECTIONS_MAX: Final = 1000
"""Of one client. A call that waits for the end of a generation keeps one meanwhile: of the hundred
that the library opens, the hundredth would leave none for the others."""
KEPT_MAX: Final = 20
"""Of these, so many stay open for the next call."""

REQUEST_LOST: Final = (
    httpx2.TimeoutException,
    httpx2.NetworkError,
    httpx2.RemoteProtocolError,
    httpx2.ProxyError,
    httpx2.DecodingError,
)
"""It may have arrived or not. Other errors of the library are mistakes, and are not caught."""


class ConnectionOptions(TypedDict):
    """Keyword arguments of `httpx2.Client` and `httpx2.AsyncClient`."""

    base_url: str
    headers: dict[str, str]
    follow_redirects: bool
    limits: httpx2.Limits


def connection_options(base_url: str, api_key: str) -> ConnectionOptions:
    """Raises ValueError for an address or a key that cannot be one."""
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"The service's address is like https://credits.example, not {base_url!r}")
    if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise ValueError("This is no API key: it is empty, or holds a space or a line break.")
    return {
        "base_url": base_url,
        "headers": {
            "Authorization": f"Bearer {api_key}",
            "User-Agent": f"storecredit-client-python/{VERSION}",
        },
        # A key is for the service that it was given for, and a POST would become a GET.
        "follow_redirects": False,
        "limits": httpx2.Limits(
            max_connections=CONNECTIONS_MAX, max_keepalive_connections=KEPT_MAX
        ),
    }
