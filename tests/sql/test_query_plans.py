"""The hot queries use their indexes, however large one account has grown beside many small ones.

Queries are judged by the rows they read, those of functions by the pages (test_early_plans.py).
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from storecredit.billing.catalogue import load_catalogue
from storecredit.billing.overage import OverageBilling
from storecredit.billing.paddle.gateway import Paddle
from storecredit.billing.subscription_charges import SubscriptionCharges
from storecredit.generation.lifecycle import Lifecycle
from storecredit.generation.results.store import open_results
from storecredit.generation.sessions import Sessions, SessionStatus, Stats
from storecredit.generation.sweep import Sweep
from storecredit.ledger.balances import balances_of
from storecredit.ledger.credits import WINDOW, Credits, MovementFilter
from storecredit.ledger.outcomes import MovementType
from storecredit.ledger.owners import Owner
from storecredit.postgres.servers import Connection, connect
from storecredit.settings import Settings
from storecredit.stores.api_keys import key_hash, new_key
from storecredit.stores.callers import CALLERS_BY_HASH
from storecredit.telemetry import Metrics
from tests.sql.statement_costs import Recorder, rows_read

SMALL_ACCOUNTS = 1000
SMALL_SESSIONS = 10
LARGE_SESSIONS = 10_000
LARGE, SMALL = (
    Owner.store(UUID(hashlib.md5(name, usedforsecurity=False).hexdigest()))
    for name in (b"large", b"store 1")
)
LEDGER = LARGE_SESSIONS + LARGE_SESSIONS // 5
"""Movements of the large account: each session's deduction or overage, and every fifth's return."""
PAGE = 100
OFFSET = 200
OPEN_SESSIONS = 100
TABLES = ("accounts", "movements", "sessions", "pgqueuer")

# One account in a thousand is a thousand times larger: what the planner assumes of an account it
# does not know is then wrong for the one where it matters. Each second small one is an end user's.
LOAD = f"""
    CREATE TEMP TABLE owner AS
        SELECT md5('store ' || s)::uuid AS owner_id, s,
            CASE WHEN s % 2 = 1 THEN 'store' ELSE 'user' END AS owner_kind,
            {SMALL_SESSIONS} AS sessions
        FROM generate_series(1, {SMALL_ACCOUNTS}) s
        UNION ALL SELECT '{LARGE.id}', 0, 'store', {LARGE_SESSIONS};
    INSERT INTO accounts (owner_id, owner_kind) SELECT owner_id, owner_kind FROM owner ORDER BY s;
    INSERT INTO stores (store_id, name, shop_domain)
        SELECT owner_id, 'x', 'x' FROM accounts WHERE owner_kind = 'store';
    INSERT INTO store_api_keys (store_id, key_id, key_hash, key_start)
        SELECT store_id, store_id, sha256(store_id::text::bytea), 'sc_live_0000' FROM stores;
    CREATE TEMP TABLE load AS
        SELECT a.account_id, i, md5(o.s || ' session ' || i)::uuid AS session_id,
            'r' || i AS request_id
        FROM owner o JOIN accounts a USING (owner_id, owner_kind), generate_series(1, o.sessions) i
        ORDER BY 3;
    INSERT INTO movements
            (account_id, seq, type, amount, balance_after, spent_after, overage_used_after,
             session_id, request_id)
        SELECT account_id, row_number() OVER (PARTITION BY account_id ORDER BY at), type,
            1, 1, 1, 1, session_id, request_id
        FROM (SELECT account_id, 2 * i - 1 AS at, session_id, request_id,
                  CASE WHEN i > 6000 THEN 'overage' ELSE 'deduction' END AS type FROM load
              UNION ALL
              SELECT account_id, 2 * i, session_id, request_id, CASE WHEN i > 8000
                  THEN 'overage_refund' WHEN i > 6000 THEN 'overage_credit' ELSE 'refund' END
              FROM load WHERE i % 5 = 0) m;
    INSERT INTO movements (account_id, seq, type, amount, balance_after, spent_after, request_id)
        SELECT account_id, 0, 'grant', 1000, 1, 0, 'opening' FROM accounts;
    INSERT INTO grants (account_id, seq, amount, kind)
        SELECT m.account_id, m.seq, m.amount, 'paid'
        FROM movements m JOIN movement_types t USING (type)
        WHERE t.added > 0;
    INSERT INTO subscription_charges
            (account_id, period, seq, credits, amount, currency, request_id, provider)
        SELECT a.account_id, date '2020-01-01' + make_interval(months => n), 7260 + 60 * n,
            1, 1, 'USD', 'overage-' || n, 'paddle'
        FROM accounts a,
            generate_series(0, CASE WHEN a.owner_id = '{LARGE.id}' THEN 39 ELSE 3 END) n
        WHERE a.owner_kind = 'store';
    INSERT INTO sessions
            (account_id, session_id, credits, request_id, fingerprint, status, completed_at,
             error_code, result_key)
        SELECT account_id, session_id, 1, request_id, sha256('same'),
            CASE WHEN i > 9900 THEN 'queued' WHEN i % 5 = 0 THEN 'failed' ELSE 'completed' END,
            CASE WHEN i <= 9900 THEN now() - interval '3 hours' END,
            CASE WHEN i <= 9900 AND i % 5 = 0 THEN 'GENERATION_FAILED' END,
            CASE WHEN i <= 9900 AND i % 5 <> 0 THEN 'key' END
        FROM load;
    INSERT INTO pgqueuer (priority, entrypoint, payload, status, dedupe_key)
        SELECT 0, 'generation', '', 'queued', session_id::text FROM load WHERE i > 9900;
    DROP TABLE load, owner;
