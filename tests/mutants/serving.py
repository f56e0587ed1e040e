"""A PostgreSQL server for mutants, in a process of its own that imports the service."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

PRISTINE: Final = "storecredit_pristine"
SEVERAL: Final = f"{PRISTINE}_several"
SAID: Final = "served: "


@dataclass(frozen=True, slots=True)
class Served:
    """A superuser's URL, the databases that tests copy, and what it takes to plant a mutant."""

    url: str
    templates: dict[str, str]
    """Those that are copied, and what each is a sound copy of: one has one bucket, one several."""
    search_paths: dict[str, str]
    """Of each bucket's schema; they may be more than a database has."""
    shape: str
    """Tells with $1 the schema and $2 the right to act, in its first column, what there is."""


class Server:
    """A server in `directory`, whose migrated databases are nobody's to change.

    `PRISTINE` has one bucket, `SEVERAL` has several.
    """

    def __init__(self, directory: Path) -> None:
        command = [sys.executable, "-m", "tests.mutants.server_process", str(directory)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        # The service's own log goes there, too.
        said = next(line for line in self._process.stdout if line.startswith(SAID))
        self.served = Served(**json.loads(said.removeprefix(SAID)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
