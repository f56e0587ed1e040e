"""Where an input image may come from: acceptable URLs, public addresses, the limits of a fetch.

Hides the rules of host names and addresses. Promises that no message here contains the URL it
speaks of.

The door calls `refusal`, which is cheap and looks nothing up; `image_download.py` asks the rest
before each hop. What they raise is in `image_errors.py`.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from storecredit.generation.image_errors import ImageRefused
from storecredit.generation.image_forms import decode_data_url, is_data_url

URL_MAX_CHARACTERS = 8192
"""Of an http or https URL: signed ones with a session's token come to some thousand. A `data:` URL
is limited by the bytes it holds."""
REDIRECTS_MAX = 3

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host name and port to addresses; raises `socket.gaierror` like `getaddrinfo`."""


# URLs


def refusal(url: str, *, allow_private_hosts: bool, max_bytes: int) -> str | None:
    """Why `url` is not acceptable as an image URL, as a predicate; None: it is.

    No name is looked up: the download checks the addresses a name resolves to. A `data:` URL is
    decoded: at most `max_bytes`, and of a type that can be read.
    """
    if len(url) <= URL_MAX_CHARACTERS and _PLAIN_URL.fullmatch(url):
        return None
    try:
        if is_data_url(url):
            decode_data_url(url, max_bytes)
        else:
            check_web_url(url, allow_private_hosts=allow_private_hosts)
    except ImageRefused as refused:
        return str(refused)
    return None


_PLAIN_URL = re.compile(
    r"https?://"
    r"(?=[^/]{1,253}(/|\Z))([a-z0-9-]{1,63}\.)+"
    r"(?!localhost)[a-z][a-z0-9-]{0,62}"
    r"(/[!-\[\]-~]*)?"
)
"""What nearly every URL looks like; passes, for a tenth of the price, what the full check passes.

A host name of several labels in small letters, then a path of ASCII without space and backslash;
no port, no user. Its last label begins with a letter, as in no form of an address, however odd.
"""


def check_web_url(url: str, *, allow_private_hosts: bool) -> None:
    """Raise `ImageRefused` unless `url` is an acceptable http or https URL; looks nothing up."""
    if not url.lower().startswith(("https://", "http://")):
        raise ImageRefused("is not an https, http or data: URL.")
    if len(url) > URL_MAX_CHARACTERS:
        raise ImageRefused(f"has a URL longer than {URL_MAX_CHARACTERS:,} characters.")
    # Parsers disagree about these, and a disagreement is how a check is slipped by.
    if "\\" in url or " " in url or not url.isprintable():
        raise ImageRefused("has a URL with a space, a backslash or a control character.")
    host, port, has_user = _authority(url)
    if host is None or port == 0:
        raise ImageRefused("has a URL without a valid host and port.")
    if has_user:
        raise ImageRefused("has a URL with a user name or password.")
    if not allow_private_hosts and _is_local(host):
        raise ImageRefused("points to a private or local address.")


def _authority(url: str) -> tuple[str | None, int | None, bool]:
    """Host (None: it is not valid), port (None: the scheme's own), and whether a user is named."""
    try:
        parts = urlsplit(url)
        return _ascii_host(parts.hostname or ""), parts.port, "@" in parts.netloc
    except ValueError:
        return None, None, False


_HOST_NAME = re.compile(r"(?!.{254})[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE)


def _ascii_host(host: str) -> str | None:
    """The host as ASCII without its closing dot, or None if it is neither name nor address."""
    if ":" in host:
        return host if "%" not in host and _parsed_address(host) is not None else None
    try:
        name = host.encode("idna").decode("ascii").removesuffix(".")
    except UnicodeError:
        return None
    return name if _HOST_NAME.fullmatch(name) else None


def _is_local(host: str) -> bool:
    name = host.lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, section 6.3
        return True
    address = _parsed_address(host)
    return address is not None and not is_public(address)


def _parsed_address(host: str) -> Address | None:
    """The address a literal host stands for, also in the odd forms that resolvers understand.

    `inet_aton` reads 2130706433, 0x7f.1 and 0177.0.0.1 as 127.0.0.1, and so does `getaddrinfo`.
    """
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        pass
    try:
        return ip_address(host)
    except ValueError:
        return None


# Addresses

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # IANA: the only space global addresses come from
_SPECIAL = (
    IPv4Network("192.0.0.0/24"),  # RFC 6890: protocol assignments
    IPv4Network("192.88.99.0/24"),  # RFC 7526: what was the 6to4 relay
    IPv6Network("3fff::/20"),  # RFC 9637: documentation
)


def is_public(address: Address) -> bool:
    """Whether `address` is a unicast address of the public internet.

    False for private, loopback, link-local, shared (RFC 6598), multicast, unspecified, reserved
    and documentation addresses, and for IPv6 addresses that carry such an IPv4 address.
    """
    if isinstance(address, IPv6Address):
        embedded = _embedded_ipv4(address)
        if embedded is not None:
            return is_public(embedded)
        if address not in _GLOBAL_UNICAST:
            return False
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    return not any(address in network for network in _SPECIAL)


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """The addresses that this machine's resolver gives for `host`, in the order to try them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


# Limits


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What a fetch may cost and where it may go.

    `timeout_seconds` is for all hops together. `trusted_host` may be private in any case.
    """

    max_bytes: int
    timeout_seconds: float
    allow_private_hosts: bool
    max_redirects: int
    trusted_host: str | None
