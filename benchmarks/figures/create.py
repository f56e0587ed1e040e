"""F1, F2: a create over HTTP, as a share of an endpoint that does nothing on the same server."""

from contextlib import ExitStack
from functools import partial

from benchmarks.bench import WARM_UP_SECONDS, Bench
from benchmarks.load import Load
from benchmarks.results import Goal, Result, per_second, ratios
from benchmarks.service_under_test import (
    ASGI,
    EMPTY_PATH,
    LITESTAR,
    CreateRun,
    ServiceUnderTest,
    cpu_per_create,
    empty_server,
)

STORES = 10_000


def one_store(bench: Bench) -> list[Result]:
    """F1: every request is of one store."""
    with bench.service() as service:
        return [_compared(bench, service, "F1", "one hot store", Goal(at_least=0.5))]


def many_stores(bench: Bench) -> list[Result]:
    """F2: each request is of a store drawn among 10,000."""
    with bench.service(stores=STORES) as service:
        which = f"random among {STORES:,} stores"
        return [_compared(bench, service, "F2", which, Goal(at_least=0.45))]


def _compared(
    bench: Bench, service: ServiceUnderTest, figure: str, which: str, goal: Goal
) -> Result:
    runs: list[CreateRun] = []

    def create() -> float:
        runs.append(service.create(bench.plan.seconds))
        return runs[-1].report.per_second

    # What the server itself can do is shown once.
    kinds = (LITESTAR, ASGI) if figure == "F1" and not bench.plan.short else (LITESTAR,)
    with ExitStack() as stack:
        empty = {}
        for kind in kinds:
            url = stack.enter_context(empty_server(kind, bench.fresh_directory()))
            # The same requests, byte for byte, but for path and port.
            load = service.load(EMPTY_PATH).to(url)
            load.run(WARM_UP_SECONDS)
            empty[f"empty ({kind})"] = partial(_rate, bench, load)
        service.create(WARM_UP_SECONDS)
        measured = bench.rounds(empty | {"create": create})
    return Result(
        figure=figure,
        what=f"create, {which}, as a share of an empty endpoint",
        goal=goal,
        rounds=ratios(measured["create"], measured[f"empty ({LITESTAR})"]),
        absolute=per_second(measured) | cpu_per_create(runs),
    )


def _rate(bench: Bench, load: Load) -> float:
    return load.run(bench.plan.seconds).per_second
