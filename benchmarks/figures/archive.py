"""F21: creates while generations that ended long ago are archived, against none.

A hundred stores have 3,000 generations each that ended 100 days ago. The job is the service's own,
at its own pace, into a directory beside the database; it runs in the benchmark's process, as it
would in a worker's. In each round it archives on from where it was.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bench import WARM_UP_SECONDS, Bench
from benchmarks.database_under_test import HOT_STORE, DatabaseUnderTest, keys_file
from benchmarks.results import Goal, NotMeasured, Result, medians, per_second, ratios
from benchmarks.service_under_test import CreateRun, ServiceUnderTest, cpu_per_create, service_on
from storecredit import telemetry
from storecredit.generation.archiving import Archiving
from storecredit.postgres.pool import Database
from storecredit.settings import Settings

STORES = 100
GENERATIONS = 3_000
"""Of each of them."""
DAYS = 90
WAIT_SECONDS_MAX = 300.0
LONGER = 5
"""Times as long as other figures': a piece and its rest take a second, more on a busy machine."""
_OLD_OPENINGS = """
    UPDATE movements SET created_at = now() - interval '200 days' WHERE account_id = ANY (%s)
"""
_MOVEMENTS = """
    INSERT INTO movements
        (account_id, seq, created_at, type, amount, balance_after, spent_after, request_id,
         session_id, description)
    SELECT m.account_id, m.seq + n, now() - interval '100 days' + interval '1 s' * n,
        'deduction', 1, m.balance_after - n, n, 'req_' || gen_random_uuid(),
        ('01900000-0000-7000-8001-'
            || lpad(to_hex(m.account_id * 10000000 + n), 12, '0'))::uuid, 'Image generation'
    FROM movements m, generate_series(1, %s) AS n
    WHERE m.account_id = ANY (%s) AND m.seq = 1
"""
_SESSIONS = """
    INSERT INTO sessions
        (account_id, session_id, created_at, started_at, completed_at, attempts, credits, status,
         request_id, fingerprint, metadata)
    SELECT m.account_id, m.session_id, m.created_at, m.created_at, m.created_at, 1, m.amount,
        'completed', m.request_id, sha256(m.request_id::bytea), '{"order": "1001"}'
    FROM movements m WHERE m.session_id IS NOT NULL
"""
_SUMMED = """
    SELECT count(*) = 0 FROM summed_accounts s
    WHERE s.seq < (SELECT max(seq) FROM movements m WHERE m.account_id = s.account_id)
"""
_ARCHIVED = "SELECT coalesce(sum(sessions), 0)::bigint FROM session_archives"


def measure(bench: Bench) -> list[Result]:
    """F21: the rate of creates, as a share of that with nothing archived."""
    with bench.database() as database:
        hot, *_ = database.add_stores(1 + STORES)
        bench.say(f"writing {STORES * GENERATIONS:,} generations")
        _write(database)
        keys = keys_file(database.data_dir.parent / "keys", [hot])
        with service_on(database, keys) as service:
            bench.say("the ledger is summed up")
            _await(database, _SUMMED, "the ledger was not summed up")
            service.create(WARM_UP_SECONDS)
            archived: list[float] = []
            seconds = LONGER * bench.plan.seconds
            measured = bench.rounds(
                {
                    "nothing archived": lambda: service.create(seconds),
                    "archiving": lambda: _beside(service, seconds, archived),
                }
            )
    if not any(archived):
        raise NotMeasured("nothing was archived beside the load")
    rates = {name: [run.report.per_second for run in runs] for name, runs in measured.items()}
    return [
        Result(
            figure="F21",
            what="create, one hot store, while generations are archived, against none",
            goal=Goal(at_least=0.95),
            rounds=ratios(rates["archiving"], rates["nothing archived"]),
            absolute=per_second(rates)
            | medians({"archived meanwhile, per s": archived})
            | cpu_per_create(measured["archiving"]),
        )
    ]


def _beside(service: ServiceUnderTest, seconds: int, archived: list[float]) -> CreateRun:
    with _archiving(service.database):
        before, began = _count(service.database), time.monotonic()
        run = service.create(seconds)
        taken = _count(service.database) - before
        archived.append(taken / (time.monotonic() - began))
    return run


@contextmanager
def _archiving(database: DatabaseUnderTest) -> Iterator[None]:
    """The job at work, in a thread of its own; it has written a file when the block begins."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    before = _count(database)
    thread = threading.Thread(
        target=loop.run_until_complete, args=(_archive(database, stop),), name="archiving"
    )
    thread.start()
    try:
        _await(database, f"SELECT ({_ARCHIVED}) > {before}", "nothing was archived")
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def _archive(database: DatabaseUnderTest, stop: asyncio.Event) -> None:
    settings = Settings(
        data_dir=database.data_dir,
        sessions_kept_days=DAYS,
        archive=str(Path(database.data_dir).parent / "archive"),
    )
    opened = await Database.open(database.app_url)
    try:
        await Archiving(opened, settings, telemetry.Metrics()).archive_now(stop)
    finally:
        await opened.close()


def _write(database: DatabaseUnderTest) -> None:
    account_ids = database.account_ids(HOT_STORE + 1, STORES)
    database.admin.execute(_OLD_OPENINGS, (account_ids,))
    database.admin.execute(_MOVEMENTS, (GENERATIONS, account_ids))
    database.admin.execute(_SESSIONS)
    database.admin.execute("VACUUM ANALYZE")
    database.admin.execute("CHECKPOINT")


def _count(database: DatabaseUnderTest) -> int:
    row = database.admin.execute(_ARCHIVED).fetchone()
    assert row is not None
    return int(row[0])


def _await(database: DatabaseUnderTest, question: str, otherwise: str) -> None:
    give_up = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        row = database.admin.execute(question).fetchone()
        assert row is not None
        if row[0]:
            return
        if time.monotonic() > give_up:
            raise NotMeasured(f"{otherwise} in time")
        time.sleep(0.1)
