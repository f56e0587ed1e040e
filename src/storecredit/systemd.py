"""What systemd passes on to a service, and is told by it.

Hides its two protocols, which take no library: listening sockets come as descriptors from 3 on
(sd_listen_fds(3)), and what is told goes to a socket that the environment names (sd_notify(3)).
Without systemd there is nothing in the environment: no socket comes, and nobody is told.
"""

import os
import socket
from typing import Final

from storecredit.telemetry import get_logger

FIRST_DESCRIPTOR: Final = 3

log = get_logger("systemd")


def passed_sockets() -> list[socket.socket]:
    """The listening sockets that were passed to this process; at the second call there are none.

    They stay open in systemd, too: what connects while no process accepts waits in their line.
    """
    process, count, _ = (
        os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    )
    # What another process was given came here by inheritance, and is not for us.
    if process != str(os.getpid()) or not count.isdecimal():
        return []
    descriptors = range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count))
    passed = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    for each in passed:
        each.set_inheritable(False)
        # As of `processes.listen_on`.
        each.settimeout(0)
    return passed


def tell_ready() -> None:
    """The service does its work: `systemctl start` and `restart` return (`Type=notify`)."""
    address = os.environ.pop("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        # One in the abstract namespace (unix(7)).
        address = "\0" + address.removeprefix("@")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
            telling.sendto(b"READY=1", address)
    except OSError as error:
        log.warning("systemd_not_told", reason=str(error))
