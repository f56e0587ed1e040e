"""Requests in bursts of one from each connection, so that each batch has as many as the one before.

How many requests share a transaction decides what one of them costs. Under a load that flows it is
the machine's speed that decides how many there are; here the server is stopped while the requests
of a burst are sent to it, and finds all of them when it goes on.
"""

import itertools
import os
import random
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import CREATE_BODY, CREATE_PATH
from benchmarks.results import NotMeasured
from benchmarks.service_under_test import BALANCE_PATH

ANSWER_MAX_SECONDS = 120.0
STOPPED_MAX_SECONDS = 10.0
POLL_SECONDS = 0.001
RECEIVED_MAX_BYTES = 65_536
SUCCESS = (b"200", b"201")


@dataclass(frozen=True, slots=True)
class Bursts:
    """Connections to one server process, which sends nothing by itself.

    The keys are drawn in the same order in each run, and so are the idempotency keys' first digits.
    """

    pid: int
    sockets: Sequence[socket.socket]
    drawn: random.Random
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def create(self, keys: Sequence[str]) -> None:
        """A create with each of these keys, sent in as many bursts as it takes."""
        self._all([self._created(key) for key in keys])

    def balance(self, keys: Sequence[str]) -> None:
        """A look at the balance with each of these keys, likewise."""
        self._all([_request("GET", BALANCE_PATH, key) for key in keys])

    def _created(self, key: str) -> bytes:
        idempotency_key = f"{self.drawn.getrandbits(32):08x}-counted-{next(self._numbers):08d}"
        return _request("POST", CREATE_PATH, key, idempotency_key, CREATE_BODY)

    def _all(self, requests: Sequence[bytes]) -> None:
        size = len(self.sockets)
        for first in range(0, len(requests), size):
            self._one(requests[first : first + size])

    def _one(self, requests: Sequence[bytes]) -> None:
        """Raises NotMeasured if one is not answered with success."""
        sending = self.sockets[: len(requests)]
        os.kill(self.pid, signal.SIGSTOP)
        try:
            _await_stop(self.pid)
            for each, request in zip(sending, requests, strict=True):
                each.sendall(request)
        finally:
            os.kill(self.pid, signal.SIGCONT)
        answers = [answered(each) for each in sending]
        for answer in answers:
            if answer.split(b" ", 2)[1] not in SUCCESS:
                raise NotMeasured(f"an answer was no success: {answer[:300]!r}")


@contextmanager
def bursts(pid: int, port: int, connections: int) -> Iterator[Bursts]:
    """So many connections to a server of this machine."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(
                socket.create_connection(("127.0.0.1", port), timeout=ANSWER_MAX_SECONDS)
            )
            for _ in range(connections)
        ]
        yield Bursts(pid, sockets, random.Random(connections))


def _request(method: str, path: str, key: str, idempotency_key: str = "", body: str = "") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {key}"]
    if idempotency_key:
        head.append(f"Idempotency-Key: {idempotency_key}")
    if body:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return ("\r\n".join([*head, "", ""]) + body).encode()


def answered(connection: socket.socket) -> bytes:
    """One whole answer. Raises NotMeasured."""
    received = b""
    while not (parts := received.partition(b"\r\n\r\n"))[1] or len(parts[2]) < _length(parts[0]):
        more = connection.recv(RECEIVED_MAX_BYTES)
        if not more:
            raise NotMeasured(f"a connection broke after {received[-300:]!r}")
        received += more
    return received


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    raise NotMeasured(f"an answer does not say its length: {head[:300]!r}")


def _await_stop(pid: int) -> None:
    give_up = time.monotonic() + STOPPED_MAX_SECONDS
    while time.monotonic() < give_up:
        # proc_pid_stat(5): the state follows the name, which is in parentheses.
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt":
            return
        time.sleep(POLL_SECONDS)
    raise NotMeasured(f"process {pid} does not stop")
