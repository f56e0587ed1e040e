"""What every figure is given: how long to measure, where to keep things, and whom to tell."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from benchmarks.database_under_test import DatabaseUnderTest, database_in, keys_file
from benchmarks.history import write_history
from benchmarks.rounds import Plan, interleaved
from benchmarks.service_under_test import ServiceUnderTest, service_on

Name = TypeVar("Name")
Measured = TypeVar("Measured")
WARM_UP_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Bench:
    """One run: its plan, the figures asked for, a directory of its own, and who watches.

    `against`: the checkout of another build to compare with, if there is one.
    """

    plan: Plan
    wanted: frozenset[str]
    directory: Path
    say: Callable[[str], None]
    against: Path | None = None
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def fresh_directory(self) -> Path:
        """A new, empty one."""
        made = self.directory / str(next(self._numbers))
        made.mkdir()
        return made

    @contextmanager
    def database(self, *, prove: bool = True) -> Iterator[DatabaseUnderTest]:
        """A fresh database; the ledger is proven at the end, unless the figure failed."""
        self.say("a fresh database")
        with database_in(self.fresh_directory() / "data") as database:
            yield database
            if prove:
                self.say("proving the ledger")
                database.prove()

    @contextmanager
    def service(
        self,
        *,
        stores: int = 1,
        rows: int = 0,
        processes: int = 1,
        prove: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> Iterator[ServiceUnderTest]:
        """The service on a fresh database of so many stores, or of a ledger of so many rows.

        `settings`: what is not the default, as the environment would have it.
        """
        with self.database(prove=prove) as database:
            if rows:
                self.say(f"writing {rows:,} ledger rows")
                keys = write_history(database, rows)
            else:
                self.say(f"making {stores:,} {'store' if stores == 1 else 'stores'}")
                keys = database.add_stores(stores)
            file = keys_file(database.data_dir.parent / "keys", keys)
            with service_on(database, file, processes=processes, settings=settings) as service:
                yield service

    def rounds(
        self, contenders: Mapping[Name, Callable[[], Measured]]
    ) -> dict[Name, list[Measured]]:
        """Measure them side by side, by the plan."""
        return interleaved(self.plan, contenders, on_step=self.say)
