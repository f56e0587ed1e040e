"""F16: deliveries of webhooks to one receiver on loopback.

The real `storecredit worker`, one process, on events told before it starts. The receiver is the
bare ASGI application on our server, in a process of its own. The time is the database's: from the
first attempt to the last. Each delivery is signed, sent, answered and written down.
"""

import os
import time
from typing import LiteralString
from uuid import uuid4

from benchmarks.baselines.empty import PATH
from benchmarks.bench import Bench
from benchmarks.database_under_test import HOT_STORE, DatabaseUnderTest
from benchmarks.processes import tail
from benchmarks.results import Goal, NotMeasured, Result
from benchmarks.service_under_test import ASGI, empty_server
from benchmarks.worker_under_test import NOTHING, worker_on

EVENTS = 10_000
TOLD_AT_ONCE = 1_000
ROUNDS_MAX = 3
DELIVER_SECONDS_MAX = 180
_ADD_ENDPOINT: LiteralString = """
    INSERT INTO webhook_endpoints (endpoint_id, account_id, url, event_types)
    VALUES (%s, %s, %s, '{credits.low}')
"""
_ADD_KEY: LiteralString = "INSERT INTO webhook_secrets (endpoint_id, secret) VALUES (%s, %s)"
_TELL: LiteralString = """
    SELECT tell(array_agg('credits.low'::text), array_agg(%s::bigint),
        array_agg(json_build_object('balance', n, 'threshold', 10, 'request_id', 'request ' || n)))
    FROM generate_series(1, %s) n
"""
_PENDING: LiteralString = "SELECT count(*) FROM deliveries WHERE next_attempt_at IS NOT NULL"
_ATTEMPTS: LiteralString = """
    SELECT count(*) FILTER (WHERE status_code = 200), count(*),
        extract(epoch FROM max(attempted_at) - min(attempted_at))::float8
    FROM delivery_attempts WHERE attempted_at >= %s
"""


def measure(bench: Bench) -> list[Result]:
    """F16, in deliveries per second."""
    with bench.database() as database, empty_server(ASGI, bench.fresh_directory()) as receiver:
        database.add_stores(1)
        [account_id] = database.account_ids(HOT_STORE, 1)
        endpoint_id = uuid4()
        database.admin.execute(_ADD_ENDPOINT, (endpoint_id, account_id, receiver + PATH))
        database.admin.execute(_ADD_KEY, (endpoint_id, os.urandom(32)))
        rounds = min(bench.plan.rounds, ROUNDS_MAX)
        rates = []
        for number in range(rounds):
            bench.say(f"round {number + 1} of {rounds}: telling {EVENTS:,} events")
            for _ in range(EVENTS // TOLD_AT_ONCE):
                database.admin.execute(_TELL, (account_id, TOLD_AT_ONCE))
            bench.say(f"round {number + 1} of {rounds}: delivering")
            rates.append(_delivered(database))
    return [
        Result(
            figure="F16",
            what="webhooks delivered to one receiver on loopback, by one worker",
            unit="/s",
            goal=Goal(at_least=1_000),
            rounds=tuple(rates),
        )
    ]


def _delivered(database: DatabaseUnderTest) -> float:
    """Run a worker until everything is delivered; deliveries per second. Raises NotMeasured."""
    (since,) = database.admin.execute("SELECT clock_timestamp()").fetchone() or (None,)
    with worker_on(database, NOTHING, {"STORECREDIT_ALLOW_PRIVATE_HOSTS": "true"}) as (
        process,
        log_path,
    ):
        give_up = time.monotonic() + DELIVER_SECONDS_MAX
        while (database.admin.execute(_PENDING).fetchone() or (0,))[0]:
            if process.poll() is not None or time.monotonic() > give_up:
                raise NotMeasured(f"not everything was delivered: {tail(log_path)}")
            time.sleep(0.1)
    row = database.admin.execute(_ATTEMPTS, (since,)).fetchone()
    assert row is not None
    answered, attempts, seconds = row
    if answered != EVENTS or attempts != EVENTS:
        raise NotMeasured(f"of {EVENTS:,} {answered:,} were delivered in {attempts:,} attempts")
    return float(attempts / seconds)
