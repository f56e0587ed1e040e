"""A list of one status reads no other, even if all was of that status when ANALYZE saw it.

By what ANALYZE saw then, another key leads to as few rows as the index made for the status: the
primary key, or that of all events. Once all that has ended, it leads to all there ever was.
"""

from typing import Final

import asyncpg
import pytest

from storecredit.generation.sessions import Sessions, SessionStatus
from storecredit.ledger.hold_records import HoldRecords, HoldStatus
from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.servers import connect
from storecredit.webhooks.delivery_records import DeliveryRecords, DeliveryStatus
from tests.sql.deliveries import happen, make_endpoints
from tests.sql.ledger_growth import EVERY, TABLES, grow, make_accounts
from tests.sql.ledgers import open_account
from tests.sql.statement_costs import Call, Recorder, buffers_read

ACCOUNTS = 20
GROWTH = 2000
"""Movements of one account."""
PAGE = 10
PAGES_MAX = 30
"""As in test_early_plans.py."""
SEEN: Final = {
    "open": (
        "UPDATE holds SET status = 'held', captured = NULL, ended_at = NULL",
        "UPDATE sessions SET status = 'queued', completed_at = NULL, error_code = NULL",
    ),
    "failed": (
        "UPDATE holds SET status = 'released', captured = 0, ended_at = now()",
        """UPDATE sessions SET status = 'failed', completed_at = now(),
               error_code = 'GENERATION_FAILED'""",
    ),
    "expired": ("UPDATE holds SET status = 'expired', captured = 0, ended_at = now()",),
}
"""What all holds and sessions were when ANALYZE saw them."""
COMPLETED: Final = (
    "UPDATE holds SET status = 'captured', captured = amount, ended_at = now()",
    "UPDATE sessions SET status = 'completed', completed_at = now(), error_code = NULL",
)


async def lists_of(database_url: str, account: int) -> list[Call]:
    """The statements of all lists."""
    recorder = await Recorder.open(database_url)
    for hold_status in (None, *HoldStatus):
        await HoldRecords(recorder).list(account, status=hold_status, limit=PAGE)
    for status in (None, *SessionStatus):
        await Sessions(recorder).list(account, status=status, limit=PAGE)
        await Sessions(recorder).history(account, status=status, limit=PAGE, offset=0)
    await recorder.close()
    return recorder.statements


async def keep_plans(connection: asyncpg.Connection, statements: list[Call]) -> None:
    # After five executions PostgreSQL may keep a plan for any arguments.
    for query, arguments in statements * 7:
        await connection.fetch(query, *arguments)


async def assert_few_pages(connection: asyncpg.Connection, statements: list[Call]) -> None:
    assert statements
    for query, arguments in statements:
        read = await buffers_read(connection, query, *arguments)
        assert not {name: pages for name, pages in read.items() if pages > PAGES_MAX}, query


@pytest.fixture
async def accounts(admin: asyncpg.Connection) -> list[int]:
    """Accounts that ANALYZE sees when it is told to."""
    for table in TABLES:
        await admin.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    return await make_accounts(admin, ACCOUNTS)


@pytest.mark.parametrize("seen", list(SEEN))
async def test_a_list_of_one_status_reads_no_other(
    seen: str, accounts: list[int], admin: asyncpg.Connection, database_url: str
) -> None:
    await grow(admin, accounts, 1, EVERY)
    for update in SEEN[seen]:
        await admin.execute(update)
    await admin.execute("ANALYZE")
    early = await connect(database_url)
    statements = await lists_of(database_url, accounts[0])
    await keep_plans(early, statements)

    for update in COMPLETED:
        await admin.execute(update)
    await grow(admin, accounts[:1], EVERY + 1, GROWTH)
    late = await connect(database_url)
    for connection in (early, late):
        await assert_few_pages(connection, statements)
        await connection.close()


@pytest.mark.parametrize("seen", [DeliveryStatus.DELIVERED, DeliveryStatus.FAILED])
async def test_a_list_of_deliveries_reads_no_others(
    seen: DeliveryStatus, admin: asyncpg.Connection, database_url: str
) -> None:
    """Nor the events of others. Those that are pending are not looked for: most are the newest."""
    for table in ("events", "deliveries"):
        await admin.execute(f"ALTER TABLE storecredit.{table} SET (autovacuum_enabled = off)")
    end = """UPDATE storecredit.deliveries
             SET status = $1, ended_at = now(), next_attempt_at = NULL"""
    store = await open_account(admin, OwnerKind.STORE)
    endpoint_id, *others = await make_endpoints(admin, store.id, ACCOUNTS)
    await happen(admin, store.id, EVERY)
    await admin.execute(end, seen)
    await admin.execute("ANALYZE")
    early, recorder = await connect(database_url), await Recorder.open(database_url)
    for status in (None, DeliveryStatus.DELIVERED, DeliveryStatus.FAILED):
        await DeliveryRecords(recorder).list(store.id, endpoint_id, status=status, limit=PAGE)
    await recorder.close()
    await keep_plans(early, recorder.statements)

    await admin.execute(
        "DELETE FROM storecredit.webhook_endpoints WHERE endpoint_id = ANY ($1)", others
    )
    await happen(admin, store.id, GROWTH)
    await admin.execute(end, DeliveryStatus.DELIVERED)
    # What an update leaves behind in an index, a list would pass over once.
    await admin.execute("VACUUM storecredit.deliveries")
    late = await connect(database_url)
    for connection in (early, late):
        await assert_few_pages(connection, recorder.statements)
        await connection.close()
