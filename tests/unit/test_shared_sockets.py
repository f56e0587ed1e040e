"""A socket that processes share does not block, whatever is done with it: it would for all."""

import os
import socket
from collections.abc import Callable

import pytest

from storecredit import processes, systemd


def _own() -> socket.socket:
    return processes.listen_on("127.0.0.1", 0, "--port")


def _inherited() -> socket.socket:
    with socket.create_server(("127.0.0.1", 0)) as parents:
        return processes.inherited(os.dup(parents.fileno()))


@pytest.mark.parametrize("made", [_own, _inherited])
def test_a_duplicate_leaves_it_as_it_was(made: Callable[[], socket.socket]) -> None:
    with made() as first, first.dup() as second:
        assert not os.get_blocking(first.fileno())
        with second.dup():
            assert not os.get_blocking(first.fileno())


def test_one_that_systemd_passed_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed:
        monkeypatch.setattr(systemd, "FIRST_DESCRIPTOR", os.dup(passed.fileno()))
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", "1")
        [found] = systemd.passed_sockets()
        with found, found.dup():
            assert not os.get_blocking(passed.fileno()), "in systemd, and in whoever runs, too"
