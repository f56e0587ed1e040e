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
        return [_compared(bench, service, "F1", "create, one hot store", Goal(at_least=0.5))]


def many_stores(bench: Bench) -> list[Result]:
    """F2: each request is of a store drawn among 10,000."""
    with bench.service(stores=STORES) as service:
        what = f"create, random among {STORES:,} stores"
        return [_compared(bench, service, "F2", what, Goal(at_least=0.45))]


def _compared(
    bench: Bench, service: ServiceUnderTest, figure: str, what: str, goal: Goal
) -> Result:
    runs: list[CreateRun] = []

    def create() -> float:
        runs.append(service.create(bench.plan.seconds))
        return runs[-1].report.per_second

    with ExitStack() as stack:
        directory = service.database.data_dir.parent
        # What the server itself can do is shown once.
        kinds = (LITESTAR, ASGI) if figure == "F1" and not bench.plan.short else (LITESTAR,)
        urls = {kind: stack.enter_context(empty_server(kind, directory)) for kind in kinds}
        # The same requests, byte for byte, but for path and port.
        request = service.load(EMPTY_PATH)
        empty = {
            f"empty ({kind})": partial(_rate, bench, request.to(url)) for kind, url in urls.items()
        }
        for url in urls.values():
            request.to(url).run(WARM_UP_SECONDS)
        service.create(WARM_UP_SECONDS)
        measured = bench.rounds(empty | {"create": create})
    return Result(
        figure=figure,
        what=what,
        goal=goal,
        rounds=ratios(measured["create"], measured[f"empty ({LITESTAR})"]),
        absolute=per_second(measured) | cpu_per_create(runs),
    )


def _rate(bench: Bench, load: Load) -> float:
    return load.run(bench.plan.seconds).per_second
