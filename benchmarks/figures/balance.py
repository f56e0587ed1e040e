"""F3: reading the balance, as a share of an endpoint that does nothing on the same server."""

from functools import partial

from benchmarks.bench import WARM_UP_SECONDS, Bench
from benchmarks.figures.shares import empty_contenders, rate, shares
from benchmarks.results import Goal, Result


def measure(bench: Bench) -> list[Result]:
    """F3, of one store."""
    with bench.service() as service:
        balance = service.balance()
        balance.run(WARM_UP_SECONDS)
        with empty_contenders(bench, balance) as empty:
            measured = bench.rounds(empty | {"balance": partial(rate, bench, balance)})
    return shares("F3", "balance", (Goal(at_least=1), None), "balance", measured)
