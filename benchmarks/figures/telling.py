"""F15: what it costs a worker that a store listens to `generation.completed`.

As F9: the real `storecredit worker` on sessions created before it starts, in the database's time.
In turn nobody listens; an endpoint of the store's does, which is sent nothing meanwhile (it is
ordered, and waits), so that events and deliveries are written and no more; and an endpoint does,
which the same process delivers to, at a receiver on loopback.
"""

import os
from functools import partial
from typing import LiteralString
from uuid import uuid4

from benchmarks.baselines.empty import PATH
from benchmarks.bench import Bench
from benchmarks.database_under_test import HOT_STORE, DatabaseUnderTest
from benchmarks.figures.worker import ROUNDS_MAX, SESSIONS, Work, queue_sessions, worked_off
from benchmarks.results import Goal, NotMeasured, Result, medians, per_second, ratios
from benchmarks.rounds import Plan, interleaved
from benchmarks.service_under_test import ASGI, ServiceUnderTest, empty_server
from benchmarks.worker_under_test import CONCURRENCY

UNHEARD, TOLD, DELIVERED = "nobody listens", "told", "told and delivered"
_FORGET: tuple[LiteralString, ...] = (
    "DELETE FROM webhook_endpoints",
    "TRUNCATE events, deliveries, delivery_attempts",
)
_ADD_ENDPOINT: LiteralString = """
    INSERT INTO webhook_endpoints
        (endpoint_id, account_id, url, event_types, is_ordered, resumes_at)
    VALUES (%s, %s, %s, '{generation.completed}', %s,
        CASE WHEN %s THEN now() + interval '1 day' END)
"""
_ADD_KEY: LiteralString = "INSERT INTO webhook_secrets (endpoint_id, secret) VALUES (%s, %s)"
_COUNT: LiteralString = """
    SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM deliveries),
        (SELECT count(*) FROM delivery_attempts)
"""
SETTINGS = {"STORECREDIT_ALLOW_PRIVATE_HOSTS": "true"}


def measure(bench: Bench) -> list[Result]:
    """F15, as shares of what the worker does where nobody listens."""
    plan = Plan(rounds=min(bench.plan.rounds, ROUNDS_MAX), seconds=bench.plan.seconds)
    with bench.service() as service, empty_server(ASGI, bench.fresh_directory()) as receiver:
        sides = {
            side: partial(_worked_off, service, side, receiver + PATH)
            for side in (UNHEARD, TOLD, DELIVERED)
        }
        work = interleaved(plan, sides, on_step=bench.say)
        _forget(service.database)
    rates = {side: [each.per_second for each in done] for side, done in work.items()}
    cpu = {side: [each.microseconds for each in done] for side, done in work.items()}
    return [
        Result(
            figure="F15",
            what="generations of a store that listens to their end, against one that does not",
            goal=Goal(at_least=0.85),
            rounds=ratios(rates[TOLD], rates[UNHEARD]),
            absolute=per_second({side: rates[side] for side in (TOLD, UNHEARD)}),
            notes=(f"STORECREDIT_WORKER_CONCURRENCY={CONCURRENCY}",),
        ),
        Result(
            figure="F15",
            what="CPU time of worker and PostgreSQL for a generation that is told, against none",
            unit="×",
            goal=Goal(at_most=1.15),
            rounds=ratios(cpu[TOLD], cpu[UNHEARD]),
            absolute=medians({f"{side}, µs": cpu[side] for side in (TOLD, UNHEARD)}),
        ),
        Result(
            figure="F15",
            what="generations of a store that is told by the same process meanwhile, against none",
            rounds=ratios(rates[DELIVERED], rates[UNHEARD]),
            absolute=per_second({side: rates[side] for side in (DELIVERED, UNHEARD)})
            | medians({f"{DELIVERED}, µs": cpu[DELIVERED]}),
        ),
    ]


def _worked_off(service: ServiceUnderTest, side: str, url: str) -> Work:
    """What the worker did. Raises NotMeasured unless each generation was told."""
    database = service.database
    database.settle()
    _forget(database)
    if side != UNHEARD:
        _listen(database, url, waits=side == TOLD)
    since = queue_sessions(service)
    database.await_quiet()
    queued = database.counts().sessions
    work = worked_off(database, since, SETTINGS)
    events, deliveries, attempts = database.admin.execute(_COUNT).fetchone() or (0, 0, 0)
    wanted = queued if side != UNHEARD else 0
    if (events, deliveries) != (wanted, wanted) or (attempts > 0) != (side == DELIVERED):
        raise NotMeasured(
            f"of {queued:,} generations (at least {SESSIONS:,}) {events:,} were told, in "
            f"{deliveries:,} deliveries with {attempts:,} attempts"
        )
    return work


def _forget(database: DatabaseUnderTest) -> None:
    for statement in _FORGET:
        database.admin.execute(statement)


def _listen(database: DatabaseUnderTest, url: str, *, waits: bool) -> None:
    [account_id] = database.account_ids(HOT_STORE, 1)
    endpoint_id = uuid4()
    database.admin.execute(_ADD_ENDPOINT, (endpoint_id, account_id, url, waits, waits))
    database.admin.execute(_ADD_KEY, (endpoint_id, os.urandom(32)))
