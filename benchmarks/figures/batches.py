"""F6: 1,000 deductions in one call, against the same rows as one bare INSERT … SELECT.

On one store, and on a thousand different ones of 10,000. Both sides: one connection, one
statement and one transaction per batch, accounts and request ids sent as arrays, the same rows in
the same table with its constraints and indexes. The bare one looks at no balance and no earlier
request, and tells nothing back.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable

import asyncpg
import uvloop

from benchmarks.bench import Bench
from benchmarks.database_under_test import CREDITS, HOT_STORE, DatabaseUnderTest
from benchmarks.load import settle_down
from benchmarks.results import Goal, NotMeasured, Result, per_second, ratios
from storecredit.postgres.servers import SCHEMA

BATCH = 1_000
STORES = 10_000
DEDUCT = """
    SELECT outcomes
    FROM deduct_from_accounts($1::bigint[], $2::int[], $3::text[], $4::text[])
"""
# Its rows are those that the ledger's function would have written: the proof holds.
INSERT = f"""
    INSERT INTO movements
        (account_id, seq, type, amount, balance_after, spent_after, request_id, description)
    SELECT i.account_id, i.seq, 'deduction', 1, {CREDITS} - (i.seq - 1), i.seq - 1, i.request_id,
        'Credits deducted'
    FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS i (account_id, seq, request_id)
"""
Send = Callable[[asyncpg.Connection], Awaitable[None]]


def measure(bench: Bench) -> list[Result]:
    """F6, in deductions (rows) per second."""
    return [
        _compared(bench, 1, "on one store", Goal(at_least=0.7)),
        _compared(bench, STORES, f"of stores drawn among {STORES:,}", None),
    ]


def _compared(bench: Bench, stores: int, which: str, goal: Goal | None) -> Result:
    with bench.database() as database:
        bench.say(f"seeding {2 * stores:,} stores")
        database.add_stores(2 * stores)
        ours = Drawn(database.account_ids(HOT_STORE, stores))
        bare = Drawn(database.account_ids(HOT_STORE + stores, stores))

        async def deduct(connection: asyncpg.Connection) -> None:
            account_ids, _ = ours.batch()
            outcomes = await connection.fetchval(
                DEDUCT, account_ids, [1] * BATCH, _request_ids(), ["Credits deducted"] * BATCH
            )
            if outcomes != ["deducted"] * BATCH:
                raise NotMeasured("a deduction of a batch was not made")

        async def insert(connection: asyncpg.Connection) -> None:
            await connection.execute(INSERT, *bare.batch(), _request_ids())

        measured = bench.rounds(
            {
                "batches": lambda: _rate(bench, database, database.app_url, deduct),
                "bare INSERT": lambda: _rate(bench, database, database.admin_url, insert),
            }
        )
    return Result(
        figure="F6",
        what=f"deductions in batches of {BATCH:,} {which}, against bare INSERT … SELECT",
        goal=goal,
        rounds=ratios(measured["batches"], measured["bare INSERT"]),
        absolute=per_second(measured),
    )


class Drawn:
    """Batches of so many accounts: every one once, in random order, before any comes again.

    The same for both sides, and so that the bare one knows which row of an account is the next. Of
    one account a batch is all its. Within a batch they ascend, as the ledger wants its items.
    """

    def __init__(self, account_ids: list[int]) -> None:
        self._ids = account_ids
        # The opening grant is row 1 of each.
        self._next_seq = dict.fromkeys(self._ids, 2)
        self._left: list[int] = []

    def batch(self) -> tuple[list[int], list[int]]:
        """Of each deduction the account, and the number of its row."""
        while len(self._left) < BATCH:
            self._left += random.sample(self._ids, len(self._ids))
        taken, self._left = sorted(self._left[:BATCH]), self._left[BATCH:]
        seqs = []
        for each in taken:
            seqs.append(self._next_seq[each])
            self._next_seq[each] += 1
        return taken, seqs


def _rate(bench: Bench, database: DatabaseUnderTest, url: str, send: Send) -> float:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rate = runner.run(_batches(url, send, bench.plan.seconds))
    database.settle()
    settle_down()
    return rate


async def _batches(url: str, send: Send, seconds: float) -> float:
    connection = await asyncpg.connect(url, server_settings={"search_path": SCHEMA})
    try:
        # The first batch prepares the statement and plans it.
        await send(connection)
        began, sent = time.monotonic(), 0
        while time.monotonic() < began + seconds:
            await send(connection)
            sent += BATCH
        return sent / (time.monotonic() - began)
    finally:
        await connection.close()


def _request_ids() -> list[str]:
    prefix = uuid.uuid4().hex
    return [f"{prefix}-{number}" for number in range(BATCH)]
