"""Web origins, as API keys list them and browsers name them."""

import re
from typing import Final

ORIGIN_LENGTH_MAX: Final = 300

_ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://"
    r"(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?",
    re.ASCII | re.IGNORECASE,
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PORT_MAX: Final = 65535


def normalise_origin(origin: str) -> str | None:
    """The one way to write this web origin, or None for what is none (`null` included).

    RFC 6454 §4 and §6.2: scheme and host in lower case, the scheme's default port left out. A
    trailing slash, which people paste, is dropped. Hosts are ASCII (`xn--…`), as browsers send it.
    """
    match = _ORIGIN.fullmatch(origin) if len(origin) <= ORIGIN_LENGTH_MAX else None
    if match is None:
        return None
    scheme, host = match["scheme"].lower(), match["host"].lower()
    port = int(match["port"]) if match["port"] else _DEFAULT_PORTS.get(scheme)
    if port == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{port}" if port is not None and port <= _PORT_MAX else None
