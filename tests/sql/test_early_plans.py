"""A plan that was made while the tables were empty reads no more rows when they have grown.

A connection keeps its plans for as long as nothing tells it that they are outdated. In an empty
table every way to a row costs the same, and most of them cost the whole table later.
"""

import hashlib
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from storecredit.postgres.pool import connect
from tests.sql.reading import rows_read

STORES = 300
SESSIONS = 3
BATCH = 10
ROWS_PER_ITEM_MAX = 8
"""Credit row, session, deduction, refund; each perhaps once to lock it and once to read it."""
PRINT = hashlib.sha256(b"content").digest()
TABLES = ("store_credits", "store_credit_transactions", "store_generation_sessions", "pgqueuer")
CREATE = "SELECT * FROM create_generations_across_stores($1, $2, $3, $4, $5, $5)"
DEDUCT = "SELECT * FROM deduct_credits_across_stores($1, $2, $3, $4, $5)"
START = "SELECT * FROM start_generations_across_stores($1, $2)"
COMPLETE = "SELECT * FROM complete_generations_across_stores($1, $2, $3)"
FAIL = "SELECT * FROM fail_generations_across_stores($1, $2, $3, $3)"


async def use_all(app: asyncpg.Connection, store_ids: list[UUID], name: str) -> None:
    """Each function once, and so each statement planned, by a batch of the given stores."""
    one, other = [uuid7() for _ in store_ids], [uuid7() for _ in store_ids]
    for sessions, kind in ((one, "one"), (other, "other")):
        await app.fetch(
            CREATE,
            store_ids,
            sessions,
            [f"{name} {kind}"] * len(store_ids),
            [PRINT] * len(store_ids),
            [None] * len(store_ids),
        )
    await app.fetch(START, store_ids + store_ids, one + other)
    await app.fetch(COMPLETE, store_ids, one, ["key"] * len(store_ids))
    await app.fetch(FAIL, store_ids, other, ["CODE"] * len(store_ids))


@pytest.fixture(params=["fresh", "analysed"])
async def early(
    request: pytest.FixtureRequest, database_url: str
) -> AsyncIterator[tuple[asyncpg.Connection, list[UUID]]]:
    """A connection that has planned everything on empty tables, which then grew unseen."""
    admin = await asyncpg.connect(database_url)
    for table in TABLES:
        await admin.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    if request.param == "analysed":
        await admin.execute("VACUUM ANALYZE")
    app = await connect(database_url)
    # What is refused for its store writes nothing, but has been planned all the same.
    for refused in (
        (CREATE, [uuid7()], [uuid7()], ["r"], [PRINT], [None]),
        (DEDUCT, [uuid7()], [1], ["r"], ["d"], [None]),
        (FAIL, [uuid7()], [uuid7()], ["CODE"]),
    ):
        with pytest.raises(asyncpg.PostgresError):
            await app.fetch(*refused)
    await app.fetch(START, [uuid7()], [uuid7()])
    await app.fetch(COMPLETE, [uuid7()], [uuid7()], ["key"])
    store_ids = [uuid7() for _ in range(STORES)]
    await admin.execute(
        "INSERT INTO store_credits (store_id, balance, total_purchased)"
        " SELECT id, 1000, 1000 FROM unnest($1::uuid[]) AS u (id)",
        store_ids,
    )
    for place in range(SESSIONS):
        await use_all(app, store_ids, f"load {place}")
    yield app, store_ids
    await app.close()
    await admin.close()


async def test_no_function_across_stores_reads_more_when_the_tables_have_grown(
    early: tuple[asyncpg.Connection, list[UUID]],
) -> None:
    app, store_ids = early
    some = store_ids[::30][:BATCH]
    sessions, others = [uuid7() for _ in some], [uuid7() for _ in some]
    keys = ["x"] * BATCH
    batches: dict[str, tuple[object, ...]] = {
        DEDUCT: (some, [1] * BATCH, ["mine"] * BATCH, keys, [None] * BATCH),
        CREATE: (some, sessions, ["r"] * BATCH, [PRINT] * BATCH, [None] * BATCH),
        START: (some, sessions),
        COMPLETE: (some, sessions, keys),
        FAIL: (some, others, keys),
    }
    for call, arguments in batches.items():
        if call == FAIL:
            prints, nothing = [PRINT] * BATCH, [None] * BATCH
            await app.fetch(CREATE, some, others, ["f"] * BATCH, prints, nothing)
        async with app.transaction():
            read = await rows_read(app, call, *arguments)
        assert read <= ROWS_PER_ITEM_MAX * BATCH, (call, read)


async def test_no_function_across_stores_reads_more_for_one_large_store(
    early: tuple[asyncpg.Connection, list[UUID]],
) -> None:
    app, store_ids = early
    large = [store_ids[0]] * BATCH
    prints, nothing = [PRINT] * BATCH, [None] * BATCH
    batches = [[uuid7() for _ in range(BATCH)] for _ in range(50)]
    for place, sessions in enumerate(batches):
        names = [f"{place} {n}" for n in range(BATCH)]
        await app.fetch(CREATE, large, sessions, names, prints, nothing)
    names = [f"new {n}" for n in range(BATCH)]
    calls: list[tuple[str, tuple[object, ...]]] = [
        (CREATE, (large, [uuid7() for _ in range(BATCH)], names, prints, nothing)),
        (START, (large, batches[20])),
        (COMPLETE, (large, batches[20], names)),
        (FAIL, (large, batches[30], ["CODE"] * BATCH)),
    ]
    for call, arguments in calls:
        async with app.transaction():
            read = await rows_read(app, call, *arguments)
        assert read <= ROWS_PER_ITEM_MAX * BATCH, (call, read)
