"""A fresh database of its own: the embedded PostgreSQL as `storecredit serve` starts and tunes it.

Hides how stores, keys and a long ledger come into it. Promises that every row is one that the
functions could have written: `storecredit verify` agrees with it, before and after.
"""

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psutil
import psycopg

from benchmarks.processes import STORECREDIT, run
from benchmarks.results import NotMeasured
from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.servers import SCHEMA
from storecredit.stores.api_keys import START_LENGTH, key_hash, new_key

CREDITS = 1_000_000_000
HOT_STORE = 1
"""The number of the store that one-store figures use; the others count on from there."""
SEEDED_AT_ONCE = 10_000
COMMITS = 50
IN_OUR_SCHEMA = f"-c search_path={SCHEMA}"
"""The option of a session that finds our tables and functions by their names alone."""
QUIET_SECONDS = 0.2
QUIET_MAX_SECONDS = 30.0

_CREATE_STORES = """
    SELECT count(create_store(i.id, 'A store', 'store.example', 'unlimited', %s, 'opening'))
    FROM unnest(%s::uuid[]) AS i (id)
"""
_CREATE_KEYS = """
    SELECT count(*) FILTER (WHERE create_store_api_key(k.id, k.id, k.hash, k.start))
    FROM unnest(%s::uuid[], %s::bytea[], %s::text[]) AS k (id, hash, start)
"""
_ACCOUNTS = """
    SELECT account_id FROM accounts
    WHERE owner_kind = 'store' AND owner_id = ANY (%s::uuid[]) ORDER BY owner_id
"""
# What an account has spent stands in its newest movement.
_COUNTS = """
    SELECT (SELECT coalesce(sum(m.spent_after), 0) FROM accounts a CROSS JOIN LATERAL (
                SELECT n.spent_after FROM movements n WHERE n.account_id = a.account_id
                ORDER BY n.account_id DESC, n.seq DESC LIMIT 1) m)::bigint,
        (SELECT count(*) FROM sessions WHERE completed_at IS NULL),
        (SELECT count(*) FROM pgqueuer)
"""
_BUSY = """
    SELECT count(*) FROM pg_stat_activity WHERE usename = 'storecredit_app' AND state <> 'idle'
"""
# What the worker would have done by now, less its time: nothing waits, nothing is left to vacuum.
_SETTLE = (
    """UPDATE sessions
       SET status = 'completed', started_at = now(), completed_at = now(), attempts = 1,
           input = NULL
       WHERE completed_at IS NULL""",
    "DELETE FROM pgqueuer",
    "VACUUM movements, sessions, pgqueuer",
)


def store_id(number: int) -> UUID:
    """The id of a benchmark's store: a UUIDv7, like the application's own."""
    return UUID(f"01900000-0000-7000-8000-{number:012x}")


@dataclass(frozen=True, slots=True)
class Counts:
    """What creates leave behind: credits taken, sessions that are open, jobs."""

    spent: int
    sessions: int
    jobs: int

    def __sub__(self, before: "Counts") -> "Counts":
        """What has come since."""
        return Counts(
            self.spent - before.spent, self.sessions - before.sessions, self.jobs - before.jobs
        )

    def agree_with(self, answered: int, connections: int) -> None:
        """What so many answered creates may have left, and one under way on each connection.

        Raises NotMeasured.
        """
        if not answered <= self.spent <= answered + connections:
            raise NotMeasured(f"{answered} creates were answered, which left {self}")
        if not self.spent == self.sessions == self.jobs:
            raise NotMeasured(f"not as many credits as sessions and jobs: {self}")


@dataclass(frozen=True, slots=True)
class Proof:
    """How many movements `storecredit verify` found right, and how long the command took."""

    movements: int
    seconds: float


@dataclass(frozen=True, slots=True)
class DatabaseUnderTest:
    """One data directory, its PostgreSQL running; `admin` is a superuser's connection."""

    data_dir: Path
    admin_url: str
    app_url: str
    postmaster_pid: int
    admin: "psycopg.Connection[tuple[Any, ...]]"

    def processes(self) -> list[psutil.Process]:
        """Every process of this PostgreSQL."""
        postmaster = psutil.Process(self.postmaster_pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def add_stores(self, count: int, *, first: int = HOT_STORE) -> list[str]:
        """Stores without a rate limit, with many credits and a key each; the keys."""
        keys: list[str] = []
        for begin in range(first, first + count, SEEDED_AT_ONCE):
            numbers = range(begin, min(begin + SEEDED_AT_ONCE, first + count))
            ids = [store_id(number) for number in numbers]
            new = [new_key() for _ in ids]
            self.admin.execute(_CREATE_STORES, (CREDITS, ids))
            starts = [key[:START_LENGTH] for key in new]
            self.admin.execute(_CREATE_KEYS, (ids, list(map(key_hash, new)), starts))
            keys += new
        return keys

    def account_ids(self, first: int, count: int) -> list[int]:
        """The accounts of so many stores from number `first` on, in the order of their numbers."""
        ids = [store_id(number) for number in range(first, first + count)]
        return [account_id for (account_id,) in self.admin.execute(_ACCOUNTS, (ids,))]

    def counts(self) -> Counts:
        """What is there now."""
        row = self.admin.execute(_COUNTS).fetchone()
        assert row is not None
        return Counts(*row)

    def commit_seconds(self) -> float:
        """How long a transaction takes that writes next to nothing: the median of a few."""
        times = []
        for _ in range(COMMITS):
            began = time.monotonic()
            self.admin.execute("SELECT pg_logical_emit_message(true, 'benchmark', '')")
            times.append(time.monotonic() - began)
        return statistics.median(times)

    def await_quiet(self) -> None:
        """Until what was under way when the load stopped is committed. Raises NotMeasured."""
        give_up = time.monotonic() + QUIET_MAX_SECONDS
        before = None
        while time.monotonic() < give_up:
            time.sleep(QUIET_SECONDS)
            counts = self.counts()
            (busy,) = self.admin.execute(_BUSY).fetchone() or (0,)
            if not busy and counts == before:
                return
            before = counts
        raise NotMeasured("the database does not come to rest")

    def settle(self) -> None:
        """End every open session and empty the queue, as a worker that keeps up would have."""
        for statement in _SETTLE:
            self.admin.execute(statement)

    def prove(self) -> Proof:
        """Have `storecredit verify` recompute every balance. Raises NotMeasured."""
        began = time.monotonic()
        said = run([STORECREDIT, "verify", "--json", "--data-dir", str(self.data_dir)])
        seconds = time.monotonic() - began
        report = msgspec.json.decode(said)
        if not report["clean"]:
            raise NotMeasured(f"after the run the ledger does not agree: {said[:500]}")
        return Proof(report["movements"], seconds)


@contextmanager
def database_in(data_dir: Path) -> Iterator[DatabaseUnderTest]:
    """Make the database, or join the one that is there; stopped at the end unless others use it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    postgres = EmbeddedPostgres(data_dir)
    asyncio.run(postgres.start())
    try:
        asyncio.run(migrate(postgres.admin_url, app_may_login=True))
        pid = postgres.pid()
        assert pid is not None
        with psycopg.connect(postgres.admin_url, autocommit=True, options=IN_OUR_SCHEMA) as admin:
            yield DatabaseUnderTest(data_dir, postgres.admin_url, postgres.app_url, pid, admin)
    finally:
        asyncio.run(postgres.stop())


def keys_file(path: Path, keys: Sequence[str]) -> Path:
    """The keys, one a line, as the load generator reads them."""
    path.write_text("".join(f"{key}\n" for key in keys))
    return path
