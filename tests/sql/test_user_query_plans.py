"""What is done for end users reads the rows it is about only, however large one has grown.

Plans inside of functions are shown by nobody: they are judged by the rows that are read.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from storecredit.ledger.user_credits import UserCredits

from storecredit.generation.lifecycle import ENTRYPOINT, Lifecycle
from storecredit.generation.sessions import Sessions, SessionStatus, Stats
from storecredit.generation.storage import ResultStore
from storecredit.generation.sweep import Sweep
from storecredit.ledger.owners import Owner
from storecredit.postgres.job_queue import JobQueue
from storecredit.postgres.pool import Database, read_url
from storecredit.settings import Settings
from storecredit.telemetry import Metrics
from tests.sql.reading import Recorder, rows_read

BATCH = 10
ROWS_PER_ITEM_MAX = 6
"""The credit row, locked, looked at again and changed; deduction, refund, session."""
LARGE_USER = UUID("01999999-0000-7000-8000-000000000000")
SMALL_USER = UUID(hashlib.md5(b"user 1", usedforsecurity=False).hexdigest())
SESSIONS = "generation_sessions"
TABLES = ("user_credits", "credit_transactions", SESSIONS, "pgqueuer")
LARGE_USER_SESSIONS = 10_000
PAGE = 100
OFFSET = 200
OPEN_SESSIONS = 100

# One user in a thousand is a thousand times larger: what the planner assumes of a user it does
# not know is then wrong for the one where it matters.
LOAD = f"""
    CREATE TEMP TABLE load AS
        SELECT md5('user ' || u)::uuid AS user_id, md5(u || ' session ' || i)::uuid AS session_id,
            i, 'r' || i AS request_id
        FROM generate_series(1, 1000) u, generate_series(1, 10) i
        UNION ALL
        SELECT '{LARGE_USER}', md5('large session ' || i)::uuid, i, 'r' || i
        FROM generate_series(1, 10000) i
        ORDER BY 2;
    INSERT INTO user_credits (user_id, balance, total_earned, total_spent, last_seq)
        SELECT DISTINCT user_id, 999000000, 1000000000, 1000000, 1000000 FROM load;
    INSERT INTO users (user_id) SELECT user_id FROM user_credits;
    INSERT INTO credit_transactions
            (user_id, seq, type, amount, balance_after, session_id, request_id)
        SELECT user_id, 2 * i - 1, 'generation', 1, 1, session_id, request_id FROM load
        UNION ALL
        SELECT user_id, 2 * i, 'refund', 1, 1, session_id, request_id FROM load WHERE i % 5 = 0;
    INSERT INTO generation_sessions
            (user_id, session_id, request_id, fingerprint, status, completed_at, error_code,
             result_key)
        SELECT user_id, session_id, request_id, sha256('same'),
            CASE WHEN i > 9900 THEN 'queued' WHEN i % 5 = 0 THEN 'failed' ELSE 'completed' END,
            CASE WHEN i <= 9900 THEN now() - interval '3 hours' END,
            CASE WHEN i <= 9900 AND i % 5 = 0 THEN 'GENERATION_FAILED' END,
            CASE WHEN i <= 9900 AND i % 5 <> 0 THEN 'key' END
        FROM load;
    INSERT INTO pgqueuer (priority, entrypoint, payload, status, dedupe_key)
        SELECT 0, 'generation', '', 'queued', session_id::text FROM load WHERE i > 9900;
    DROP TABLE load;
"""


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
async def planner(loaded_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection in a transaction that is rolled back."""
    connection = await asyncpg.connect(loaded_url)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


