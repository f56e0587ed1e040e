"""The command line within the test's process, on a database of the test's own."""

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout

import pytest
import structlog

from storecredit.cli import main
from tests.e2e.conftest import Done


class Command:
    """Runs `storecredit` with these arguments and the database's URL."""

    def __init__(self, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._database_url = database_url
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: object) -> Done:
        words = ["storecredit", *map(str, arguments), "--database-url", self._database_url]
        self._monkeypatch.setattr(sys, "argv", words)
        output, errors = io.StringIO(), io.StringIO()
        with redirect_stdout(output), redirect_stderr(errors), pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), output.getvalue(), errors.getvalue())


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """For tests that are not async: a command has a loop of its own."""
    monkeypatch.setenv("COLUMNS", "200")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Command(database_url, monkeypatch)
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
