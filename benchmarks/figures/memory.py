"""F10: memory of the API process, idle and under F1, and of the embedded PostgreSQL under F1.

The proportional set size: what several processes share is counted once among them.
"""

import time

from benchmarks.bench import Bench
from benchmarks.load import finished
from benchmarks.processes import proportional_mib
from benchmarks.results import Goal, Result
from benchmarks.service_under_test import ServiceUnderTest

SAMPLES = 5
IDLE_SECONDS = 1.0
API_GOAL, POSTGRES_GOAL = Goal(at_most=100), Goal(at_most=150)


def measure(bench: Bench) -> list[Result]:
    """F10, in MiB."""
    with bench.service() as service:
        bench.say("memory, idle")
        time.sleep(IDLE_SECONDS)
        idle = [proportional_mib(service.processes()) for _ in range(SAMPLES)]
        bench.say("memory under load")
        api, postgres = _under_load(service, bench.plan.seconds * 2)
    return [
        _result("API process, idle", idle, API_GOAL),
        _result("API process, under F1", api, API_GOAL),
        _result("embedded PostgreSQL, all its processes, under F1", postgres, POSTGRES_GOAL),
    ]


def _under_load(service: ServiceUnderTest, seconds: int) -> tuple[list[float], list[float]]:
    before = service.database.counts()
    load = service.load()
    api, postgres = [], []
    with load.running(seconds) as wrk:
        for _ in range(SAMPLES):
            time.sleep(seconds / (SAMPLES + 1))
            api.append(proportional_mib(service.processes()))
            postgres.append(proportional_mib(service.database.processes()))
        report = finished(wrk, seconds)
    service.check(before, report.answers, load.connections)
    return api, postgres


def _result(what: str, values: list[float], goal: Goal) -> Result:
    return Result("F10", f"memory: {what}", unit="MiB", goal=goal, rounds=tuple(values))
