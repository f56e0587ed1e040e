"""Archiving in real processes, each of which is killed with a file under way."""

import os
import signal
from datetime import timedelta
from pathlib import Path

import asyncpg

from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from tests.crash.waiting import until_true
from tests.forked_command import ForkedCommand
from tests.passing_time import pass_time
from tests.worker.archives import rows_in

GENERATIONS = 4_000
KILLED = 3
MAX_SECONDS = 60.0
_MADE = """
    WITH made AS (
        INSERT INTO movements (account_id, seq, type, amount, balance_after, spent_after,
            request_id, session_id)
        SELECT account_id, 1 + n, 'deduction', 1, 5000 - n, n, 'r' || n, gen_random_uuid()
        FROM accounts, generate_series(1, $1::int) n RETURNING *)
    INSERT INTO sessions (account_id, session_id, credits, request_id, fingerprint, status,
        completed_at)
    SELECT account_id, session_id, 1, request_id, sha256(request_id::bytea), 'completed', now()
    FROM made
"""


def worker(directory: Path, number: int, database_url: str) -> ForkedCommand:
    """A process that archives as soon as it has begun."""
    environment = {key: value for key, value in os.environ.items() if "STORECREDIT" not in key}
    environment |= {
        "STORECREDIT_SESSIONS_KEPT_DAYS": "90",
        "STORECREDIT_ARCHIVE": str(directory / "archive"),
        "STORECREDIT_ARCHIVE_INTERVAL_SECONDS": "0.1",
        "STORECREDIT_SUMS_INTERVAL_SECONDS": "0.1",
    }
    data_dir = directory / str(number)
    return ForkedCommand(
        ["worker", "--database-url", database_url, "--data-dir", str(data_dir)],
        directory,
        environment,
        output=data_dir.with_suffix(".output"),
        errors=data_dir.with_suffix(".errors"),
    )


async def test_whoever_is_killed_each_session_is_archived_once(
    database: Database, database_url: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    await admin.execute(
        """SELECT create_store(gen_random_uuid(), 'A', 'a.example', p_credits => 5000,
               p_request_id => 'opening')"""
    )
    await admin.execute(_MADE, GENERATIONS)
    made = {str(row[0]) for row in await admin.fetch("SELECT session_id FROM sessions")}
    await pass_time(admin, timedelta(days=100))

    def said() -> str:
        return "".join(path.read_text() for path in tmp_path.glob("*.errors"))

    async def is_so(question: str) -> bool:
        return bool(await admin.fetchval(question))

    under_way = "SELECT account_ids <> '{}' FROM archiving"
    workers = [worker(tmp_path, number, database_url) for number in range(2)]
    try:
        for number in range(KILLED):
            await until_true(lambda: is_so(under_way), "a file is under way", MAX_SECONDS, said)
            for each in workers[-2:]:
                each.send_signal(signal.SIGKILL)
            await admin.execute("UPDATE archiving SET held_until = NULL")
            workers += [worker(tmp_path, 2 * number + 2 + more, database_url) for more in range(2)]
        left = "SELECT count(*) = 0 FROM sessions"
        await until_true(lambda: is_so(left), "all is archived", MAX_SECONDS, said)
    finally:
        for each in workers:
            each.kill()
            each.wait(MAX_SECONDS)
    files = sorted((tmp_path / "archive").rglob("*.csv.gz"))
    assert {str(file.relative_to(tmp_path / "archive")) for file in files} == {
        row["file"] for row in await admin.fetch("SELECT file FROM session_archives")
    }
    rows = [row["session_id"] for file in files for row in rows_in(file.read_bytes())]
    assert len(rows) == len(set(rows)) == GENERATIONS
    assert set(rows) == made
    assert (await verify(database)).clean
