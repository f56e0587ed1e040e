"""What commands are forks of: a process that has imported the service, and no more.

It imports this module, too, and nothing that only tests have.
"""

import multiprocessing
import os
import socket
import sys
from pathlib import Path

from storecredit import cli, service
from storecredit.backups import taking
from storecredit.cli import main
from storecredit.postgres import opening
from storecredit.systemd import FIRST_DESCRIPTOR

LOADED_LATE = ("httpcore", "paddle_billing.Notifications")
"""What is imported only by who needs it, and costs more than all the rest of a command."""
IMPORTED_FIRST = [
    *(module.__name__ for module in (cli, service, taking, opening)),
    *LOADED_LATE,
    __name__,
    "tests.frozen",
]
NAME = "storecredit"


def forks() -> multiprocessing.context.ForkServerContext:
    """Makes processes that have imported the service."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(IMPORTED_FIRST)
    return forks


def become(
    arguments: list[str],
    directory: Path,
    environment: dict[str, str],
    output: Path,
    errors: Path,
    listening: socket.socket | None,
) -> None:
    """What the fork does: it becomes the command."""
    # Of a session of its own, as a server is: no Ctrl-C for the tests is one for it.
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    written = [os.open(path, os.O_WRONLY) for path in (output, errors)]
    for place, descriptor in enumerate([nothing, *written]):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    if listening is not None:
        os.dup2(listening.detach(), FIRST_DESCRIPTOR)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
    sys.argv[:] = [NAME, *arguments]
    main()
