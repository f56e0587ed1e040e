"""A `storecredit` for the shells that run our pages, which has imported the service already.

A page names it a dozen times, and each start from nothing costs half a second. Here it is a small
program, first in the shell's PATH, that hands all a command has to a process forked for it: its
arguments, directory, environment and files. What serves is started from nothing all the same, and
so is everything in `test_readme.py`.
"""

import json
import multiprocessing
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path

from storecredit.cli import main
from tests.forks import NAME, forks

COMMAND = Path(sys.executable).with_name(NAME)
LENGTH_BYTES = 4
FILES = (0, 1, 2)
PROGRAM = """#!{python} -IS
import json, os, socket, sys

if sys.argv[1:2] in (["serve"], ["worker"]):
    os.execv({command!r}, [{command!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as there:
    there.connect({address!r})
    given = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(there, [len(given).to_bytes({length}, "big")], {files})
    there.sendall(given)
    ended = there.recv(1)
sys.exit(ended[0] if ended else "It was cut off.")
"""


@contextmanager
def shell_command(directory: Path) -> Iterator[Path]:
    """The directory to be first in PATH, for as long as the block lasts."""
    address = str(directory / "forks")
    program = directory / NAME
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        program.write_text(
            PROGRAM.format(
                python=sys.executable,
                command=str(COMMAND),
                address=address,
                length=LENGTH_BYTES,
                files=FILES,
            )
        )
        program.chmod(0o755)
        server = forks().Process(target=_serve, args=(listening,), daemon=True)
        server.start()
    try:
        yield directory
    finally:
        server.terminate()
        server.join()


def _serve(listening: socket.socket) -> None:
    """Fork for each that asks, until the tests are gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody here waits for the forks
    tests = multiprocessing.parent_process()
    assert tests is not None
    while tests.sentinel not in wait([listening, tests.sentinel]):
        there, _ = listening.accept()
        with there:
            if os.fork() == 0:
                listening.close()
                _become_what_is_asked(there)


def _become_what_is_asked(there: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    length, files, _, _ = socket.recv_fds(there, LENGTH_BYTES, len(FILES))
    with there.makefile("rb") as asked:
        arguments, directory, environment = json.loads(asked.read(int.from_bytes(length, "big")))
    for place, descriptor in zip(FILES, files, strict=True):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = [NAME, *arguments]
    status = _status_of_main()
    sys.stdout.flush()
    sys.stderr.flush()
    there.sendall(bytes([status]))
    os._exit(status)


def _status_of_main() -> int:
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:  # noqa: BLE001 - as an interpreter does with what nobody catches
        traceback.print_exc()
        return 1
    return 0
