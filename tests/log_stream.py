"""What the process logs, for a test to read; afterwards the log is set up as it was before."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import structlog

from storecredit import telemetry


class LogStream(io.StringIO):
    """Everything the process logs, as the JSON lines that production writes."""

    def lines(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.getvalue().splitlines()]

    def forget(self) -> None:
        self.seek(0)
        self.truncate()

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["event"] == name]


@contextmanager
def log_setup_restored() -> Iterator[None]:
    """For what sets up the log of the whole process, as each command does."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)


def logged() -> Iterator[LogStream]:
    """What is logged until the iterator ends; no request may break that nobody expected to."""
    stream = LogStream()
    with log_setup_restored():
        telemetry.configure("json", "debug", stream)
        yield stream
    assert stream.events("request_broke") == []
