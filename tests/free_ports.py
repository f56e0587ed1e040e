"""Ports for servers that are told where to listen, and start later or more than once."""

import socket
from random import randrange
from typing import Final

FIRST: Final = 20_000
LAST: Final = 32_000
"""Below those that the system gives unasked, to clients as well (ip_local_port_range in ip(7)).

One of those, found free and let go, is anybody's until the server listens, and a test beside this
one, with its own servers and clients, may be given it.
"""
TRIED_MAX: Final = 100


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    for _ in range(TRIED_MAX):
        number = randrange(FIRST, LAST)
        try:
            socket.create_server(("127.0.0.1", number)).close()
        except OSError:
            continue
        return number
    raise AssertionError("no port is free")
