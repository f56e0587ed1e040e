"""A page of the audit log is read by an index, whatever others there are.

Also by a plan that was made while the log was empty: PostgreSQL may keep it for a session's life.
"""

from typing import Final

import asyncpg

from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.operator.audit import Action
from storecredit.operator.audit_entries import AuditEntries, AuditFilter
from storecredit.postgres.servers import connect
from tests.sql.ledgers import open_account
from tests.sql.statement_costs import Recorder, buffers_read

ENTRIES: Final = 6000
PAGE: Final = 10
PAGES_MAX: Final = 30
"""Of one table or index; all entries are on 80."""
FILL: Final = """
    INSERT INTO storecredit.audit_log
        (account_id, other_account_id, actor, door, action, request_id)
    SELECT $1::bigint, $1::bigint, 'ann', 'api', 'store.update', 'req-' || n
    FROM generate_series(1, $2::int) n"""


def asked_for(busy: Owner, idle: Owner) -> list[AuditFilter]:
    """What many entries have, and what few have or none."""
    return [
        AuditFilter(),
        AuditFilter(actor="ann"),
        AuditFilter(actor="bob"),
        AuditFilter(action=Action.STORE_UPDATE),
        AuditFilter(action=Action.USER_ERASE),
        AuditFilter(request_id="req-1"),
        AuditFilter(request_id="req-1", actor="ann", action=Action.STORE_UPDATE),
        AuditFilter(owner=busy),
        AuditFilter(owner=idle),
        AuditFilter(owner=idle, actor="ann", action=Action.STORE_UPDATE),
    ]


async def test_a_page_of_the_log_reads_no_other(
    admin: asyncpg.Connection, database_url: str
) -> None:
    await admin.execute("ALTER TABLE storecredit.audit_log SET (autovacuum_enabled = off)")
    busy, idle = [await open_account(admin, OwnerKind.STORE) for _ in range(2)]
    await admin.execute("ANALYZE storecredit.audit_log")
    recorder = await Recorder.open(database_url)
    for wanted in asked_for(busy.owner, idle.owner):
        for cursor in (None, str(ENTRIES // 2)):
            await AuditEntries(recorder).page(wanted, limit=PAGE, cursor=cursor)
    await recorder.close()
    early = await connect(database_url)
    # After five executions PostgreSQL may keep a plan for any arguments.
    for query, arguments in recorder.statements * 7:
        await early.fetch(query, *arguments)

    await admin.execute(FILL, busy.id, ENTRIES)
    late = await connect(database_url)
    for connection in (early, late):
        for query, arguments in recorder.statements:
            read = await buffers_read(connection, query, *arguments)
            many = {name: pages for name, pages in read.items() if pages > PAGES_MAX}
            assert not many, arguments
        await connection.close()