"""


@pytest.fixture(scope="module")
def loaded_url(books_url: str) -> str:
    """The module's database, filled once; nothing in it is vacuumed or analysed by the server."""

    async def load() -> None:
        connection = await connect(books_url, as_app=False)
        for table in TABLES:
            await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        await connection.execute(LOAD)
        await connection.execute("ANALYZE")
        await connection.close()

    asyncio.run(load())
    return books_url


@pytest.fixture
async def recorder(loaded_url: str) -> AsyncIterator[Recorder]:
    recorder = await Recorder.open(loaded_url)
    yield recorder
    await recorder.close()


@pytest.fixture
async def large(recorder: Recorder) -> int:
    """The large account."""
    return await Credits(recorder).account_id(LARGE)


async def plan_of(connection: Connection, query: str, args: Sequence[object]) -> set[str]:
    """The kinds of steps in the query's plan, and the indexes it uses."""
    plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {query}", *args)
    nodes = nodes_of(json.loads(plan)[0]["Plan"])
    indexes = {node["Index Name"] for node in nodes if "Index Name" in node}
    return indexes | {node["Node Type"] for node in nodes}


def nodes_of(plan: dict[str, Any]) -> list[dict[str, Any]]:
    below = [node for child in plan.get("Plans", []) for node in nodes_of(child)]
    return [plan, *below]


async def rows_read_after_small_accounts(recorder: Recorder) -> int:
    """What the last statement reads for the large account, on a connection long used for others.

    After five executions PostgreSQL may keep a plan for any arguments.
    """
    query, args = recorder.sent
    large, small = [await Credits(recorder).account_id(owner) for owner in (LARGE, SMALL)]
    of_small: dict[object, object] = {large: small, LARGE.id: SMALL.id}
    small_args = [of_small.get(arg, arg) if isinstance(arg, int | UUID) else arg for arg in args]
    async with recorder.acquire() as connection, connection.transaction():
        for _ in range(7):
            await connection.fetch(query, *small_args)
        return await rows_read(connection, query, *args)


async def test_the_balance_is_the_account_and_its_newest_movement(
    recorder: Recorder, large: int
) -> None:
    await balances_of(recorder, [large])

    assert await rows_read_after_small_accounts(recorder) == 2


@pytest.mark.parametrize("before_seq", [None, 5000])
async def test_a_page_of_the_ledger_reads_one_page(
    recorder: Recorder, before_seq: int | None
) -> None:
    page = await Credits(recorder).movements(
        LARGE, MovementFilter(), limit=PAGE, before_seq=before_seq
    )

    assert len(page.items) == PAGE
    # And the account.
    assert await rows_read_after_small_accounts(recorder) == PAGE + 2


async def test_a_page_of_a_type_looks_at_no_more_than_it_may(recorder: Recorder) -> None:
    page = await Credits(recorder).movements(
        LARGE, MovementFilter(type=MovementType.PURCHASE), limit=PAGE, before_seq=5000, depth=PAGE
    )

    assert (page.items, page.is_cut, page.next_before_seq) == ((), True, 5000 - PAGE)
    assert await rows_read_after_small_accounts(recorder) == PAGE + 1


@pytest.mark.parametrize("offset", [0, OFFSET])
async def test_a_page_by_offset_reads_up_to_its_end(recorder: Recorder, offset: int) -> None:
    page = await Credits(recorder).movements_from(LARGE, limit=PAGE, offset=offset)

    assert len(page) == PAGE
    assert await rows_read_after_small_accounts(recorder) == offset + PAGE + 1


