"""The sweep of the ledger in real processes: one of two is killed in the middle of it."""

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

ACCOUNTS = 600
MAX_SECONDS = 60.0
EXPIRY = "movements WHERE type = 'expiry'"
DUE = "accounts WHERE next_expiry <= now()"


def worker(directory: Path, name: str, database_url: str) -> ForkedCommand:
    """A process that sweeps as soon as it has begun."""
    environment = {key: value for key, value in os.environ.items() if "STORECREDIT" not in key}
    environment["STORECREDIT_SWEEP_INTERVAL_SECONDS"] = "0.1"
    arguments = ["worker", "--database-url", database_url, "--data-dir", str(directory / name)]
    said = directory / name
    return ForkedCommand(
        arguments,
        directory,
        environment,
        output=said.with_suffix(".output"),
        errors=said.with_suffix(".errors"),
    )


async def test_whatever_is_killed_each_grant_expires_once(
    database: Database, database_url: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    await admin.execute(
        """SELECT create_store(gen_random_uuid(), 'A', 'a.example', p_credits => 5,
               p_request_id => 'opening') FROM generate_series(1, $1)""",
        ACCOUNTS,
    )
    await admin.execute(
        """SELECT add_to_account(account_id, 10, 'purchase', 'month',
               p_expires_at => now() + interval '1 hour') FROM accounts"""
    )
    await pass_time(admin, timedelta(hours=1))

    async def is_so(what: str, rows: str) -> bool:
        return bool(await admin.fetchval(f"SELECT {what} FROM {rows}"))

    def said() -> str:
        return "".join(path.read_text() for path in tmp_path.glob("*.errors"))

    workers = [worker(tmp_path, name, database_url) for name in ("one", "other")]
    try:
        await until_true(lambda: is_so("count(*) > 0", EXPIRY), "an expiry", MAX_SECONDS, said)
        workers[0].send_signal(signal.SIGKILL)
        await until_true(lambda: is_so("count(*) = 0", DUE), "nothing due", MAX_SECONDS, said)
    finally:
        for each in workers:
            each.kill()
            each.wait(MAX_SECONDS)
    assert await admin.fetchval(f"SELECT count(*) FROM {EXPIRY}") == ACCOUNTS
    left = await admin.fetch(
        """SELECT DISTINCT m.balance_after, m.expired_after, m.seq FROM accounts a
           CROSS JOIN LATERAL (
               SELECT * FROM movements n WHERE n.account_id = a.account_id
               ORDER BY n.seq DESC LIMIT 1) m"""
    )
    assert [tuple(row) for row in left] == [(5, 10, 3)]
    assert (await verify(database)).clean
