"""F8: how long one create takes with nothing else going on, against the empty endpoint.

One connection, one request after the other.
"""

from dataclasses import replace

from benchmarks.bench import WARM_UP_SECONDS, Bench
from benchmarks.load import LoadReport
from benchmarks.results import Goal, Result, medians, ratios
from benchmarks.service_under_test import EMPTY_PATH, LITESTAR, empty_server


def measure(bench: Bench) -> list[Result]:
    """F8, the median and the 99th percentile; the goal is the median's."""
    with bench.service() as service, empty_server(LITESTAR, bench.fresh_directory()) as url:
        empty = service.load(EMPTY_PATH, connections=1).to(url)
        empty.run(WARM_UP_SECONDS)
        service.create(WARM_UP_SECONDS, connections=1)
        commits: list[float] = []

        def create() -> LoadReport:
            # What of it is the disk's: each create is one commit.
            commits.append(service.database.commit_seconds() * 1e6)
            return service.create(bench.plan.seconds, connections=1).report

        measured = bench.rounds({"empty": lambda: empty.run(bench.plan.seconds), "create": create})
    half = _result(measured, "p50", "half of all creates, one at a time", Goal(at_most=4))
    alone = medians({"a commit alone, µs": commits})
    return [
        replace(half, absolute={**half.absolute, **alone}),
        _result(measured, "p99", "99 of 100 creates, one at a time", None),
    ]


def _result(
    measured: dict[str, list[LoadReport]], percentile: str, what: str, goal: Goal | None
) -> Result:
    times = {
        name: [float(getattr(report, percentile)) for report in reports]
        for name, reports in measured.items()
    }
    return Result(
        figure="F8",
        what=f"{what} ({percentile}), against an empty endpoint",
        unit="×",
        goal=goal,
        rounds=ratios(times["create"], times["empty"]),
        absolute={f"{name}, µs": time for name, time in medians(times).items()},
    )
