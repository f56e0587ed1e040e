"""F13: a spend of an owner with three live grants, against one without. F14: 100,000 that expire.

F13 is the ledger alone, as F4, once through the front of a list of grants and once without one.
F14 is the whole service: 100,000 stores have one grant each, which all end at the same moment, and
another store goes on creating while the service's own sweep writes that down.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import LiteralString

from benchmarks.bench import WARM_UP_SECONDS, Bench
from benchmarks.database_under_test import CREDITS, HOT_STORE, DatabaseUnderTest, keys_file
from benchmarks.figures.ledger import counted, deduct
from benchmarks.load import LoadReport
from benchmarks.results import Goal, NotMeasured, Result, medians, per_second, ratios

GRANTS = 3
ACCOUNTS = 100_000
CONNECTIONS = 16
AHEAD_SECONDS = 3
"""How far ahead the moment is when it is set: the load begins before it."""
SWEEP_SECONDS_MAX = 300.0
_ADD: LiteralString = """
    SELECT count(add_to_account(a.account_id, %s, 'purchase', %s,
        p_expires_at => now() + interval '1 day'))
    FROM accounts a WHERE a.account_id = ANY (%s)
"""
# The moment is set when all are there: adding them takes as long as it takes.
_SET_MOMENT: LiteralString = """
    WITH moment AS (SELECT now() + make_interval(secs => %s) AS at), of_grants AS (
        UPDATE grants SET expires_at = moment.at FROM moment WHERE expires_at IS NOT NULL)
    UPDATE accounts SET next_expiry = moment.at FROM moment WHERE next_expiry IS NOT NULL
"""
_LEFT: LiteralString = "SELECT count(*) FROM accounts WHERE next_expiry IS NOT NULL"
_WRITTEN: LiteralString = """
    SELECT count(*)::float8,
        coalesce(extract(epoch FROM max(created_at) - min(created_at)), 0)::float8
    FROM movements WHERE type = 'expiry'
"""


def spends(bench: Bench) -> list[Result]:
    """F13: the time that a spend takes with three live grants, against one without."""
    with bench.database() as database:
        database.add_stores(2)
        [account_id] = database.account_ids(HOT_STORE + 1, 1)
        for number in range(GRANTS):
            database.admin.execute(_ADD, (CREDITS, f"grant {number}", [account_id]))
        measured = bench.rounds(
            {
                name: partial(
                    counted,
                    database,
                    partial(
                        deduct, database.app_url, 1, bench.plan.seconds, first=HOT_STORE + number
                    ),
                )
                for number, name in enumerate(("without", "with"))
            }
        )
    return [
        Result(
            figure="F13",
            what=f"a spend with {GRANTS} live grants, by the ledger alone, against one without",
            unit="×",
            goal=Goal(at_most=1.3),
            rounds=ratios(measured["without"], measured["with"]),
            absolute=per_second(measured),
        )
    ]


def sweep(bench: Bench) -> list[Result]:
    """F14: how long the sweep takes, and what it leaves to creates meanwhile."""
    with bench.service(stores=ACCOUNTS + 1) as service:
        [hot, *_] = service.keys.read_text().split()
        keys = keys_file(service.keys.parent / "hot", [hot])
        load = service.load(connections=CONNECTIONS, keys=keys)
        load.run(WARM_UP_SECONDS)
        before = service.database.counts()
        alone = [load.run(bench.plan.seconds) for _ in range(bench.plan.rounds)]
        bench.say(f"adding {ACCOUNTS:,} grants")
        for begin in range(HOT_STORE + 1, HOT_STORE + 1 + ACCOUNTS, 10_000):
            account_ids = service.database.account_ids(begin, 10_000)
            service.database.admin.execute(_ADD, (10, "expiring", account_ids))
        service.database.admin.execute("VACUUM ANALYZE accounts, grants, movements")
        service.database.admin.execute(_SET_MOMENT, (AHEAD_SECONDS,))
        bench.say(f"expiring {ACCOUNTS:,} grants")
        meanwhile, sent, seconds = _meanwhile(bench, service.database, load.run)
        answered = sum(report.answers for report in [*alone, *sent])
        service.check(before, answered, CONNECTIONS * len([*alone, *sent]))
    return _results(alone, meanwhile, seconds)


def _meanwhile(
    bench: Bench, database: DatabaseUnderTest, load: Callable[[int], LoadReport]
) -> tuple[list[LoadReport], list[LoadReport], float]:
    """Creates beside the sweep, and all that were sent; how long the sweep took.

    A load that outlasted the sweep is none beside it. Raises NotMeasured.
    """
    give_up = time.monotonic() + SWEEP_SECONDS_MAX
    while not _numbers(database, _WRITTEN)[0]:
        _still(give_up, "the sweep did not begin")
        time.sleep(0.02)
    sent: list[LoadReport] = []
    while True:
        sent.append(load(bench.plan.seconds))
        if not _numbers(database, _LEFT)[0]:
            break
        _still(give_up, "the sweep did not end")
    written, seconds = _numbers(database, _WRITTEN)
    if written != ACCOUNTS:
        raise NotMeasured(f"{written:,.0f} of {ACCOUNTS:,} grants expired")
    if len(sent) == 1:
        raise NotMeasured("the sweep was over before the load: ask for fewer seconds")
    return sent[:-1], sent, seconds


def _still(give_up: float, otherwise: str) -> None:
    if time.monotonic() > give_up:
        raise NotMeasured(f"{otherwise} within {SWEEP_SECONDS_MAX:g} s")


def _numbers(database: DatabaseUnderTest, query: LiteralString) -> tuple[float, ...]:
    row = database.admin.execute(query).fetchone()
    assert row is not None
    return row


def _results(alone: list[LoadReport], meanwhile: list[LoadReport], seconds: float) -> list[Result]:
    rates = {
        "alone": [report.per_second for report in alone],
        "meanwhile": [report.per_second for report in meanwhile],
    }
    usual = statistics.median(rates["alone"])
    return [
        Result(
            figure="F14",
            what=f"expiring {ACCOUNTS:,} grants of as many stores: the sweep",
            unit="s",
            goal=Goal(at_most=60),
            rounds=(seconds,),
        ),
        Result(
            figure="F14",
            what=f"creates of another store ({CONNECTIONS} connections) meanwhile, against alone",
            goal=Goal(at_least=0.5),
            rounds=tuple(rate / usual for rate in rates["meanwhile"]),
            absolute=per_second(rates)
            | medians({"p99 meanwhile, ms": [report.p99 / 1000 for report in meanwhile]}),
        ),
    ]
