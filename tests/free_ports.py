"""Ports for servers that are told where to listen, and start later or more than once."""

import itertools
import os
import socket
from random import randrange
from typing import Final

FIRST: Final = 20_000
LAST: Final = 32_000
"""Below those that the system gives unasked, to clients as well (ip_local_port_range in ip(7)).

One of those, found free and let go, is anybody's until the server listens, and a test beside this
one, with its own servers and clients, may be given it.
"""
SHARES: Final = 32
SHARE: Final = (LAST - FIRST) // SHARES
"""How many a test process has for itself, of those of the runs on one machine at a time."""


def _shares_first() -> int:
    """The first port of this process's share: no two that run side by side draw the same ones."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    if "STORECREDIT_TEST_DATABASE_URL" in os.environ:
        number += SHARES // 2
    return FIRST + number % SHARES * SHARE


# In turn, so that none is given twice before all others were; begun anywhere, for other runs.
_TURN: Final = itertools.count(randrange(SHARE))


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    for _ in range(SHARE):
        number = _shares_first() + next(_TURN) % SHARE
        try:
            socket.create_server(("127.0.0.1", number)).close()
        except OSError:
            continue
        return number
    raise AssertionError("no port is free")
