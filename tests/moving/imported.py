"""What is in our tables after an import, read back."""

from typing import Any
from uuid import UUID

import asyncpg


async def ledger(admin: asyncpg.Connection, owner_id: UUID) -> list[tuple[Any, ...]]:
    """An owner's movements: type, amount, balance after, request id."""
    rows = await admin.fetch(
        """SELECT m.type, m.amount, m.balance_after, m.request_id FROM storecredit.movements m
           JOIN storecredit.accounts a USING (account_id) WHERE a.owner_id = $1 ORDER BY m.seq""",
        owner_id,
    )
    return [tuple(row) for row in rows]


async def session(admin: asyncpg.Connection, session_id: UUID) -> dict[str, Any]:
    """A generation, as far as an import says anything of it."""
    row = await admin.fetchrow(
        """SELECT s.status, s.credits, s.request_id, s.error_code, a.owner_id
           FROM storecredit.sessions s JOIN storecredit.accounts a USING (account_id)
           WHERE s.session_id = $1""",
        session_id,
    )
    assert row is not None
    return dict(row)


async def everything(admin: asyncpg.Connection) -> dict[str, list[str]]:
    """Every row of every table of ours but the audit log and the last verification."""
    tables = await admin.fetch(
        """SELECT c.relname::text AS name FROM pg_class c
           WHERE c.relnamespace = 'storecredit'::regnamespace AND c.relkind = 'r'
             AND c.relname NOT IN ('audit_log', 'last_verification') ORDER BY 1"""
    )
    return {
        table["name"]: [
            str(row)
            for row in await admin.fetch(f"SELECT xmin, t.* FROM storecredit.{table['name']} t")
        ]
        for table in tables
    }
