"""The `storecredit` command as a process of its own that has imported the service already.

Half of what a command costs is importing. So one process for each test process imports the service
and no more, and every command is a fork of it: with its own arguments, environment, directory and
files, and with everything else that a process has. That the command starts from nothing is seen
where a reader's shell starts it: `e2e/test_readme.py`.
"""

import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.forks import NAME, become, forks
from tests.log_watch import WATCH


class ForkedCommand:
    """One command, from when it has begun; like `subprocess.Popen`, as far as tests need that."""

    def __init__(
        self,
        arguments: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        *,
        output: Path,
        errors: Path,
        listening: socket.socket | None = None,
    ) -> None:
        """Begin it, with nothing to read; `output` and `errors` are made anew.

        `listening` is passed on to it as systemd does (sd_listen_fds(3)).
        """
        WATCH.follow(errors)
        for path in (output, errors):
            path.write_bytes(b"")
        WATCH.follow(errors, is_mixed=output == errors)
        given = (list(arguments), directory, dict(environment), output, errors, listening)
        self._process = forks().Process(target=become, args=given)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit status, if it has ended; negative: the signal that killed it."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise subprocess.TimeoutExpired(NAME, timeout or 0)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        """Nothing happens where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
