"""F6: 1,000 deductions in one call, against the same rows as one bare INSERT … SELECT.

On one store, and on a thousand different ones of 10,000. Both sides: one connection, one
statement and one transaction per batch, the stores and request ids sent as arrays, the same rows in
the same table with its constraints and indexes. The bare one looks at no balance and no earlier
request, and tells nothing back.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg
import uvloop

from benchmarks.bench import Bench
from benchmarks.database_under_test import CREDITS, HOT_STORE, DatabaseUnderTest, store_id
from benchmarks.load import settle_down
from benchmarks.results import Goal, NotMeasured, Result, per_second, ratios

BATCH = 1_000
STORES = 10_000
DEDUCT = """
    SELECT ord, outcome
    FROM deduct_credits_across_stores($1::uuid[], $2::int[], $3::text[], $4::text[], $5::uuid[])
"""
INSERT = f"""
    INSERT INTO store_credit_transactions
        (store_id, seq, type, amount, balance_after, request_id, description)
    SELECT i.store_id, i.seq, 'deduction', 1, {CREDITS} - (i.seq - 1), i.request_id,
        'Credits deducted'
    FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS i (store_id, seq, request_id)
"""
# Its rows are valid; what the bare INSERT leaves out is made up for, so that the proof holds.
CATCH_UP = """
    UPDATE store_credits c
    SET balance = c.total_purchased - t.rows, total_spent = t.rows, last_seq = t.rows + 1
    FROM (
        SELECT store_id, count(*) - 1 AS rows FROM store_credit_transactions
        WHERE store_id = ANY(%s) GROUP BY store_id
    ) t
    WHERE c.store_id = t.store_id
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
        first_bare = HOT_STORE + stores
        ours, bare = Drawn(HOT_STORE, stores), Drawn(first_bare, stores)

        async def deduct(connection: asyncpg.Connection) -> None:
            store_ids, _ = ours.batch()
            descriptions, sessions = ["Credits deducted"] * BATCH, [None] * BATCH
            rows = await connection.fetch(
                DEDUCT, store_ids, [1] * BATCH, _request_ids(), descriptions, sessions
            )
            if [row["outcome"] for row in rows] != ["deducted"] * BATCH:
                raise NotMeasured("a deduction of a batch was not made")

        async def insert(connection: asyncpg.Connection) -> None:
            await connection.execute(INSERT, *bare.batch(), _request_ids())

        measured = bench.rounds(
            {
                "batches": lambda: _rate(bench, database, database.app_url, deduct),
                "bare INSERT": lambda: _rate(bench, database, database.admin_url, insert),
            }
        )
        bare_ids = [store_id(number) for number in range(first_bare, first_bare + stores)]
        database.admin.execute(CATCH_UP, (bare_ids,))
    return Result(
        figure="F6",
        what=f"deductions in batches of {BATCH:,} {which}, against bare INSERT … SELECT",
        goal=goal,
        rounds=ratios(measured["batches"], measured["bare INSERT"]),
        absolute=per_second(measured),
    )


class Drawn:
    """Batches of so many stores: every store once, in random order, before any comes again.

    The same for both sides, and so that the bare one knows which row of a store is the next. Of
    one store a batch is all its.
    """

    def __init__(self, first: int, stores: int) -> None:
        self._ids = [store_id(number) for number in range(first, first + stores)]
        # The opening grant is row 1 of each.
        self._next_seq = dict.fromkeys(self._ids, 2)
        self._left: list[UUID] = []

    def batch(self) -> tuple[list[UUID], list[int]]:
        """Of each deduction the store, and the number of its row."""
        while len(self._left) < BATCH:
            self._left += random.sample(self._ids, len(self._ids))
        taken, self._left = self._left[:BATCH], self._left[BATCH:]
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
    connection = await asyncpg.connect(url)
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
