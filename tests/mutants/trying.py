"""Tries mutants one after the other, each on the tests that call what was changed.

Several processes take the next one that nobody has taken; each has a server and, for Python, a copy
of the sources, of its own.
"""

import contextlib
import importlib
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Final

from tests.mutants import planting, trial
from tests.mutants.generating import SOURCE
from tests.mutants.mutant import Mutant
from tests.mutants.reached import Reached
from tests.mutants.serving import Served, Server
from tests.mutants.verdicts import State, Verdict, Verdicts

FIRST_FILES: Final = 3
"""Most mutants do not outlive these: of the other files nothing is even imported."""
_IMPORTED: Final = "import sys, storecredit.service; print(*sys.modules)"


@dataclass(frozen=True, slots=True)
class Task:
    """Which mutants are to be tried, on what, and for how long.

    `most_seconds` of tests for each; after `until`, in seconds since 1970, no further one is begun.
    """

    mutants: Sequence[Mutant]
    reached: Reached
    verdicts: Verdicts
    most_seconds: float
    until: float


@dataclass(slots=True)
class Tries:
    """What one process tries mutants with."""

    task: Task
    served: Served
    directory: Path
    killers: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    is_sound: dict[str, bool] = field(default_factory=dict)

    def verdict(self, mutant: Mutant) -> Verdict:
        """Plant it, and see who notices."""
        killers = self.killers[mutant.path]
        found = self.task.reached.tests_of(mutant, killers)
        tests = [name for name in found if self.is_sound.get(name, True)]
        if not tests:
            return Verdict.of(mutant, State.UNREACHED, "")
        environment = {"STORECREDIT_TEST_DATABASE_URL": self.served.url}
        try:
            if mutant.is_python:
                environment["PYTHONPATH"] = self._written(mutant)
            else:
                planting.plant(self.served, mutant.planted)
        except planting.NoMutant as error:
            return Verdict.of(mutant, State.NO_PROGRAM, str(error).splitlines()[0])
        state, by = self._tried(tests, environment)
        if state is State.KILLED:
            file = by.partition("::")[0]
            if not self._passes_unchanged(file):
                return Verdict.of(mutant, State.UNFINISHED, f"{file} fails with nothing planted")
            killers[file] += 1
        return Verdict.of(mutant, state, by)

    def _tried(self, tests: Sequence[str], environment: dict[str, str]) -> tuple[State, str]:
        until = time.monotonic() + self.task.most_seconds
        for some in filter(None, (tests[:FIRST_FILES], tests[FIRST_FILES:])):
            left = until - time.monotonic()
            ended = trial.run(some, environment, self.directory, most_seconds=left)
            if ended.failed is not None:
                return State.KILLED, ended.failed
            if not ended.is_whole:
                return State.UNFINISHED, f"{self.task.most_seconds:.0f} seconds of tests"
        return State.SURVIVED, f"{len(tests)} files of tests"

    def _passes_unchanged(self, file: str) -> bool:
        """Whether it is the mutant that a file of tests fails for; looked at once for each file."""
        if file not in self.is_sound and file.endswith(".py"):
            planting.renew(self.served)
            environment = {"STORECREDIT_TEST_DATABASE_URL": self.served.url}
            most = self.task.most_seconds
            ended = trial.run([file], environment, self.directory, most_seconds=most)
            self.is_sound[file] = ended.failed is None
        return self.is_sound.get(file, True)

    def _written(self, mutant: Mutant) -> str:
        """The sources once more, one file of them changed."""
        copied = self.directory / "src"
        shutil.rmtree(copied, ignore_errors=True)
        shutil.copytree(SOURCE.parent, copied, ignore=shutil.ignore_patterns("*.egg-info"))
        written = copied / SOURCE.name / mutant.path
        written.write_text(mutant.planted)
        # The compiled file may be of the same second and size.
        for compiled in (written.parent / "__pycache__").glob(f"{written.stem}.*"):
            compiled.unlink()
        return str(copied)


def import_first(*, is_python: bool) -> None:
    """What a fork need not import: of Python's mutants nothing that may be one."""
    if not is_python:
        importlib.import_module("storecredit.service")
        return
    command = [sys.executable, "-c", _IMPORTED]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    for name in said.stdout.split():
        if name.partition(".")[0] not in {"storecredit", "__main__"}:
            # Some are made by others and cannot be imported by their names.
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def try_all(task: Task, taken: "Synchronized[int]", directory: Path) -> None:
    """Take mutants until all are taken, or the time is over; each verdict is kept at once."""
    directory.mkdir()
    with Server(directory / "server") as server:
        tries = Tries(task, server.served, directory)
        planting.renew(server.served)
        while time.time() < task.until:
            with taken.get_lock():
                place, taken.value = taken.value, taken.value + 1
            if place >= len(task.mutants):
                return
            verdict = tries.verdict(task.mutants[place])
            task.verdicts.keep(verdict)
            print(verdict.line, flush=True)  # noqa: T201 - it is a command
