"""SIGKILL at any moment of an import: it is run again, goes on, and doubles nothing."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import asyncpg
import pytest

from tests.e2e.conftest import Serving, Storecredit, storecredit_in, until
from tests.moving.conftest import Command
from tests.moving.imported import everything
from tests.moving.old_system import OldSystem

STORES = 260
EACH = 100
FILL = f"""
    INSERT INTO stores (shop_domain)
    SELECT 's' || n || '.example' FROM generate_series(1, {STORES}) n;
    INSERT INTO store_credit_transactions (store_id, amount, type, request_id, created_at)
    SELECT s.id, CASE n WHEN 1 THEN 1000 ELSE -1 END,
        CASE n WHEN 1 THEN 'purchase' ELSE 'deduction' END,
        'req_' || n, now() - interval '1 day' + n * interval '1 minute'
    FROM stores s, generate_series(1, {EACH}) n;
    INSERT INTO store_api_keys (store_id, key_hash)
    SELECT id, encode(sha256(shop_domain::bytea), 'hex') FROM stores;
    INSERT INTO store_generation_sessions (store_id, status, request_id)
    SELECT store_id, 'completed', request_id FROM store_credit_transactions
    WHERE type = 'deduction';
    INSERT INTO store_credits (store_id, balance)
    SELECT store_id, sum(amount) FROM store_credit_transactions GROUP BY store_id;
    INSERT INTO billing_webhook_events (provider, event_id)
    SELECT 'paddle', 'evt_' || n FROM generate_series(1, 100) n"""
# Of what was brought along each owner is there whole, or not at all.
HALVES = """
    SELECT count(*) FROM storecredit.accounts a
    LEFT JOIN storecredit.imported_owners i USING (account_id)
    LEFT JOIN storecredit.stores s ON s.store_id = a.owner_id
    WHERE i.account_id IS NULL OR s.store_id IS NULL OR i.movements <> (
            SELECT count(*) FROM storecredit.movements m WHERE m.account_id = a.account_id)
        OR (SELECT count(*) FROM storecredit.sessions x WHERE x.account_id = a.account_id) <> $1
        OR (SELECT count(*) FROM storecredit.store_api_keys k WHERE k.store_id = s.store_id) <> 1"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Storecredit]:
    """The command as processes of its own."""
    with storecredit_in(tmp_path) as command:
        yield command


def killed_after(running: Serving, said: str, seconds: float) -> bool:
    """Kill it so long after it has said so; False: it had ended before."""
    until(lambda: said in running.log_path.read_text() or running.process.poll() is not None, said)
    time.sleep(seconds)
    running.process.send_signal(signal.SIGKILL)
    return running.process.wait(60) == -signal.SIGKILL


async def test_killed_at_any_moment_it_goes_on_where_it_was(
    old: OldSystem,
    processes: Storecredit,
    storecredit: Command,
    database_url: str,
    admin: asyncpg.Connection,
) -> None:
    await old.connection.execute(FILL)
    given = ("import", "--history", "--from", old.url, "--database-url", database_url)
    random = Random(15)
    killed = 0
    moments = ["Reading store_credit", "Planning", *["Writing: "] * 2]
    for said in moments:
        killed += killed_after(processes.start(*given), said, random.uniform(0, 0.3))
        assert await admin.fetchval(HALVES, EACH - 1) == 0
    assert killed >= 2

    done = await storecredit("import", "--history", "--from", old.url)

    assert done.status == 0, done
    assert done.output.endswith("All of it agrees.\n")
    assert await admin.fetchval(HALVES, EACH - 1) == 0
    sums = await admin.fetchrow(
        """SELECT count(*), sum(balance), (SELECT count(*) FROM storecredit.movements),
               (SELECT count(*) FROM storecredit.provider_events)
           FROM store_credits"""
    )
    assert tuple(sums or ()) == (STORES, STORES * (1000 - EACH + 1), STORES * EACH, 100)
    before = await everything(admin)
    assert (await storecredit("import", "--history", "--from", old.url)).status == 0
    assert await everything(admin) == before


async def test_two_at_once_write_everything_once(
    old: OldSystem,
    processes: Storecredit,
    database_url: str,
    admin: asyncpg.Connection,
) -> None:
    await old.connection.execute(FILL)
    given = ("import", "--history", "--from", old.url, "--database-url", database_url)

    both = [processes.start(*given) for _ in range(2)]

    assert [each.process.wait(100) for each in both] == [0, 0], both[0].log_path.read_text()
    assert await admin.fetchval(HALVES, EACH - 1) == 0
    assert await admin.fetchval("SELECT count(*) FROM storecredit.movements") == STORES * EACH
