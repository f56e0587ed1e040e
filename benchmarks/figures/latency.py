"""L1, L2: latency of a create under load, and whether one store can spoil it for another.

A closed loop: each connection sends its next request when the last one is answered.
"""

from functools import partial
from pathlib import Path

from benchmarks.bench import WARM_UP_SECONDS, Bench
from benchmarks.database_under_test import keys_file
from benchmarks.load import LoadReport, finished, settle_down
from benchmarks.results import Goal, Result, medians, ratios
from benchmarks.service_under_test import ServiceUnderTest

CONNECTIONS = (1, 16, 64, 256)
QUIET, LOUD = 16, 200
MS = 1e-3


def under_load(bench: Bench) -> list[Result]:
    """L1: p50, p99 and p99.9 at four numbers of connections."""

    def create(connections: int) -> LoadReport:
        return service.create(bench.plan.seconds, connections=connections).report

    with bench.service() as service:
        service.create(WARM_UP_SECONDS)
        names = {str(each): partial(create, each) for each in CONNECTIONS}
        measured = bench.rounds(names)
    return [_latency(name, reports) for name, reports in measured.items()]


def _latency(connections: str, reports: list[LoadReport]) -> Result:
    values = {
        "p50, ms": [report.p50 * MS for report in reports],
        "p99, ms": [report.p99 * MS for report in reports],
        "p99.9, ms": [report.p999 * MS for report in reports],
        "creates, /s": [report.per_second for report in reports],
    }
    return Result(
        figure="L1",
        what=f"99 of 100 creates, {connections} connection{'s' * (connections != '1')} (p99)",
        unit="ms",
        at=connections,
        rounds=tuple(values["p99, ms"]),
        absolute=medians(values),
    )


def fairness(bench: Bench) -> list[Result]:
    """L2: one store with 16 connections, alone and beside another store with 200."""
    with bench.service(stores=2) as service:
        quiet, loud = service.keys.read_text().split()
        directory = service.keys.parent
        files = (keys_file(directory / "quiet", [quiet]), keys_file(directory / "loud", [loud]))
        service.create(WARM_UP_SECONDS)
        measured = bench.rounds(
            {
                "alone": partial(_quiet_p99, bench, service, files[0], None),
                "beside": partial(_quiet_p99, bench, service, *files),
            }
        )
    return [
        Result(
            figure="L2",
            what=f"a store's p99 ({QUIET} connections) beside one with {LOUD}, against alone",
            unit="×",
            goal=Goal(at_most=3, in_every_round=True),
            rounds=ratios(measured["beside"], measured["alone"]),
            absolute={f"p99 {name}, ms": time for name, time in medians(measured).items()},
        )
    ]


def _quiet_p99(bench: Bench, service: ServiceUnderTest, quiet: Path, loud: Path | None) -> float:
    """The quiet store's p99 in milliseconds; the loud one begins before it and ends after it."""
    before = service.database.counts()
    seconds = bench.plan.seconds
    load = service.load(connections=QUIET, keys=quiet)
    if loud is None:
        report, others = load.run(seconds), 0
    else:
        with service.load(connections=LOUD, keys=loud).running(seconds + 1) as wrk:
            settle_down()
            report = load.run(seconds)
            others = finished(wrk, seconds).answers
    service.check(before, report.answers + others, QUIET + LOUD)
    service.database.settle()
    return report.p99 * MS
