"""F9: generations through queue and worker, with a generator that does nothing.

The real `storecredit worker`, one process, on sessions created over HTTP before it starts. The time
is the database's: from the first session's `started_at` to the last one's `completed_at`. The
worker keeps 256 generations under way (a setting; by default it is 8, for generators that work),
stores each result as a file, and fsyncs it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.bench import Bench
from benchmarks.database_under_test import DatabaseUnderTest
from benchmarks.processes import cpu_seconds, tail
from benchmarks.results import Goal, NotMeasured, Result
from benchmarks.service_under_test import ServiceUnderTest
from benchmarks.worker_under_test import CONCURRENCY, NOTHING, worker_on

SESSIONS = 10_000
ROUNDS_MAX = 3
CREATE_SECONDS_MAX = 60
WORK_SECONDS_MAX = 180
_DONE = """
    SELECT count(*), extract(epoch FROM max(completed_at) - min(started_at))::float8
    FROM sessions WHERE created_at >= %s AND status = 'completed'
"""


def measure(bench: Bench) -> list[Result]:
    """F9, in generations per second."""
    with bench.service() as service:
        rounds = min(bench.plan.rounds, ROUNDS_MAX)
        rates = []
        for number in range(rounds):
            bench.say(f"round {number + 1} of {rounds}: creating {SESSIONS:,} sessions")
            since = queue_sessions(service)
            bench.say(f"round {number + 1} of {rounds}: working")
            rates.append(worked_off(service.database, since).per_second)
    return [
        Result(
            figure="F9",
            what="generations through queue and worker, of one store, nothing to generate",
            unit="/s",
            goal=Goal(at_least=4_000),
            rounds=tuple(rates),
            notes=(f"STORECREDIT_WORKER_CONCURRENCY={CONCURRENCY}",),
        )
    ]


def queue_sessions(
    service: ServiceUnderTest, keys: Path | None = None, count: int = SESSIONS
) -> object:
    """Create at least `count` sessions over HTTP; the database's time before the first of them.

    `keys`: for the stores of this file; else for all of the service's.
    """
    row = service.database.admin.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    give_up = time.monotonic() + CREATE_SECONDS_MAX
    while service.database.counts().sessions < count:
        if time.monotonic() > give_up:
            raise NotMeasured(f"{count} sessions take too long to create")
        service.load(keys=keys).run(3)
    since: object = row[0]
    return since


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker did: generations per second, and CPU time per generation, in µs.

    That of the worker holds its start, which is the same for everybody.
    """

    per_second: float
    worker_microseconds: float
    postgres_microseconds: float

    @property
    def microseconds(self) -> float:
        """CPU time of both."""
        return self.worker_microseconds + self.postgres_microseconds


def worked_off(
    database: DatabaseUnderTest, since: object, settings: Mapping[str, str] | None = None
) -> Work:
    """Run a worker until nothing is open any more. Raises NotMeasured."""
    server_seconds = cpu_seconds(database.processes())
    with worker_on(database, NOTHING, settings) as (process, log_path):
        give_up = time.monotonic() + WORK_SECONDS_MAX
        while database.counts().sessions:
            if process.poll() is not None or time.monotonic() > give_up:
                raise NotMeasured(f"the worker did not end its work: {tail(log_path)}")
            time.sleep(0.1)
        worker_seconds = cpu_seconds([psutil.Process(process.pid)])
        server_seconds = cpu_seconds(database.processes()) - server_seconds
    row = database.admin.execute(_DONE, (since,)).fetchone()
    assert row is not None
    count, seconds = row
    if count < SESSIONS:
        raise NotMeasured(f"of {SESSIONS} sessions {count} completed")
    return Work(count / seconds, 1e6 * worker_seconds / count, 1e6 * server_seconds / count)
