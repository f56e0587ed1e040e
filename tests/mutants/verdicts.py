"""What became of each mutant, kept in a file of lines: the newest line of a mutant counts."""

import fcntl
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from tests.mutants.mutant import Mutant

HERE: Final = Path(__file__).parent
VERDICTS: Final = HERE / "verdicts.tsv"
HARMLESS: Final = HERE / "harmless.toml"


class State(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    HARMLESS = "harmless"
    UNFINISHED = "unfinished"
    UNREACHED = "unreached"
    NO_PROGRAM = "no program"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A mutant's place, and what became of it: `by` names the test that killed it, or says why."""

    mutant: str
    path: str
    function: str
    sort: str
    was: str
    is_now: str
    state: State
    by: str

    @classmethod
    def of(cls, mutant: Mutant, state: State, by: str) -> Self:
        """What became of it."""
        told = (mutant.path, mutant.function, mutant.sort, mutant.was, mutant.is_now)
        return cls(mutant.name, *told, state, by.replace("\t", " "))

    @property
    def line(self) -> str:
        """As it is kept."""
        return "\t".join(str(getattr(self, column.name)) for column in fields(self))

    @classmethod
    def read(cls, line: str) -> Self:
        """As it was kept."""
        mutant, path, function, sort, was, is_now, state, by = line.split("\t")
        return cls(mutant, path, function, sort, was, is_now, State(state), by)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """All verdicts, in a file that several processes add to."""

    path: Path
    harmless: Path

    def keep(self, verdict: Verdict) -> None:
        """Write one more line."""
        with self.path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(f"{verdict.line}\n")

    def known(self) -> dict[str, Verdict]:
        """The newest of each mutant, by its name."""
        if not self.path.exists():
            return {}
        lines = self.path.read_text().splitlines()
        return {verdict.mutant: verdict for verdict in map(Verdict.read, lines)}

    def reasons(self) -> dict[str, str]:
        """Why a mutant that survives changes nothing, by its name."""
        if not self.harmless.exists():
            return {}
        listed = tomllib.loads(self.harmless.read_text())
        return {name: told["why"] for name, told in listed.items()}

    def tidy(self, mutants: Iterable[Mutant]) -> None:
        """One line for each, in their order; of the files and tables of these no others."""
        known = self.known()
        listed = list(mutants)
        paths = {mutant.path for mutant in listed}
        kept = [one for one in known.values() if one.path not in paths]
        kept += [known[mutant.name] for mutant in listed if mutant.name in known]
        kept.sort(key=lambda one: one.path)
        self.path.write_text("".join(f"{verdict.line}\n" for verdict in kept))
