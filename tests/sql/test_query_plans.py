"""The hot queries use their indexes, however large one store has grown beside many small ones.

Queries are judged by their plans; functions, whose plans nobody shows, by the rows they read.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from storecredit.ledger.store_credits import WINDOW, MovementFilter, StoreCredits

from storecredit.billing.catalogue import load_catalogue
from storecredit.billing.overage import OverageBilling
from storecredit.billing.paddle.gateway import Paddle
from storecredit.generation.lifecycle import ENTRYPOINT, Lifecycle
from storecredit.generation.sessions import Sessions, SessionStatus
from storecredit.generation.storage import ResultStore
from storecredit.generation.sweep import Sweep
from storecredit.ledger.outcomes import MovementType
from storecredit.ledger.owners import Owner
from storecredit.postgres.job_queue import JobQueue
from storecredit.postgres.pool import Connection, Database, read_url
from storecredit.settings import Settings
from storecredit.stores.api_keys import key_hash, new_key
from storecredit.stores.callers import CALLERS_BY_HASH
from storecredit.telemetry import Metrics
from tests.sql.reading import Recorder, rows_read

SMALL_STORES = 1000
SMALL_STORE_SESSIONS = 10
LARGE_STORE_SESSIONS = 10_000
LARGE_STORE = UUID("01999999-0000-7000-8000-000000000000")
SMALL_STORE = UUID(hashlib.md5(b"store 1", usedforsecurity=False).hexdigest())
LEDGER = LARGE_STORE_SESSIONS + LARGE_STORE_SESSIONS // 5
"""Movements of the large store: each session's deduction or overage, and every fifth's return."""
BATCH = 10
ROWS_PER_ITEM_MAX = 6
"""One of each: credit row, deduction, refund, session; and room for a row read twice."""
PAGE = 100
OPEN_SESSIONS = 100
SESSIONS = "store_generation_sessions"

# One store in a thousand is a thousand times larger: what the planner assumes of a store it
# does not know is then wrong for the one where it matters.
LOAD = f"""
    CREATE TEMP TABLE load AS
        SELECT md5('store ' || s)::uuid AS store_id, md5(s || ' session ' || i)::uuid AS session_id,
            i, 'r' || i AS request_id
        FROM generate_series(1, {SMALL_STORES}) s, generate_series(1, {SMALL_STORE_SESSIONS}) i
        UNION ALL
        SELECT '{LARGE_STORE}', md5('large session ' || i)::uuid, i, 'r' || i
        FROM generate_series(1, {LARGE_STORE_SESSIONS}) i
        ORDER BY 2;
    INSERT INTO store_credits
            (store_id, balance, total_purchased, total_spent, last_seq, overage_used)
        SELECT DISTINCT store_id, 999000000, 1000000000, 1000000, 1000000, 1000000 FROM load;
    INSERT INTO stores (store_id, name, shop_domain) SELECT store_id, 'x', 'x' FROM store_credits;
    INSERT INTO store_api_keys (store_id, key_id, key_hash, key_start)
        SELECT store_id, store_id, sha256(store_id::text::bytea), 'sc_live_0000' FROM stores;
    INSERT INTO store_credit_transactions
            (store_id, seq, type, amount, balance_after, session_id, request_id)
        SELECT store_id, 2 * i - 1, CASE WHEN i > 6000 THEN 'overage' ELSE 'deduction' END, 1, 1,
            session_id, request_id FROM load
        UNION ALL
        SELECT store_id, 2 * i, CASE WHEN i > 8000 THEN 'overage_refund' WHEN i > 6000
            THEN 'overage_credit' ELSE 'refund' END, 1, 1, session_id, request_id
        FROM load WHERE i % 5 = 0;
    INSERT INTO store_overage_bills (store_id, period, seq, credits, amount, currency, request_id)
        SELECT s.store_id, date '2020-01-01' + make_interval(months => n), 12100 + 100 * n,
            1, 1, 'USD', 'x'
        FROM stores s,
            generate_series(0, CASE WHEN s.store_id = '{LARGE_STORE}' THEN 39 ELSE 3 END) n;
    INSERT INTO store_generation_sessions
            (store_id, session_id, request_id, fingerprint, status, completed_at, error_code,
             result_key)
        SELECT store_id, session_id, request_id, sha256('same'),
            CASE WHEN i > 9900 THEN 'queued' WHEN i % 5 = 0 THEN 'failed' ELSE 'completed' END,
            CASE WHEN i <= 9900 THEN now() - interval '3 hours' END,
            CASE WHEN i <= 9900 AND i % 5 = 0 THEN 'GENERATION_FAILED' END,
            CASE WHEN i <= 9900 AND i % 5 <> 0 THEN 'key' END
        FROM load;
    INSERT INTO pgqueuer (priority, entrypoint, payload, status, dedupe_key)
        SELECT 0, 'generation', '', 'queued', session_id::text FROM load WHERE i > 9900;
    DROP TABLE load;