@pytest.mark.parametrize("type_", [None, MovementType.REFUND, MovementType.GRANT])
async def test_the_whole_ledger_is_read_once_a_window_at_a_time(
    recorder: Recorder, type_: MovementType | None
) -> None:
    windows = Credits(recorder).whole_ledger(LARGE, MovementFilter(type=type_))
    read, seqs = 0, []
    async for window in windows:
        seqs += [movement.seq for movement in window]
        query, args = recorder.sent
        async with recorder.acquire() as connection, connection.transaction():
            read_now = await rows_read(connection, query, *args) - 1
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
    await Credits(recorder).movements(LARGE, wanted, limit=PAGE)

    query, args = recorder.sent
    async with recorder.acquire() as connection, connection.transaction():
        read = [await rows_read(connection, query, *args) for _ in range(7)]

    # Both movements, and the account, which the statement names twice.
    assert max(read) <= 4


async def test_a_session_is_one_row(recorder: Recorder, large: int) -> None:
    page = await Sessions(recorder).history(large, status=None, limit=1, offset=0)
    assert await Sessions(recorder).get(large, page[0].session_id) is not None

    assert await rows_read_after_small_accounts(recorder) == 1


@pytest.mark.parametrize("before", [None, UUID(int=2**127)])
@pytest.mark.parametrize("status", [None, *SessionStatus])
async def test_a_page_of_sessions_reads_about_one_page(
    recorder: Recorder, large: int, status: SessionStatus | None, before: UUID | None
) -> None:
    await Sessions(recorder).list(large, status=status, limit=PAGE, before=before)

    # Four of five sessions are completed; the other statuses have indexes of their own.
    assert await rows_read_after_small_accounts(recorder) <= 1.5 * (PAGE + 1)


@pytest.mark.parametrize("offset", [0, OFFSET])
@pytest.mark.parametrize("status", [None, *SessionStatus])
async def test_a_page_of_the_history_reads_about_up_to_its_end(
    recorder: Recorder, large: int, status: SessionStatus | None, offset: int
) -> None:
    await Sessions(recorder).history(large, status=status, limit=PAGE, offset=offset)

    assert await rows_read_after_small_accounts(recorder) <= 1.5 * (offset + PAGE)


async def test_the_counts_read_the_accounts_own_sessions_only(
    recorder: Recorder, large: int
) -> None:
    stats = await Sessions(recorder).stats(large)

    assert stats == Stats(LARGE_SESSIONS, completed=7920, active=100, failed=1980)
    assert await rows_read_after_small_accounts(recorder) == LARGE_SESSIONS


@pytest.mark.parametrize("status", [None, *SessionStatus])
@pytest.mark.parametrize("request_id", ["r5", "r9950", "r6001", "nobody's"])
async def test_the_session_of_a_request_is_found_by_its_ledger_key(
    recorder: Recorder, large: int, request_id: str, status: SessionStatus | None
) -> None:
    """Whether it was paid by a deduction or is overage, however many requests are called so."""
    await Sessions(recorder).list(large, status=status, limit=PAGE, request_id=request_id)

    # The movement and its session.
    assert await rows_read_after_small_accounts(recorder) <= 2
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
        open_results(settings),
        settings,
        metrics,
    )
    await sweep.sweep()

    reads = [sent for sent in recorder.statements if "FROM sessions" in sent[0]]
    assert len(reads) == 5, "overdue, without a job, old results, old messages, the figures"
    async with recorder.acquire() as connection, connection.transaction():
        for query, args in reads:
            # Each open session, its account and, where the question is whether it has one, its job.
            assert await rows_read(connection, query, *args) <= 3 * OPEN_SESSIONS


async def test_closing_overage_reads_the_oldest_of_each_store(recorder: Recorder) -> None:
    paddle = Paddle("key", "http://127.0.0.1:1", 1)
    charges = SubscriptionCharges(recorder, paddle, Settings())
    billing = OverageBilling(recorder, charges, load_catalogue(), Settings())
    await billing.run_once()
    await paddle.close()

    [(query, args)] = [sent for sent in recorder.statements if "user_of_overage" in sent[0]]
    async with recorder.acquire() as connection, connection.transaction():
        # The one account that has used overage: its row, its newest movement, its last bill, and
        # the oldest overage since, if there is any.
        assert await rows_read(connection, query, *args) <= 10
