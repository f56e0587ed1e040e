"""The figures, by name: what `make bench` measures, in this order."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.figures import batches, create, ledger
from benchmarks.results import Result


@dataclass(frozen=True, slots=True)
class Measurement:
    """What is measured together; `measure` leaves out what `bench.wanted` does not name."""

    figures: tuple[str, ...]
    measure: Callable[[Bench], list[Result]]


MEASUREMENTS = (
    Measurement(("F1",), create.one_store),
    Measurement(("F2",), create.many_stores),
    Measurement(("F4",), ledger.one_store),
    Measurement(("F5",), ledger.many_stores),
    Measurement(("F6",), batches.measure),
)
GROWTH: tuple[Measurement, ...] = ()
ALL = (*MEASUREMENTS, *GROWTH)
QUICK = ("F1", "F4", "F6")
