"""F7, F11: a ledger of ten million rows: what it costs a create, and how fast it is proven."""

import time

from benchmarks.bench import WARM_UP_SECONDS, Bench
from benchmarks.processes import STORECREDIT, run
from benchmarks.results import Goal, Result, medians, per_second, ratios
from benchmarks.service_under_test import ServiceUnderTest

ROWS = 10_000_000
PROOFS = 3


def measure(bench: Bench) -> list[Result]:
    """F7 and F11, on one database: it takes a minute or two to write."""
    with bench.service(rows=ROWS, prove=False) as long:
        results = [_creates(bench, long)] if "F7" in bench.wanted else []
        if "F11" in bench.wanted:
            results.append(_proofs(bench, long))
        else:
            long.database.prove()
        return results


def _creates(bench: Bench, long: ServiceUnderTest) -> Result:
    seconds = bench.plan.seconds
    with bench.service() as short:
        for service in (long, short):
            service.create(WARM_UP_SECONDS)
        runs = bench.rounds(
            {
                "no rows": lambda: short.create(seconds),
                "10 million rows": lambda: long.create(seconds),
            }
        )
    measured = {name: [run.report.per_second for run in each] for name, each in runs.items()}
    cpu = {
        f"CPU of PostgreSQL per create, {name}, µs": [run.database_microseconds for run in each]
        for name, each in runs.items()
    }
    return Result(
        figure="F7",
        what="create, one hot store, with 10 million ledger rows, against none",
        goal=Goal(at_least=0.95),
        rounds=ratios(measured["10 million rows"], measured["no rows"]),
        absolute=per_second(measured) | medians(cpu),
    )


def _proofs(bench: Bench, long: ServiceUnderTest) -> Result:
    """Of the whole command, its start included."""
    bench.say("the time of a command that proves nothing")
    start = _seconds_of_a_command(long)
    rates, alone = [], []
    for number in range(PROOFS):
        bench.say(f"proof {number + 1} of {PROOFS}")
        proof = long.database.prove()
        rates.append(proof.movements / proof.seconds)
        alone.append(proof.movements / (proof.seconds - start))
    return Result(
        figure="F11",
        what="`storecredit verify`, ledger rows/s, the whole command",
        unit="/s",
        goal=Goal(at_least=2_000_000),
        rounds=tuple(rates),
        absolute=medians({"without the command's start, /s": alone}),
    )


def _seconds_of_a_command(service: ServiceUnderTest) -> float:
    began = time.monotonic()
    run([STORECREDIT, "store", "list", "--json", "--data-dir", str(service.database.data_dir)])
    return time.monotonic() - began
