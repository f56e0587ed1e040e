"""L3: creates while a worker gives at least 10,000 credits back, all queued at once.

The generations of one store fail, each at once; another store goes on creating, on 16 connections,
and what it creates waits its turn behind the storm, then fails and is refunded like the rest: the
refunds per second are those of both stores. API and worker are processes of their own, and share
two cores with the load generator. The storm has to outlast the load, or nothing was measured.
"""

import time
from typing import LiteralString

from benchmarks.bench import WARM_UP_SECONDS, Bench
from benchmarks.database_under_test import HOT_STORE, DatabaseUnderTest, keys_file, store_id
from benchmarks.figures.worker import WORK_SECONDS_MAX, queue_sessions
from benchmarks.load import Load, LoadReport
from benchmarks.processes import tail
from benchmarks.results import Goal, NotMeasured, Result, medians, ratios
from benchmarks.service_under_test import ServiceUnderTest
from benchmarks.worker_under_test import FAILING, worker_on

CONNECTIONS = 16
REFUNDS_MIN = 10_000
REFUNDS_PER_SECOND = 7_500
"""How many are queued for each second of load: more than a worker gives back in it."""
MS = 1e-3
_REFUNDS = "SELECT count(*) FROM movements WHERE type = 'refund'"
_OWED = """SELECT count(*) FROM sessions s
    WHERE s.status = 'failed' AND NOT EXISTS (
        SELECT FROM movements t WHERE t.account_id = s.account_id
          AND t.request_id = s.request_id AND t.type = 'refund')"""
_STORMY = """SELECT count(*) FROM sessions
    WHERE account_id = account_of('store', %s) AND completed_at IS NULL"""


def measure(bench: Bench) -> list[Result]:
    """L3: the rate of creates in the storm, as a share of the rate without; latencies beside."""
    with bench.service(stores=2) as service:
        # The first key is the hot store's: the storm is its.
        stormy, calm = service.keys.read_text().split()
        directory = service.keys.parent
        storm = keys_file(directory / "storm", [stormy])
        load = service.load(connections=CONNECTIONS, keys=keys_file(directory / "calm", [calm]))
        load.run(WARM_UP_SECONDS)
        service.database.settle()
        refunds: list[float] = []
        due = max(REFUNDS_MIN, REFUNDS_PER_SECOND * bench.plan.seconds)

        def in_the_storm() -> LoadReport:
            queue_sessions(service, keys=storm, count=due)
            report, per_second = _in_the_storm(service, load, bench.plan.seconds)
            refunds.append(per_second)
            return report

        def alone() -> LoadReport:
            report = load.run(bench.plan.seconds)
            service.database.settle()
            return report

        measured = bench.rounds({"alone": alone, "in the storm": in_the_storm})
    return [_result(measured["alone"], measured["in the storm"], refunds)]


def _in_the_storm(service: ServiceUnderTest, load: Load, seconds: int) -> tuple[LoadReport, float]:
    """Creates beside the first refunds, which are told per second; then all are waited for."""
    database = service.database
    before = _count(database, _REFUNDS)
    with worker_on(database, FAILING) as (process, log_path):
        give_up = time.monotonic() + WORK_SECONDS_MAX
        while _count(database, _REFUNDS) == before:
            _still(process.poll() is None and time.monotonic() < give_up, tail(log_path))
            time.sleep(0.02)
        begun, began_at = _count(database, _REFUNDS), time.monotonic()
        report = load.run(seconds)
        if not _count(database, _STORMY, store_id(HOT_STORE)):
            raise NotMeasured(
                "the storm of refunds was over before the load: ask for fewer seconds"
            )
        given_back = _count(database, _REFUNDS) - begun
        per_second = given_back / (time.monotonic() - began_at)
        while database.counts().sessions:
            _still(process.poll() is None and time.monotonic() < give_up, tail(log_path))
            time.sleep(0.1)
    if owed := _count(database, _OWED):
        raise NotMeasured(f"{owed} failed generations were not refunded")
    return report, per_second


def _still(is_working: bool, said: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not is_working:
        raise NotMeasured(f"the worker did not end its work: {said}")


def _count(database: DatabaseUnderTest, query: LiteralString, *values: object) -> int:
    row = database.admin.execute(query, values).fetchone()
    assert row is not None
    return int(row[0])


def _result(alone: list[LoadReport], storm: list[LoadReport], refunds: list[float]) -> Result:
    rates = {
        "alone": [report.per_second for report in alone],
        "storm": [report.per_second for report in storm],
    }
    return Result(
        figure="L3",
        what=f"creates ({CONNECTIONS} connections) while at least {REFUNDS_MIN:,} refunds are due, "
        "against alone",
        goal=Goal(at_least=0.5),
        rounds=ratios(rates["storm"], rates["alone"]),
        absolute=medians(
            {
                "creates alone, /s": rates["alone"],
                "creates in the storm, /s": rates["storm"],
                "refunds of both stores, /s": refunds,
                "p99 alone, ms": [report.p99 * MS for report in alone],
                "p99 in the storm, ms": [report.p99 * MS for report in storm],
            }
        ),
    )