async def call_of(connection: asyncpg.Connection, name: str) -> tuple[str, list[object], int]:
    """A call of a function for the large user, and for how many items it is."""
    users = [LARGE_USER] * BATCH
    ids, new = [str(uuid4()) for _ in range(BATCH)], [uuid4() for _ in range(BATCH)]
    nothing, fingerprints = [None] * BATCH, [b"f" * 32] * BATCH
    taken = [f"r{i}" for i in range(1, 5 * BATCH, 5)]
    queued = await connection.fetchval(
        "SELECT (array_agg(session_id))[:$1] FROM generation_sessions WHERE status = 'queued'",
        BATCH,
    )
    create = "create_generations_across_users($1, $2, $3, $4, $5, $6)"
    calls: dict[str, tuple[str, list[object], int]] = {
        "ensure": ("ensure_user($1, 10)", [LARGE_USER], 1),
        "deduct": ("deduct_credits($1, 1, $2)", [LARGE_USER, ids[0]], 1),
        "refund": ("refund_credits($1, 1, $2)", [LARGE_USER, "r1"], 1),
        "add": ("add_credits($1, 1, 'grant', $2)", [LARGE_USER, ids[0]], 1),
        "claw back": ("claw_back_credits($1, 1, $2)", [LARGE_USER, ids[0]], 1),
        "create": (create, [users, new, ids, fingerprints, nothing, nothing], BATCH),
        "replay": (create, [users, new, taken, fingerprints, nothing, nothing], BATCH),
        "start": ("start_generations_across_users($1, $2)", [users, queued], BATCH),
        "complete": (
            "complete_generations_across_users($1, $2, $3)",
            [users, queued, ids],
            BATCH,
        ),
        "fail": ("fail_generations_across_users($1, $2, $3, $3)", [users, queued, ids], BATCH),
        "forget": ("forget_generation_result($1, $2)", [LARGE_USER, new[0]], 1),
    }
    return calls[name]


@pytest.mark.parametrize("mode", ["auto", "force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "ensure",
        "deduct",
        "refund",
        "add",
        "claw back",
        "create",
        "replay",
        "start",
        "complete",
        "fail",
        "forget",
    ],
)
async def test_a_function_reads_the_rows_of_its_items_only(
    planner: asyncpg.Connection, name: str, known: bool, mode: str
) -> None:
    if not known:
        # A new deployment: the tables have grown before anything was counted.
        await planner.execute(
            "DELETE FROM pg_statistic WHERE starelid::regclass::text = ANY ($1)", TABLES
        )
    await planner.execute(f"SET LOCAL plan_cache_mode = {mode}")
    call, args, items = await call_of(planner, name)

    read = await rows_read(planner, f"SELECT * FROM {call}", *args)

    assert read > 0 or name in ("ensure", "forget")
    assert read <= ROWS_PER_ITEM_MAX * items


@pytest.fixture
async def recorder(loaded_url: str) -> AsyncIterator[Recorder]:
    opened = await Database.open(loaded_url)
    yield Recorder(read_url(loaded_url), opened.pool)
    await opened.close()


async def rows_read_after_small_users(recorder: Recorder) -> int:
    """What the last statement reads for the large user, on a connection long used for others."""
    query, args = recorder.sent
    small_args = [SMALL_USER if arg == LARGE_USER else arg for arg in args]
    async with recorder.acquire() as connection, connection.transaction():
        for _ in range(7):
            await connection.fetch(query, *small_args)
        return await rows_read(connection, query, *args)


async def test_the_balance_is_one_row(recorder: Recorder) -> None:
    await UserCredits(recorder).balance(LARGE_USER)

    assert await rows_read_after_small_users(recorder) == 1


@pytest.mark.parametrize("offset", [0, OFFSET])
async def test_a_page_of_the_ledger_reads_up_to_its_end(recorder: Recorder, offset: int) -> None:
    page = await UserCredits(recorder).movements(LARGE_USER, limit=PAGE, offset=offset)

    assert len(page) == PAGE
    assert await rows_read_after_small_users(recorder) == offset + PAGE


async def test_a_session_is_one_row(recorder: Recorder) -> None:
    page = await Sessions(recorder).history(LARGE_USER, status=None, limit=1, offset=0)
    owner = Owner.user(LARGE_USER)
    assert await Sessions(recorder).get(owner, page[0].session_id) is not None

    assert await rows_read_after_small_users(recorder) == 1


@pytest.mark.parametrize("offset", [0, OFFSET])
@pytest.mark.parametrize("status", [None, *SessionStatus])
async def test_a_page_of_the_history_reads_about_up_to_its_end(
    recorder: Recorder, status: SessionStatus | None, offset: int
) -> None:
    await Sessions(recorder).history(LARGE_USER, status=status, limit=PAGE, offset=offset)

    # Four of five sessions are completed; the other statuses have indexes of their own.
    assert await rows_read_after_small_users(recorder) <= 1.5 * (offset + PAGE)


async def test_the_counts_read_the_users_own_sessions_only(recorder: Recorder) -> None:
    stats = await Sessions(recorder).stats(LARGE_USER)

    assert stats == Stats(LARGE_USER_SESSIONS, completed=7920, active=100, failed=1980)
    assert await rows_read_after_small_users(recorder) == LARGE_USER_SESSIONS


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
