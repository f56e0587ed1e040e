"""G1, G2, G3: how the cost of a create grows: with the ledger, the stores, the API's processes.

Each point has a service and a database of its own; all of them are up at once and are measured in
turn, so that the points of a curve had the same machine.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial

from benchmarks.bench import WARM_UP_SECONDS, Bench
from benchmarks.results import Goal, Result, per_second, ratios
from benchmarks.service_under_test import ServiceUnderTest, cpu_per_create

ROWS = (1, 10_000, 100_000, 1_000_000, 10_000_000)
STORES = (1, 100, 10_000, 100_000)
PROCESSES = (1, 2, 4)

Services = Mapping[str, AbstractContextManager[ServiceUnderTest]]


def with_rows(bench: Bench) -> list[Result]:
    """G1: one hot store, the ledger ever longer."""
    services = {f"{rows:,}": bench.service(rows=rows) for rows in ROWS}
    return _curve(bench, "G1", "create, ledger rows", services)


def with_stores(bench: Bench) -> list[Result]:
    """G2: random among ever more stores; beyond `CACHED_KEYS_MAX` not all keys are cached."""
    services = {f"{stores:,}": bench.service(stores=stores) for stores in STORES}
    return _curve(bench, "G2", "create, stores", services, goal=Goal(at_least=0.7))


def with_processes(bench: Bench) -> list[Result]:
    """G3: one hot store, more API processes."""
    services = {str(each): bench.service(processes=each) for each in PROCESSES}
    return _curve(bench, "G3", "create, API processes", services)


def _curve(
    bench: Bench, figure: str, what: str, services: Services, *, goal: Goal | None = None
) -> list[Result]:
    """Each point against the first; the goal is the last one's."""
    with ExitStack() as stack:
        running = {name: stack.enter_context(service) for name, service in services.items()}
        for service in running.values():
            service.create(WARM_UP_SECONDS)
        runs = bench.rounds(
            {name: partial(service.create, bench.plan.seconds) for name, service in running.items()}
        )
    rates = {name: [run.report.per_second for run in each] for name, each in runs.items()}
    first, *_, last = rates
    return [
        Result(
            figure=figure,
            what=f"{what}: {name}, against {first}",
            at=name,
            goal=goal if name == last else None,
            rounds=ratios(each, rates[first]),
            absolute=per_second({"creates": each}) | cpu_per_create(runs[name]),
        )
        for name, each in rates.items()
    ]
