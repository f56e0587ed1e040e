"""Where links in answers lead to: to the address under which the service is reached.

That is STORECREDIT_PUBLIC_URL where it is set. Else it is the address of the request: the Host
header and the scheme of the connection, or what proxies tell of those that they received. Anybody
can send such headers, so only those are read that the settings name, and of these only what a
named proxy wrote (`trusted_proxies`, `forwarded_headers`).
"""

import re
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from typing import Final

from litestar.types import HTTPScope

from storecredit.settings import PORT_MAX, Settings
from storecredit.web.http.envelope import invalid
from storecredit.web.http.headers import SentHeaders
from storecredit.web.parts import Parts

_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::([0-9]{1,5}))?")
"""Host and port: a name, an IPv4 address, or an IPv6 address in brackets."""
_PAIR: Final = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)="
    r'(?:"((?:[^"\\]|\\.)*)"|([^ \t",;]*))[ \t]*(;|,|\Z)|[ \t]*(;|,)'
)
"""One `name=value` of the Forwarded header (RFC 7239, 4) and what follows it; or nothing."""


def link_base(scope: HTTPScope, parts: Parts) -> str:
    """What links handed out begin with, without a slash at its end.

    Raises Failure (400) for a header that names no host.
    """
    public_url = parts.settings.public_url
    if public_url is not None:
        return public_url.rstrip("/")
    return "{}://{}".format(*address_asked(scope, parts.settings))


def location(path: str, parts: Parts) -> str:
    """A Location: the public address of a path of ours, else the path, whoever is asked for it."""
    public_url = parts.settings.public_url
    return path if public_url is None else public_url.rstrip("/") + path


def address_asked(scope: HTTPScope, settings: Settings) -> tuple[str, str]:
    """Scheme and host (with port, if any) under which the client asked, as far as can be told.

    Raises Failure (400) for a header that names none.
    """
    sent = SentHeaders(scope["headers"])
    scheme, host = scope["scheme"], _host_asked(scope, sent)
    if not _is_trusted(_peer(scope), settings):
        return scheme, host
    named = settings.forwarded_headers
    if "forwarded" in named:
        told = _told_by_forwarded(sent, settings)
        scheme, host = told.get("proto", scheme), told.get("host", host)
    if "x-forwarded-proto" in named:
        scheme = _last(sent, b"x-forwarded-proto") or scheme
    if "x-forwarded-host" in named:
        host = _last(sent, b"x-forwarded-host") or host
    return _checked_scheme(scheme), _checked_host(host)


def _host_asked(scope: HTTPScope, sent: SentHeaders) -> str:
    hosts = sent.all(b"host")
    if len(hosts) > 1:
        raise invalid("One Host header is needed.")
    if hosts and hosts[0]:
        return _checked_host(hosts[0])
    # It may be missing in HTTP/1.0, and empty (RFC 9110, 7.2): then only we know our address.
    address, port = scope["server"] or ("localhost", None)
    host = f"[{address}]" if ":" in address else address
    return host if port is None else f"{host}:{port}"


def _last(sent: SentHeaders, name: bytes) -> str | None:
    """The last value of a list: each proxy adds its own at the end, or replaces all by it."""
    values = [value for line in sent.all(name) for value in line.split(",")]
    return values[-1].strip() if values else None


def _told_by_forwarded(sent: SentHeaders, settings: Settings) -> dict[str, str]:
    """`proto` and `host` as the outermost of the named proxies received them.

    The last element was written by the proxy that speaks to us. If that was asked by a named
    proxy, too (`for`), then the one before is of that proxy; and so on. All before is hearsay.
    """
    told: dict[str, str] = {}
    for element in reversed(list(_elements(",".join(sent.all(b"forwarded")).strip()))):
        told |= element
        if not _is_trusted(element.get("for"), settings):
            break
    return told


def _elements(forwarded: str) -> Iterator[dict[str, str]]:
    """The elements of a Forwarded header, names in lower case."""
    element: dict[str, str] = {}
    place = 0
    while place < len(forwarded):
        pair = _PAIR.match(forwarded, place)
        if pair is None:
            raise invalid("The Forwarded header cannot be read (RFC 7239).")
        name, quoted, bare, end, end_of_nothing = pair.groups()
        if name is not None:
            value = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            element[name.lower()] = value
        if (end or end_of_nothing) == ",":
            yield element
            element = {}
        place = pair.end()
    yield element


def _peer(scope: HTTPScope) -> str | None:
    return scope["client"][0] if scope["client"] is not None else None


def _is_trusted(node: str | None, settings: Settings) -> bool:
    """Whether this is the address of a named proxy; a name or `unknown` never is."""
    if node is None or not settings.trusted_proxies:
        return False
    try:
        address = ip_address(_without_port(node))
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in settings.trusted_proxies)


def _without_port(node: str) -> str:
    """The address of a node (RFC 7239, 6): IPv6 in brackets or bare, either with a port."""
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node


def _checked_scheme(scheme: str) -> str:
    if scheme.lower() not in {"http", "https"}:
        raise invalid("A forwarded header names a scheme that is neither http nor https.")
    return scheme.lower()


def _checked_host(host: str) -> str:
    found = _HOST.fullmatch(host.strip(" \t"))
    if found is None or int(found[1] or 0) > PORT_MAX:
        raise invalid("The Host header, or one that a proxy forwards, names no host and port.")
    return found[0]