"""
TABLES = ("store_credits", "store_credit_transactions", "store_generation_sessions", "pgqueuer")


@pytest.fixture(scope="module")
def loaded_url(books_url: str) -> str:
    """The module's database, filled once; nothing in it is vacuumed or analysed by the server."""

    async def load() -> None:
        connection = await asyncpg.connect(books_url)
        for table in TABLES:
            await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        await connection.execute(LOAD)
        await connection.execute("ANALYZE")
        await connection.close()

    asyncio.run(load())
    return books_url


@pytest.fixture
async def recorder(loaded_url: str) -> AsyncIterator[Recorder]:
    opened = await Database.open(loaded_url)
    yield Recorder(read_url(loaded_url), opened.pool)
    await opened.close()


@pytest.fixture
async def planner(loaded_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection in a transaction that is rolled back."""
    connection = await asyncpg.connect(loaded_url)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


async def plan_of(connection: Connection, query: str, args: Sequence[object]) -> set[str]:
    """The kinds of steps in the query's plan, and the indexes it uses."""
    plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {query}", *args)
    nodes = nodes_of(json.loads(plan)[0]["Plan"])
    indexes = {node["Index Name"] for node in nodes if "Index Name" in node}
    return indexes | {node["Node Type"] for node in nodes}


def nodes_of(plan: dict[str, Any]) -> list[dict[str, Any]]:
    below = [node for child in plan.get("Plans", []) for node in nodes_of(child)]
    return [plan, *below]


async def rows_read_after_small_stores(recorder: Recorder) -> int:
    """What the last statement reads for the large store, on a connection long used for others.

    After five executions PostgreSQL may keep a plan for any arguments.
    """
    query, args = recorder.sent
    small_args = [SMALL_STORE if arg == LARGE_STORE else arg for arg in args]
    async with recorder.acquire() as connection, connection.transaction():
        for _ in range(7):
            await connection.fetch(query, *small_args)
        return await rows_read(connection, query, *args)


async def test_the_balance_is_one_row(recorder: Recorder) -> None:
    await StoreCredits(recorder).balance(LARGE_STORE)

    assert await rows_read_after_small_stores(recorder) == 1


@pytest.mark.parametrize("before_seq", [None, 5000])
async def test_a_page_of_the_ledger_reads_one_page(
    recorder: Recorder, before_seq: int | None
) -> None:
    page = await StoreCredits(recorder).movements(
        LARGE_STORE, MovementFilter(), limit=PAGE, before_seq=before_seq
    )

    assert len(page.items) == PAGE
    assert await rows_read_after_small_stores(recorder) == PAGE + 1


@pytest.mark.parametrize("type_", [None, MovementType.REFUND, MovementType.GRANT])
async def test_the_whole_ledger_is_read_once_a_window_at_a_time(
    recorder: Recorder, type_: MovementType | None
) -> None:
    windows = StoreCredits(recorder).whole_ledger(LARGE_STORE, MovementFilter(type=type_))
    read, seqs = 0, []
    async for window in windows:
        seqs += [movement.seq for movement in window]
        query, args = recorder.sent
        async with recorder.acquire() as connection, connection.transaction():
            read_now = await rows_read(connection, query, *args)
        assert read_now <= WINDOW
        read += read_now

    assert seqs == sorted(seqs, reverse=True)
    assert len(seqs) == {None: LEDGER, MovementType.REFUND: 1200}.get(type_, 0)
    assert read == LEDGER


@pytest.mark.parametrize("type_", [None, MovementType.REFUND])
async def test_the_movements_of_one_request_are_found_by_its_id(
    recorder: Recorder, type_: MovementType | None
) -> None:
    wanted = MovementFilter(request_id="r5", type=type_)
    await StoreCredits(recorder).movements(LARGE_STORE, wanted, limit=PAGE)

    query, args = recorder.sent
    async with recorder.acquire() as connection, connection.transaction():
        read = [await rows_read(connection, query, *args) for _ in range(7)]

    assert set(read) == {2}


async def test_a_session_is_one_row(recorder: Recorder, planner: asyncpg.Connection) -> None:
    session_id = await planner.fetchval(
        f"SELECT session_id FROM {SESSIONS} WHERE store_id = $1 LIMIT 1", LARGE_STORE
    )
    assert await Sessions(recorder).get(Owner.store(LARGE_STORE), session_id) is not None

    assert await rows_read_after_small_stores(recorder) == 1


@pytest.mark.parametrize("before", [None, UUID(int=2**127)])
@pytest.mark.parametrize("status", [None, *SessionStatus])
async def test_a_page_of_sessions_reads_about_one_page(
    recorder: Recorder, status: SessionStatus | None, before: UUID | None
) -> None:
    await Sessions(recorder).list(LARGE_STORE, status=status, limit=PAGE, before=before)

    # Four of five sessions are completed; the other statuses have indexes of their own.
    assert await rows_read_after_small_stores(recorder) <= 1.5 * (PAGE + 1)


@pytest.mark.parametrize("status", [None, *SessionStatus])
@pytest.mark.parametrize("request_id", ["r5", "r9950", "r6001", "nobody's"])
async def test_the_session_of_a_request_is_found_by_its_ledger_key(
    recorder: Recorder, request_id: str, status: SessionStatus | None
) -> None:
    """Whether it was paid by a deduction or is overage, however many requests are called so."""
    await Sessions(recorder).list(LARGE_STORE, status=status, limit=PAGE, request_id=request_id)

    # The movement and its session.
    assert await rows_read_after_small_stores(recorder) <= 2
    async with recorder.acquire() as connection:
        plan = await plan_of(connection, *recorder.sent)
    assert "one_movement_of_a_type_per_request" in plan
    assert not plan & {"Seq Scan", "Sort"}


async def test_a_key_is_found_by_its_hash(recorder: Recorder) -> None:
    async with recorder.acquire() as connection:
        plan = await plan_of(connection, CALLERS_BY_HASH, [[key_hash(new_key())]])
    assert {"one_key_per_hash", "stores_pkey"} <= plan
    assert not plan & {"Seq Scan", "Sort"}


async def test_the_sweep_reads_open_sessions_only(recorder: Recorder, data_dir: Path) -> None:
    settings, metrics = Settings(data_dir=data_dir), Metrics()
    sweep = Sweep(
        recorder,
        Lifecycle(recorder, settings, metrics),
        ResultStore(data_dir, None),
        JobQueue(recorder, ENTRYPOINT),
        settings,
        metrics,
    )
    await sweep.sweep()

    reads = [sent for sent in recorder.statements if f"FROM {SESSIONS}" in sent[0]]
    assert len(reads) == 5, "overdue, without a job, old results, old messages, the figures"
    async with recorder.acquire() as connection, connection.transaction():
        for query, args in reads:
            # Each open session and, where the question is whether it has one, its job.
            assert await rows_read(connection, query, *args) <= 2 * OPEN_SESSIONS


async def test_closing_overage_reads_the_oldest_of_each_store(recorder: Recorder) -> None:
    paddle = Paddle("key", "http://127.0.0.1:1", 1)
    billing = OverageBilling(recorder, paddle, load_catalogue(), Settings())
    await billing.run_once()
    await paddle.close()

    [(query, args)] = [sent for sent in recorder.statements if "c.overage_used" in sent[0]]
    async with recorder.acquire() as connection, connection.transaction():
        # Its credit row, its last bill (on PostgreSQL 15 looked up twice), and the oldest overage
        # since, if there is any.
        assert (
            await rows_read(connection, query, *args) <= 3 * (SMALL_STORES + 1) + ROWS_PER_ITEM_MAX
        )


async def batch_of(connection: asyncpg.Connection, name: str) -> tuple[str, list[object]]:
    """A call of a function for BATCH items of the large store."""
    ids = [str(uuid4()) for _ in range(BATCH)]
    new = [uuid4() for _ in range(BATCH)]
    nothing = [None] * BATCH
    fingerprints = [b"f" * 32] * BATCH
    taken = [f"r{i}" for i in range(1, 5 * BATCH, 5)]
    beyond = [f"r{i}" for i in range(6001, 6001 + 5 * BATCH, 5)]
    returned = [f"r{i}" for i in range(8005, 8005 + 5 * BATCH, 5)]
    queued = await connection.fetchval(
        f"SELECT (array_agg(session_id))[:$1] FROM {SESSIONS} WHERE status = 'queued'",
        BATCH,
    )
    calls: dict[str, tuple[str, list[object]]] = {
        "deduct": (
            "deduct_store_credits_many($1, $2, $3, $4, $5)",
            [[1] * BATCH, ids, nothing, nothing],
        ),
        "refund": ("refund_store_credits_many($1, $2, $3, $4)", [[1] * BATCH, taken, nothing]),
        "refund overage": (
            "refund_store_credits_many($1, $2, $3, $4)",
            [[1] * BATCH, beyond, nothing],
        ),
        "refund overage again": (
            "refund_store_credits_many($1, $2, $3, $4)",
            [[1] * BATCH, returned, nothing],
        ),
        "replay overage": (
            "deduct_store_credits_many($1, $2, $3, $4, $5)",
            [[1] * BATCH, beyond, nothing, nothing],
        ),
        "claw back": ("claw_back_store_credits($1, 1, $2)", [ids[0]]),
        "limit": ("set_store_overage_limit($1, $2)", [5]),
        "close": ("close_store_overage($1, $2, 16, 'USD')", [date(2026, 1, 1)]),
        "add": ("add_store_credits($1, 1, 'grant', $2)", [ids[0]]),
        "create": (
            "create_store_generations($1, $2, $3, $4, $5, $6)",
            [new, ids, fingerprints, nothing, nothing],
        ),
        "replay": (
            "create_store_generations($1, $2, $3, $4, $5, $6)",
            [new, taken, fingerprints, nothing, nothing],
        ),
        "start": ("start_store_generations($1, $2)", [queued]),
        "complete": ("complete_store_generations($1, $2, $3)", [queued, ids]),
        "fail": ("fail_store_generations($1, $2, $3, $3)", [queued, ids]),
        "forget": ("forget_store_generation_result($1, $2)", [new[0]]),
    }
    return calls[name]


@pytest.mark.parametrize("mode", ["auto", "force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "deduct",
        "replay overage",
        "refund",
        "refund overage",
        "refund overage again",
        "add",
        "claw back",
        "limit",
        "close",
        "create",
        "replay",
        "start",
        "complete",
        "fail",
        "forget",
    ],
)
async def test_a_function_reads_the_rows_of_its_items_only(
    loaded_url: str, planner: asyncpg.Connection, name: str, known: bool, mode: str
) -> None:
    if not known:
        # A new deployment: the tables have grown before anything was counted.
        await planner.execute(
            "DELETE FROM pg_statistic WHERE starelid::regclass::text LIKE 'store%'"
        )
    await planner.execute(f"SET LOCAL plan_cache_mode = {mode}")
    call, args = await batch_of(planner, name)

    read = await rows_read(planner, f"SELECT * FROM {call}", LARGE_STORE, *args)

    assert read > 0 or name == "forget"
    assert read <= ROWS_PER_ITEM_MAX * BATCH
