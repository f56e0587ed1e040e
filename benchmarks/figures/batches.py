"""F6: batches of 1,000 on one store, against the same rows as one bare INSERT … SELECT.

Both sides: one connection, one statement and one transaction per batch, the request ids sent as one
array, the same rows in the same table with its constraints and indexes. The bare one looks at no
balance and no earlier request, and tells nothing back.
"""

import asyncio
import itertools
import time
import uuid
from collections.abc import Awaitable, Callable

import asyncpg
import uvloop

from benchmarks.bench import Bench
from benchmarks.database_under_test import CREDITS, HOT_STORE, DatabaseUnderTest, store_id
from benchmarks.load import settle_down
from benchmarks.results import Goal, NotMeasured, Result, per_second, ratios

BATCH = 1_000
OURS, BARE = store_id(HOT_STORE), store_id(HOT_STORE + 1)
DEDUCT = """
    SELECT ord, outcome, balance
    FROM deduct_store_credits_many($1::uuid, $2::int[], $3::text[], $4::text[], $5::uuid[])
"""
INSERT = f"""
    INSERT INTO store_credit_transactions
        (store_id, seq, type, amount, balance_after, request_id, description)
    SELECT $1::uuid, $2::bigint + i.n, 'deduction', 1, {CREDITS} - ($2::bigint - 1) - i.n,
        i.request_id, 'Credits deducted'
    FROM unnest($3::text[]) WITH ORDINALITY AS i (request_id, n)
"""
# Its rows are valid; what the bare INSERT leaves out is made up for, so that the proof holds.
CATCH_UP = """
    UPDATE store_credits c
    SET balance = c.total_purchased - t.rows, total_spent = t.rows, last_seq = t.rows + 1
    FROM (SELECT count(*) - 1 AS rows FROM store_credit_transactions WHERE store_id = %s) t
    WHERE c.store_id = %s
"""


def measure(bench: Bench) -> list[Result]:
    """F6, in deductions (rows) per second."""
    with bench.database() as database:
        database.add_stores(2)
        # The opening grant is row 1 of the bare store.
        seqs = itertools.count(1, BATCH)

        async def deduct(connection: asyncpg.Connection, ids: list[str]) -> None:
            rows = await connection.fetch(
                DEDUCT, OURS, [1] * BATCH, ids, ["Credits deducted"] * BATCH, [None] * BATCH
            )
            if [row["outcome"] for row in rows] != ["deducted"] * BATCH:
                raise NotMeasured("a deduction of a batch was not made")

        async def insert(connection: asyncpg.Connection, ids: list[str]) -> None:
            await connection.execute(INSERT, BARE, next(seqs), ids)

        measured = bench.rounds(
            {
                "batches": lambda: _rate(bench, database, database.app_url, deduct),
                "bare INSERT": lambda: _rate(bench, database, database.admin_url, insert),
            }
        )
        database.admin.execute(CATCH_UP, (BARE, BARE))
    return [
        Result(
            figure="F6",
            what=f"deductions in batches of {BATCH:,} on one store, against bare INSERT … SELECT",
            goal=Goal(at_least=0.5),
            rounds=ratios(measured["batches"], measured["bare INSERT"]),
            absolute=per_second(measured),
        )
    ]


def _rate(
    bench: Bench,
    database: DatabaseUnderTest,
    url: str,
    send: Callable[[asyncpg.Connection, list[str]], Awaitable[None]],
) -> float:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rate = runner.run(_batches(url, send, bench.plan.seconds))
    database.settle()
    settle_down()
    return rate


async def _batches(
    url: str, send: Callable[[asyncpg.Connection, list[str]], Awaitable[None]], seconds: float
) -> float:
    connection = await asyncpg.connect(url)
    try:
        # The first batch prepares the statement and plans it.
        await send(connection, _request_ids())
        began, sent = time.monotonic(), 0
        while time.monotonic() < began + seconds:
            await send(connection, _request_ids())
            sent += BATCH
        return sent / (time.monotonic() - began)
    finally:
        await connection.close()


def _request_ids() -> list[str]:
    prefix = uuid.uuid4().hex
    return [f"{prefix}-{number}" for number in range(BATCH)]
