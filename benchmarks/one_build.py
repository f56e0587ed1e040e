"""What one build does, measured by its own harness: a script, run by that build's own Python.

`python one_build.py KIND COUNT DIRECTORY` makes ready, then measures for as many seconds as each
line of its input says and answers with a line of JSON; at the end of its input it proves the ledger
and ends. It uses of a checkout's `benchmarks` only what every build that may be compared has.
"""

import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.bench import WARM_UP_SECONDS, Bench
from benchmarks.figures import ledger
from benchmarks.rounds import Plan
from storecredit import telemetry

CREATE, BALANCE, DEDUCT = "create", "balance", "deduct"
Measure = Callable[[int], dict[str, float]]


def main() -> None:
    """The script."""
    kind, count, directory = sys.argv[1:]
    for name in [name for name in os.environ if name.startswith("STORECREDIT_")]:
        del os.environ[name]
    telemetry.configure("auto", "error")
    bench = Bench(Plan(), frozenset(), Path(directory), lambda _step: None)
    with KINDS[kind](bench, int(count)) as measure:
        for seconds in itertools.chain(["0"], sys.stdin):
            told = measure(int(seconds)) if int(seconds) else {"ready": 1.0}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


@contextmanager
def creating(bench: Bench, connections: int) -> Iterator[Measure]:
    """Creates of one store over HTTP."""
    with bench.service() as service:
        service.create(WARM_UP_SECONDS, connections=connections)

        def measure(seconds: int) -> dict[str, float]:
            report = service.create(seconds, connections=connections).report
            return {"per_second": report.per_second, "p50": report.p50}

        yield measure


@contextmanager
def reading(bench: Bench, _connections: int) -> Iterator[Measure]:
    """Balances of one store over HTTP."""
    with bench.service() as service:
        balance = service.balance()
        balance.run(WARM_UP_SECONDS)
        yield lambda seconds: {"per_second": balance.run(seconds).per_second}


@contextmanager
def deducting(bench: Bench, stores: int) -> Iterator[Measure]:
    """Deductions by the ledger alone."""
    with bench.database() as database:
        database.add_stores(stores)

        def measure(seconds: int) -> dict[str, float]:
            deduct = partial(ledger.deduct, database.app_url, stores, seconds)
            return {"per_second": ledger.counted(database, deduct)}

        yield measure


KINDS = {CREATE: creating, BALANCE: reading, DEDUCT: deducting}

if __name__ == "__main__":
    main()
