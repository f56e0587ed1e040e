"""F8: how long one create takes with nothing else going on, against what it cannot do without.

One connection, one request after the other. A create is a request and a commit: it stands beside
the sum of an empty endpoint's time and a commit's that writes next to nothing.
"""

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
            commits.append(service.database.commit_seconds() * 1e6)
            return service.create(bench.plan.seconds, connections=1).report

        measured = bench.rounds({"empty": lambda: empty.run(bench.plan.seconds), "create": create})
    return [
        _result(measured, commits, "p50", "half of all creates, one at a time", Goal(at_most=1.25)),
        _result(measured, commits, "p99", "99 of 100 creates, one at a time", None),
    ]


def _result(
    measured: dict[str, list[LoadReport]],
    commits: list[float],
    percentile: str,
    what: str,
    goal: Goal | None,
) -> Result:
    times = {
        name: [float(getattr(report, percentile)) for report in reports]
        for name, reports in measured.items()
    }
    needed = [empty + commit for empty, commit in zip(times["empty"], commits, strict=True)]
    shown = times | {"a commit alone": commits}
    return Result(
        figure="F8",
        what=f"{what} ({percentile}), against an empty endpoint and a commit alone",
        unit="×",
        goal=goal,
        rounds=ratios(times["create"], needed),
        absolute={f"{name}, µs": time for name, time in medians(shown).items()},
    )
