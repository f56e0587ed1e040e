"""Which tests call what, as `reaching.py` wrote it down: so which to run for a mutant, and when."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.mutants.generating import CONSTRAINTS
from tests.mutants.mutant import Mutant

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class TestFile:
    """A file of tests: how long it takes, what it calls, which words stand in it."""

    seconds: float
    called: frozenset[str]
    words: frozenset[str]

    __test__ = False

    @property
    def calls_sql(self) -> bool:
        """Whether it calls any function of SQL."""
        return any(":" not in name for name in self.called)


@dataclass(frozen=True, slots=True)
class Reached:
    """All files of tests that were looked at, and passed with nothing planted."""

    files: Mapping[str, TestFile]

    @classmethod
    def read(cls, path: Path) -> Self:
        """What was recorded; nothing, where nothing was."""
        known = json.loads(path.read_text()) if path.exists() else {}
        return cls(
            {
                name: TestFile(one["seconds"], frozenset(one["called"]), _words(ROOT / name))
                for name, one in known.items()
            }
        )

    def tests_of(self, mutant: Mutant, killers: Mapping[str, int]) -> list[str]:
        """The files that call it.

        Those first that killed the like of it, then those that name it, each time the quickest.
        """

        def rank(name: str) -> tuple[int, bool, float]:
            file = self.files[name]
            return -killers.get(name, 0), mutant.function not in file.words, file.seconds

        return sorted(self._files_of(mutant), key=rank)

    def _files_of(self, mutant: Mutant) -> list[str]:
        if mutant.path == CONSTRAINTS:
            return [name for name, file in self.files.items() if file.calls_sql]
        wanted = f"{mutant.path}:{mutant.function}" if mutant.is_python else mutant.function
        found = [name for name, file in self.files.items() if wanted in file.called]
        return found or [name for name, file in self.files.items() if mutant.callers & file.called]


def _words(path: Path) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", path.read_text())) if path.exists() else frozenset()
