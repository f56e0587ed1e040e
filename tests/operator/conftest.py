"""The command line within the test's process, on a database of the test's own."""

import pytest

from tests.e2e.in_process import InProcess


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    """For tests that are not async: a command has a loop of its own."""
    monkeypatch.setenv("COLUMNS", "200")
    return InProcess(database_url)
