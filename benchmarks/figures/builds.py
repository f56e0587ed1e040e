"""B1–B5: this build against another one, side by side in interleaved rounds (`--against`)."""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from benchmarks.bench import Bench
from benchmarks.builds import measuring
from benchmarks.one_build import BALANCE, CREATE, DEDUCT
from benchmarks.processes import ROOT
from benchmarks.results import Goal, NotMeasured, Result, medians, ratios

THIS, OTHER = "this build", "the other"
STORES = 10_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure: what both builds do, with so many connections or stores, and what counts of it.

    `value` is one of those that `one_build.py` tells, in `unit`.
    """

    figure: str
    what: str
    kind: str
    count: int
    goal: Goal
    value: str = "per_second"
    unit: str = "/s"

    def measure(self, bench: Bench) -> list[Result]:
        """The ratio of this build to the other."""
        if bench.against is None:
            raise NotMeasured("there is no other build: name its checkout with --against")
        with ExitStack() as stack:
            sides = {}
            for name, checkout in ((THIS, ROOT), (OTHER, bench.against)):
                bench.say(f"making ready: {name}")
                measure = stack.enter_context(
                    measuring(checkout, self.kind, self.count, bench.fresh_directory())
                )
                sides[name] = partial(measure, bench.plan.seconds)
            told = bench.rounds(sides)
        values = {name: [each[self.value] for each in answers] for name, answers in told.items()}
        return [
            Result(
                figure=self.figure,
                what=self.what,
                unit="×",
                goal=self.goal,
                rounds=ratios(values[THIS], values[OTHER]),
                absolute=medians({f"{name}, {self.unit}": each for name, each in values.items()}),
            )
        ]


COMPARISONS = (
    Comparison(
        "B1",
        "half of all creates, one at a time (p50), against another build",
        CREATE,
        1,
        Goal(at_most=0.75),
        value="p50",
        unit="µs",
    ),
    Comparison("B2", "create, one hot store, against another build", CREATE, 64, Goal(at_least=1)),
    Comparison(
        "B3",
        "deductions by the ledger alone, one store, against another build",
        DEDUCT,
        1,
        Goal(at_least=1.15),
    ),
    Comparison(
        "B4",
        f"deductions by the ledger alone, random among {STORES:,} stores, against another build",
        DEDUCT,
        STORES,
        Goal(at_least=1.15),
    ),
    Comparison("B5", "balance, against another build", BALANCE, 64, Goal(at_least=0.95)),
)
