"""F3: reading the balance, as a share of an endpoint that does nothing on the same server."""

from dataclasses import replace
from functools import partial

from benchmarks.bench import WARM_UP_SECONDS, Bench
from benchmarks.load import Load
from benchmarks.results import Goal, Result, per_second, ratios
from benchmarks.service_under_test import EMPTY_PATH, LITESTAR, empty_server

EMPTY = "empty (litestar)"


def measure(bench: Bench) -> list[Result]:
    """F3, of one store."""
    with bench.service() as service, empty_server(LITESTAR, bench.fresh_directory()) as url:
        balance = service.balance()
        empty = replace(balance, path=EMPTY_PATH).to(url)
        for load in (balance, empty):
            load.run(WARM_UP_SECONDS)
        measured = bench.rounds(
            {EMPTY: partial(_rate, bench, empty), "balance": partial(_rate, bench, balance)}
        )
    return [
        Result(
            figure="F3",
            what="balance, as a share of an empty endpoint",
            goal=Goal(at_least=0.6),
            rounds=ratios(measured["balance"], measured[EMPTY]),
            absolute=per_second(measured),
        )
    ]


def _rate(bench: Bench, load: Load) -> float:
    return load.run(bench.plan.seconds).per_second
