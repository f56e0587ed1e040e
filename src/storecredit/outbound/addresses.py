"""Which addresses may be connected to, and the names that lead to them.

A name may lead somewhere else a moment later, so a check is worth something only where the
connection is then made to the very address that was checked.
"""

import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host name and port to addresses; raises `socket.gaierror` like `getaddrinfo`."""

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


def aton(host: str) -> IPv4Address | None:
    """The IPv4 address of a literal host in any form that `getaddrinfo` takes for one.

    `inet_aton` reads 2130706433, 0x7f.1 and 0177.0.0.1 as 127.0.0.1, and so does `getaddrinfo`.
    """
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
