"""Tries mutants one after the other, each on the tests that call what was changed.

Several processes take the next one that nobody has taken; each has a server, the tests as it
collected them once and, for Python, a copy of the sources, of its own.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import pytest

from tests.mutants import planting, replacing, trial
from tests.mutants.collected import with_collected
from tests.mutants.mutant import Mutant
from tests.mutants.ordering import Order
from tests.mutants.reached import Reached
from tests.mutants.serving import Served, Server
from tests.mutants.verdicts import State, Verdict, Verdicts

Collected = Mapping[str, Sequence[pytest.Item]]


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
    order: Order
    sources: replacing.Sources | None
    is_sound: dict[str, bool] = field(default_factory=dict)

    def verdict(self, mutant: Mutant) -> Verdict:
        """Plant it, and see who notices."""
        tests = [
            item for item in self.order.tests_of(mutant) if self.is_sound.get(item.nodeid, True)
        ]
        if not tests:
            return Verdict.of(mutant, State.UNREACHED, "")
        try:
            first = self._planted(mutant)
        except planting.NoMutant as error:
            return Verdict.of(mutant, State.NO_PROGRAM, str(error).splitlines()[0])
        most = self.task.most_seconds
        ended = trial.run(tests, self.directory, most_seconds=most, first=first)
        planting.drop_copies(self.served)
        verdict = self._judged(mutant, tests, ended)
        self.order.learn(verdict)
        return verdict

    def _planted(self, mutant: Mutant) -> Callable[[], None]:
        """Change the database; what is given back changes Python, in the fork."""
        if not mutant.is_python:
            planting.plant(self.served, mutant.planted)
            return lambda: None
        assert self.sources is not None
        return self.sources.replaced(mutant)

    def _judged(self, mutant: Mutant, tests: Sequence[pytest.Item], ended: trial.Ended) -> Verdict:
        if ended.failed is not None:
            if not self._passes_unchanged(tests, ended.failed):
                by = f"{ended.failed} fails with nothing planted"
                return Verdict.of(mutant, State.UNFINISHED, by)
            return Verdict.of(mutant, State.KILLED, ended.failed)
        if ended.is_whole and not self.task.reached.are_asked_for:
            return Verdict.of(mutant, State.SURVIVED, f"{len(tests)} tests")
        return Verdict.of(mutant, State.UNFINISHED, f"{ended.passed} of {len(tests)} tests")

    def _passes_unchanged(self, tests: Sequence[pytest.Item], failed: str) -> bool:
        """Whether it is the mutant that a test fails for; looked at once for each test."""
        if failed not in self.is_sound:
            planting.renew(self.served)
            of_it = [item for item in tests if item.nodeid == failed]
            ended = trial.run(of_it, self.directory, most_seconds=self.task.most_seconds)
            planting.drop_copies(self.served)
            self.is_sound[failed] = ended.failed is None
        return self.is_sound[failed]


def try_all(task: Task, taken: "Synchronized[int]", directory: Path) -> None:
    """Take mutants until all are taken, or the time is over; each verdict is kept at once."""
    directory.mkdir()
    with Server(directory / "server") as server:
        planting.renew(server.served)
        is_python = any(mutant.is_python for mutant in task.mutants)

        def work(collected: Collected) -> None:
            order = Order(task.reached, collected, task.verdicts.known().values())
            sources = replacing.Sources(directory / "src") if is_python else None
            tries = Tries(task, server.served, directory, order, sources)
            _try_all(tries, taken)

        with_collected(sorted(task.reached.files), server.served.url, str(directory / "py"), work)


def _try_all(tries: Tries, taken: "Synchronized[int]") -> None:
    task = tries.task
    while time.time() < task.until:
        with taken.get_lock():
            place, taken.value = taken.value, taken.value + 1
        if place >= len(task.mutants):
            return
        began, used = time.monotonic(), sum(os.times()[:4])
        verdict = tries.verdict(task.mutants[place])
        task.verdicts.keep(verdict)
        took = f"{time.monotonic() - began:.1f} s, {sum(os.times()[:4]) - used:.1f} s of Python"
        print(f"{verdict.line}\t{took}", flush=True)  # noqa: T201 - it is a command
