"""A PostgreSQL on a disk that takes a millisecond to make something durable.

Hides how: a few lines of C (`slow_disk.c`), compiled when needed and loaded into every process of
the server, prolong fdatasync and fsync. Both sides of a comparison run on that same server.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from benchmarks.database_under_test import DatabaseUnderTest, database_in
from benchmarks.results import NotMeasured
from storecredit.postgres.embedded import system_user

SOURCE = Path(__file__).with_name("slow_disk.c")
LIBRARY = "slow_disk.so"
COMMIT_SECONDS_MIN = 0.001


class CannotSimulate(Exception):
    """No such disk can be had here; the message says why."""


@contextmanager
def database_on_a_slow_disk(directory: Path) -> Iterator[DatabaseUnderTest]:
    """A fresh database, on that disk. Raises CannotSimulate, NotMeasured."""
    library = _compiled(directory)
    # Exactly the server that the service would start; only the library is added.
    with (
        patch.dict(system_user.ENVIRONMENT, {"LD_PRELOAD": str(library)}),
        database_in(directory / "data") as database,
    ):
        seconds = database.commit_seconds()
        if seconds < COMMIT_SECONDS_MIN:
            raise NotMeasured(f"a commit took only {seconds * 1e6:.0f} µs on the slow disk")
        yield database


def _compiled(directory: Path) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        raise CannotSimulate("there is no C compiler (cc) to make the slow disk with")
    library = directory / LIBRARY
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise CannotSimulate(f"the slow disk does not compile here: {made.stderr[-200:]}")
    library.chmod(0o755)
    return library
