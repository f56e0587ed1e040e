"""Accounts that grow: their movements and sessions written by the thousand, as a superuser.

What is written follows from nothing; it is there to be found, or passed over.
"""

from hashlib import md5
from uuid import UUID

import asyncpg

OVERAGE_EVERY = 7
OPEN = 20
TABLES = ("accounts", "movements", "sessions", "overage_bills", "pgqueuer")

_MOVEMENTS = f"""
    INSERT INTO movements
        (account_id, seq, type, amount, balance_after, spent_after, overage_used_after,
         request_id, session_id)
    SELECT a.account_id, i, CASE WHEN i % {OVERAGE_EVERY} = 0 THEN 'overage' ELSE 'deduction' END,
        1, 1000000, i, nullif(i / {OVERAGE_EVERY}, 0), 'r' || i,
        md5(a.account_id || ' ' || i)::uuid
    FROM accounts a, generate_series($2::int, $3::int) i
    WHERE a.account_id = ANY ($1) ORDER BY i
"""
_OPENING = """
    INSERT INTO movements (account_id, seq, type, amount, balance_after, spent_after, request_id)
    SELECT a, 0, 'grant', 1000000, 1000000, 0, 'opening' FROM unnest($1::bigint[]) a
    ON CONFLICT DO NOTHING
"""
_GRANTS = """
    INSERT INTO grants (account_id, seq, amount, kind)
    SELECT a, 0, 1000000, 'paid' FROM unnest($1::bigint[]) a
    ON CONFLICT DO NOTHING
"""
# The first are open; of the others every fifth has failed.
_SESSIONS = f"""
    INSERT INTO sessions
        (account_id, session_id, credits, request_id, fingerprint, status, completed_at, error_code)
    SELECT a.account_id, md5(a.account_id || ' ' || i)::uuid, 1, 'r' || i, sha256('content'),
        CASE WHEN i <= {OPEN} THEN 'queued' WHEN i % 5 = 0 THEN 'failed' ELSE 'completed' END,
        CASE WHEN i > {OPEN} THEN now() END,
        CASE WHEN i > {OPEN} AND i % 5 = 0 THEN 'GENERATION_FAILED' END
    FROM accounts a, generate_series($2::int, $3::int) i
    WHERE a.account_id = ANY ($1) ORDER BY i
"""


async def make_accounts(connection: asyncpg.Connection, count: int) -> list[int]:
    """So many accounts of stores without a movement; their ids, ascending."""
    rows = await connection.fetch(
        "INSERT INTO accounts (owner_kind, owner_id, overage_limit)"
        " SELECT 'store', gen_random_uuid(), 1000000 FROM generate_series(1, $1)"
        " RETURNING account_id",
        count,
    )
    return sorted(row["account_id"] for row in rows)


async def grow(
    connection: asyncpg.Connection, account_ids: list[int], first: int, last: int
) -> None:
    """Write each account's movements `first` to `last`, one charge and one session each."""
    await connection.execute(_OPENING, account_ids)
    await connection.execute(_GRANTS, account_ids)
    await connection.execute(_MOVEMENTS, account_ids, first, last)
    await connection.execute(_SESSIONS, account_ids, first, last)


def session_of(account_id: int, request_id: str) -> UUID:
    """The session of a request that `grow` has written."""
    return UUID(
        bytes=md5(f"{account_id} {request_id[1:]}".encode(), usedforsecurity=False).digest()
    )
