"""F18: creates after so many further batches under somebody's open snapshot, against none.

A snapshot that stays open (a dump, a long report) keeps every version of a row that
is updated, and whoever looks such a row up walks past all of them. Each point has a service and a
database of its own; all are up at once and are measured in turn, their snapshots open to the end.

The batches are transactions of one movement each, of the store that creates, made by a loop in the
server. It does not wait for the disk (synchronous_commit off): it is not what is measured.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import psycopg

from benchmarks.bench import WARM_UP_SECONDS, Bench
from benchmarks.database_under_test import HOT_STORE, IN_OUR_SCHEMA, DatabaseUnderTest, store_id
from benchmarks.results import Goal, NotMeasured, Result, medians, per_second, ratios
from benchmarks.service_under_test import CreateRun

FURTHER = (100_000, 300_000)
CONNECTIONS = (64, 1)
NONE = "none"
AT_ONCE = 1_000
BATCHES_SECONDS_MAX = 300.0
_ONE_BATCH = f"""
    IF (SELECT d.outcomes <> '{{deducted}}' FROM deduct_from_accounts(
            ARRAY[account_of('store', '{store_id(HOT_STORE)}')], ARRAY[1],
            ARRAY['batch-' || gen_random_uuid()], ARRAY['']) d) THEN
        RAISE 'a deduction was refused';
    END IF;
"""
_BATCHES = f"DO $$ BEGIN FOR i IN 1..{AT_ONCE} LOOP {_ONE_BATCH} COMMIT; END LOOP; END $$"


def measure(bench: Bench) -> list[Result]:
    """F18, with 64 connections and with one."""
    with ExitStack() as stack:
        services = {NONE: stack.enter_context(bench.service())}
        for count in FURTHER:
            service = stack.enter_context(bench.service())
            stack.enter_context(_open_snapshot(service.database))
            bench.say(f"{count:,} batches under an open snapshot")
            _make_batches(service.database, count)
            services[f"{count:,}"] = service
        for service in services.values():
            service.create(WARM_UP_SECONDS)
        measured = bench.rounds(
            {
                (name, connections): partial(
                    service.create, bench.plan.seconds, connections=connections
                )
                for name, service in services.items()
                for connections in CONNECTIONS
            }
        )
    return [
        _result(connections, name, measured[name, connections], measured[NONE, connections])
        for connections in CONNECTIONS
        for name in services
        if name != NONE
    ]


@contextmanager
def _open_snapshot(database: DatabaseUnderTest) -> Iterator[None]:
    """Somebody whose transaction goes on and on."""
    with psycopg.connect(database.admin_url, options=IN_OUR_SCHEMA) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        # Else it would be ended after a minute: one that is busy, as a dump is, is not idle.
        reader.execute("SET idle_in_transaction_session_timeout = 0")
        reader.execute("SELECT count(*) FROM stores")
        yield


def _make_batches(database: DatabaseUnderTest, count: int) -> None:
    """Raises NotMeasured if they take too long."""
    give_up = time.monotonic() + BATCHES_SECONDS_MAX
    with psycopg.connect(database.admin_url, autocommit=True, options=IN_OUR_SCHEMA) as maker:
        maker.execute("SET synchronous_commit = off")
        for made in range(0, count, AT_ONCE):
            if time.monotonic() > give_up:
                raise NotMeasured(
                    f"{made:,} of {count:,} batches took {BATCHES_SECONDS_MAX:.0f} s under the "
                    "open snapshot, and each takes longer than the one before"
                )
            maker.execute(_BATCHES)


def _result(
    connections: int, further: str, under: list[CreateRun], none: list[CreateRun]
) -> Result:
    rates = {
        name: [run.report.per_second for run in runs]
        for name, runs in ((f"after {further}", under), (NONE, none))
    }
    cpu = {
        f"CPU of PostgreSQL per create, {name}, µs": [run.database_microseconds for run in runs]
        for name, runs in ((f"after {further}", under), (NONE, none))
    }
    return Result(
        figure="F18",
        what=f"create, {connections} connection{'s' * (connections != 1)}, after {further} further "
        "batches under an open snapshot, against none",
        goal=Goal(at_least=0.9),
        rounds=ratios(*rates.values()),
        absolute=per_second(rates) | medians(cpu),
    )
