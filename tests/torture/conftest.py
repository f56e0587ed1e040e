"""A primary and a standby to torture, of the same making as those that change places elsewhere."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import roomy_memory
from tests.crash.conftest import seed
from tests.postgres.replication.conftest import base

__all__ = ["base", "place", "seed"]


@pytest.fixture
def place() -> Iterator[Path]:
    """Where all of a run is kept: the servers' own user reaches it."""
    directory = Path(tempfile.mkdtemp(prefix="storecredit-torture-", dir=roomy_memory()))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)
