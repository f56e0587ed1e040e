"""Group commits of generations, in two processes' way, while the credits that pay for them expire.

Batches of up to 64, replays among them, and two sweeps meet at the same accounts. Each credit pays
once or expires once, and whoever was told that it paid finds its session.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg

from storecredit.generation.lifecycle import (
    Created,
    GenerationInput,
    InsufficientCredits,
    Lifecycle,
    Replayed,
)
from storecredit.ledger.expiry import ExpirySweep
from storecredit.ledger.owners import Account
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from storecredit.telemetry import Metrics
from tests.sql.ledgers import add_ending, credits_of, ledger, open_some

ACCOUNTS = 8
FOR_EVER = 5
GRANTS, GRANTED = 6, 40
FIRST_END, BETWEEN_ENDS = timedelta(seconds=2), timedelta(milliseconds=100)
"""The first is far enough away for a busy machine to add all of them before it."""
AT_ONCE = 128
TWICE = 16
"""One in so many requests is sent twice at once."""
INPUT = GenerationInput(("https://images.example/a.png",))
PATIENT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Process:
    """What of a process moves credits here."""

    lifecycle: Lifecycle
    sweep: ExpirySweep
    metrics: Metrics

    def largest_batch(self) -> float:
        """At least so many requests were in one of its group commits."""
        buckets = [
            (float(sample.labels["le"]), sample.value)
            for metric in self.metrics.commit_batch_size.collect()
            for sample in metric.samples
            if sample.name.endswith("_bucket") and sample.labels["operation"] == "create"
        ]
        total = max(count for _, count in buckets)
        return max((limit for limit, count in buckets if count < total), default=0)


@asynccontextmanager
async def processes(database: Database, data_dir: Path) -> AsyncIterator[list[Process]]:
    """Two, whose sweeps run without a pause."""
    settings = Settings(
        data_dir=data_dir,
        sweep_interval_seconds=0.001,
        commit_deadline_seconds=PATIENT_SECONDS,
    )
    stop = asyncio.Event()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        opened: list[Process] = []
        for _ in range(2):
            metrics = Metrics()
            each = Process(
                Lifecycle(database, settings, metrics),
                ExpirySweep(database, settings, metrics),
                metrics,
            )
            for part in (each.lifecycle, each.sweep):
                await part.open()
                stack.push_async_callback(part.close)
            opened.append(each)
            group.create_task(each.sweep.run(stop))
        try:
            yield opened
        finally:
            stop.set()


class Asker:
    """One client of a process; what it was told is held against what all were told before."""

    def __init__(
        self, lifecycle: Lifecycle, name: str, told: dict[tuple[Account, str], UUID]
    ) -> None:
        self._lifecycle = lifecycle
        self._name = name
        self._told = told
        self._turn = 0

    async def ask(self, accounts: Sequence[Account], count: int) -> None:
        """So many requests at once, those of each account in turn, and some of them twice."""
        self._turn += 1
        places = [*range(count), *range(0, count, TWICE)]
        await asyncio.gather(
            *(self._create(accounts[n % len(accounts)], f"{self._turn} {n}") for n in places)
        )

    async def _create(self, account: Account, request: str) -> None:
        request_id = f"{self._name} {request}"
        outcome = await self._lifecycle.create(account, request_id, INPUT, None, 1)
        if isinstance(outcome, InsufficientCredits):
            return
        assert isinstance(outcome, Created | Replayed)
        assert outcome.credits == 1
        first = self._told.setdefault((account, request_id), outcome.session_id)
        assert first == outcome.session_id, "one request, one session"


async def test_what_pays_for_generations_expires_under_their_batches_and_pays_or_expires_once(
    database: Database, admin: asyncpg.Connection, data_dir: Path
) -> None:
    accounts = await open_some(admin, *[FOR_EVER] * ACCOUNTS)
    told: dict[tuple[Account, str], UUID] = {}
    async with processes(database, data_dir) as both:
        askers = [Asker(each.lifecycle, str(n), told) for n, each in enumerate(both)]
        ends = [FIRST_END + n * BETWEEN_ENDS for n in range(GRANTS)]
        last = await add_ending(admin, accounts, GRANTED, *ends)
        # Not sooner: all would be spent before the first of them ends.
        await admin.execute("SELECT pg_sleep_until($1)", last - GRANTS * BETWEEN_ENDS)
        while await admin.fetchval("SELECT clock_timestamp()") <= last:
            await asyncio.gather(*(each.ask(accounts, AT_ONCE) for each in askers))
        # What never ends is spent last.
        await askers[0].ask(accounts, ACCOUNTS * FOR_EVER)
        assert max(each.largest_batch() for each in both) >= AT_ONCE / 4

    paid = Counter(account for account, _ in told)
    for account in accounts:
        rows = await ledger(admin, account)
        of_type = {
            name: [row for row in rows if row.type == name] for name in ("deduction", "expiry")
        }
        asked = {request_id for of, request_id in told if of == account}
        assert sorted(row.request_id for row in of_type["deduction"]) == sorted(asked)
        expired = {row.request_id: row.amount for row in of_type["expiry"]}
        assert len(expired) == len(of_type["expiry"]) <= GRANTS, "each grant expires once"
        assert max(expired.values(), default=0) <= GRANTED
        assert paid[account] + sum(expired.values()) == FOR_EVER + GRANTS * GRANTED
        assert (await credits_of(admin, account)).balance == 0
    sessions = await admin.fetch("SELECT session_id FROM sessions")
    assert {row["session_id"] for row in sessions} == set(told.values())
    await admin.execute("SELECT pg_stat_force_next_flush()")
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await admin.fetchval(deadlocks) == 0
    for every_row in (False, True):
        assert (await verify(database, every_row=every_row)).clean
