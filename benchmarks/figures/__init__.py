"""The figures, by name: what `make bench` measures, in this order."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.figures import (
    alone,
    balance,
    batches,
    create,
    growth,
    latency,
    ledger,
    long_ledger,
    memory,
    start,
    storm,
    worker,
)
from benchmarks.results import Result


@dataclass(frozen=True, slots=True)
class Measurement:
    """What is measured together; `measure` leaves out what `bench.wanted` does not name."""

    figures: tuple[str, ...]
    measure: Callable[[Bench], list[Result]]


MEASUREMENTS = (
    Measurement(("F1",), create.one_store),
    Measurement(("F2",), create.many_stores),
    Measurement(("F3",), balance.measure),
    Measurement(("F4",), ledger.one_store),
    Measurement(("F5",), ledger.many_stores),
    Measurement(("F6",), batches.measure),
    Measurement(("F7", "F11"), long_ledger.measure),
    Measurement(("F8",), alone.measure),
    Measurement(("F9",), worker.measure),
    Measurement(("F10",), memory.measure),
    Measurement(("F12",), start.measure),
    Measurement(("L1",), latency.under_load),
    Measurement(("L2",), latency.fairness),
    Measurement(("L3",), storm.measure),
)
GROWTH = (
    Measurement(("G1",), growth.with_rows),
    Measurement(("G2",), growth.with_stores),
    Measurement(("G3",), growth.with_processes),
)
ALL = (*MEASUREMENTS, *GROWTH)
QUICK = ("F1", "F4", "F6")
