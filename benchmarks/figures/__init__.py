"""The figures, by name: what `make bench` measures, in this order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.figures import (
    alone,
    archive,
    balance,
    batches,
    builds,
    console,
    create,
    expiry,
    growth,
    latency,
    ledger,
    long_ledger,
    memory,
    open_snapshot,
    start,
    stored,
    storm,
    telling,
    trpc,
    webhooks,
    worker,
)
from benchmarks.one_build import DEDUCT
from benchmarks.results import Result


@dataclass(frozen=True, slots=True)
class Measurement:
    """What is measured together; `measure` leaves out what `bench.wanted` does not name.

    `figures`: what each is called in a line that has no more to say, as it was not measured.
    """

    figures: Mapping[str, str]
    measure: Callable[[Bench], list[Result]]
    needs_wrk: bool = True


MEASUREMENTS = (
    Measurement({"F1": "create, one hot store"}, create.one_store),
    Measurement({"F2": f"create, random among {create.STORES:,} stores"}, create.many_stores),
    Measurement({"F3": "balance"}, balance.measure),
    Measurement(
        {"F4": "deductions by the ledger alone, one store"}, ledger.one_store, needs_wrk=False
    ),
    Measurement(
        {"F5": f"deductions by the ledger alone, random among {ledger.STORES:,} stores"},
        ledger.many_stores,
        needs_wrk=False,
    ),
    Measurement(
        {"F6": f"deductions in batches of {batches.BATCH:,} on one store"},
        batches.measure,
        needs_wrk=False,
    ),
    Measurement(
        {"F7": "create, with 10 million ledger rows", "F11": "`storecredit verify`, ledger rows/s"},
        long_ledger.measure,
    ),
    Measurement({"F8": "half of all creates, one at a time (p50)"}, alone.measure),
    Measurement({"F9": "generations through queue and worker"}, worker.measure),
    Measurement({"F10": "memory"}, memory.measure),
    Measurement(
        {"F12": "from `storecredit serve` to the first 201"}, start.measure, needs_wrk=False
    ),
    Measurement(
        {"F13": f"a spend with {expiry.GRANTS} live grants, against one without"},
        expiry.spends,
        needs_wrk=False,
    ),
    Measurement(
        {"F14": f"expiring {expiry.ACCOUNTS:,} grants, and creates meanwhile"}, expiry.sweep
    ),
    Measurement(
        {"F15": "generations of a store that listens to their end, against one that does not"},
        telling.measure,
    ),
    Measurement(
        {"F16": "webhooks delivered to one receiver on loopback"},
        webhooks.measure,
        needs_wrk=False,
    ),
    Measurement({"F17": "the console's overview, and creates while it is open"}, console.measure),
    Measurement(
        {"F18": "create after further batches under an open snapshot, against none"},
        open_snapshot.measure,
    ),
    Measurement({"F19": "tRPC generation.create against a store's create"}, trpc.measure),
    Measurement(
        {"F20": "generations whose results go to a bucket on loopback, against files"},
        stored.measure,
    ),
    Measurement({"F21": "creates while generations are archived, against none"}, archive.measure),
    Measurement({"L1": "99 of 100 creates (p99)"}, latency.under_load),
    Measurement({"L2": "a store's p99 beside a loud one, against alone"}, latency.fairness),
    Measurement({"L3": "creates in a storm of refunds, against alone"}, storm.measure),
)
GROWTH = (
    Measurement({"G1": "create, ledger rows"}, growth.with_rows),
    Measurement({"G2": "create, stores"}, growth.with_stores),
    Measurement({"G3": "create, API processes"}, growth.with_processes),
)
BUILDS = tuple(
    Measurement({each.figure: each.what}, each.measure, needs_wrk=each.kind != DEDUCT)
    for each in builds.COMPARISONS
)
"""Measured only with `--against`."""
ALL = (*MEASUREMENTS, *GROWTH, *BUILDS)
QUICK = ("F1", "F4", "F6")
