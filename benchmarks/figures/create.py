"""F1, F2: a create over HTTP, as a share of an endpoint that does nothing on the same server."""

from dataclasses import replace

from benchmarks.bench import WARM_UP_SECONDS, Bench
from benchmarks.figures.shares import empty_contenders, shares
from benchmarks.results import Goal, Result
from benchmarks.service_under_test import CreateRun, ServiceUnderTest, cpu_per_create

STORES = 10_000
ONE_STORE = (Goal(at_least=0.85), Goal(at_least=0.3))
MANY_STORES = (Goal(at_least=0.75), Goal(at_least=0.26))
"""As a share of the empty endpoint, and of the bare application."""


def one_store(bench: Bench) -> list[Result]:
    """F1: every request is of one store."""
    with bench.service() as service:
        return _compared(bench, service, "F1", "one hot store", ONE_STORE)


def many_stores(bench: Bench) -> list[Result]:
    """F2: each request is of a store drawn among 10,000."""
    with bench.service(stores=STORES) as service:
        which = f"random among {STORES:,} stores"
        return _compared(bench, service, "F2", which, MANY_STORES)


def _compared(
    bench: Bench, service: ServiceUnderTest, figure: str, which: str, goals: tuple[Goal, Goal]
) -> list[Result]:
    runs: list[CreateRun] = []

    def create() -> float:
        runs.append(service.create(bench.plan.seconds))
        return runs[-1].report.per_second

    with empty_contenders(bench, service.load()) as empty:
        service.create(WARM_UP_SECONDS)
        measured = bench.rounds(empty | {"create": create})
    first, second = shares(figure, f"create, {which}", goals, "create", measured)
    return [replace(first, absolute={**first.absolute, **cpu_per_create(runs)}), second]
