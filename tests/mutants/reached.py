"""Which tests call what, as `reaching.py` wrote it down: so which to run for a mutant, and when."""

import json
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from tests.mutants.generating import CONSTRAINTS
from tests.mutants.mutant import Mutant

NAMED: Final = 3
"""A file that names a function is as likely to notice as one that killed so many of its mutants."""
MODULE_SECONDS: Final = 0.3
"""What a file takes beside its tests: a copy of the database, connections."""
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
    are_asked_for: bool = False
    """Whether these are to be run whatever they call."""

    @classmethod
    def of(cls, names: Sequence[str]) -> Self:
        """Files that somebody names."""
        files = {name: TestFile(1, frozenset(), _words(ROOT / name)) for name in names}
        return cls(files, are_asked_for=True)

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

    def among(self, names: Container[str]) -> Self:
        """Of these files only."""
        return replace(
            self, files={name: file for name, file in self.files.items() if name in names}
        )

    def tests_of(self, mutant: Mutant, killers: Mapping[str, int]) -> list[str]:
        """The files that call it: those first that, by the second, are likeliest to notice it.

        Those are that killed the like of it, and that name it.
        """

        def worth(name: str) -> float:
            file = self.files[name]
            likely = 1 + killers.get(name, 0) + NAMED * (mutant.function in file.words)
            return likely / (file.seconds + MODULE_SECONDS)

        return sorted(self._files_of(mutant), key=worth, reverse=True)

    def _files_of(self, mutant: Mutant) -> list[str]:
        if self.are_asked_for:
            return [*self.files]
        if mutant.path == CONSTRAINTS:
            return [name for name, file in self.files.items() if file.calls_sql]
        wanted = f"{mutant.path}:{mutant.function}" if mutant.is_python else mutant.function
        found = [name for name, file in self.files.items() if wanted in file.called]
        return found or [name for name, file in self.files.items() if mutant.callers & file.called]


def _words(path: Path) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", path.read_text())) if path.exists() else frozenset()
