"""Accounts that grow: their movements and sessions written by the thousand, as a superuser.

What is written follows from nothing; it is there to be found, or passed over.
"""

from hashlib import md5
from uuid import UUID

import asyncpg

EVERY = 7
"""Requests are of as many kinds, in turn: r1 and r2 were taken for generations, r3 is a spend, r4 a
hold, r5 a part of r3 given back, r6 added credits, r7 was taken beyond the balance."""
OPEN = 20
TABLES = (
    *("accounts", "movements", "sessions", "grants", "spends", "holds"),
    *("subscription_charges", "pgqueuer"),
)

# All credits that were ever added are used up, but for those of the opening.
_MOVEMENTS = f"""
    INSERT INTO movements
        (account_id, seq, type, amount, balance_after, spent_after, overage_used_after,
         origin_seq, grants_after, request_id, session_id)
    SELECT a.account_id, i,
        CASE i % {EVERY} WHEN 0 THEN 'overage' WHEN 4 THEN 'hold' WHEN 5 THEN 'refund'
            WHEN 6 THEN 'grant' ELSE 'deduction' END,
        CASE i % {EVERY} WHEN 3 THEN 100 ELSE 1 END, 1000000, i, nullif(i / {EVERY}, 0),
        CASE WHEN i % {EVERY} = 5 THEN i - 2 END,
        CASE WHEN i % {EVERY} = 6 THEN ARRAY[0, 1000000] END, 'r' || i,
        CASE WHEN i % {EVERY} IN (0, 1, 2) THEN md5(a.account_id || ' ' || i)::uuid END
    FROM accounts a, generate_series($2::int, $3::int) i
    WHERE a.account_id = ANY ($1) ORDER BY i
"""
_OPENING = """
    INSERT INTO movements (account_id, seq, type, amount, balance_after, spent_after, request_id)
    SELECT a, 0, 'grant', 2000000, 1000000, 0, 'opening' FROM unnest($1::bigint[]) a
    ON CONFLICT DO NOTHING
"""
_OPENING_GRANTS = """
    INSERT INTO grants (account_id, seq, amount, kind)
    SELECT a, 0, 2000000, 'paid' FROM unnest($1::bigint[]) a
    ON CONFLICT DO NOTHING
"""
_GRANTS = f"""
    INSERT INTO grants (account_id, seq, amount, kind, expires_at)
    SELECT a.account_id, i, 1, 'promo', CASE WHEN i % 2 = 0 THEN now() - interval '1 day' END
    FROM accounts a, generate_series($2::int, $3::int) i
    WHERE a.account_id = ANY ($1) AND i % {EVERY} = 6 ORDER BY i
"""
_SPENDS = f"""
    INSERT INTO spends (account_id, request_id, fingerprint)
    SELECT a.account_id, 'r' || i, sha256('content')
    FROM accounts a, generate_series($2::int, $3::int) i
    WHERE a.account_id = ANY ($1) AND i % {EVERY} = 3 ORDER BY i
"""
# The first is over and nobody has written it, the second is open, all others were captured.
_HOLDS = f"""
    INSERT INTO holds
        (account_id, hold_id, seq, amount, expires_at, status, captured, ended_at, request_id,
         fingerprint)
    SELECT a.account_id, md5(a.account_id || ' ' || i)::uuid, i, 1,
        now() + make_interval(hours => CASE i WHEN 4 THEN -1 ELSE 1 END),
        CASE WHEN i > {2 * EVERY} THEN 'captured' ELSE 'held' END,
        CASE WHEN i > {2 * EVERY} THEN 1 END, CASE WHEN i > {2 * EVERY} THEN now() END,
        'r' || i, sha256('content')
    FROM accounts a, generate_series($2::int, $3::int) i
    WHERE a.account_id = ANY ($1) AND i % {EVERY} = 4 ORDER BY i
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
    """Write each account's movements `first` to `last`, and what hangs on them."""
    async with connection.transaction():
        # What the rows refer to is there: nothing has to be looked up for each.
        await connection.execute("SET LOCAL session_replication_role = replica")
        for opening in (_OPENING, _OPENING_GRANTS):
            await connection.execute(opening, account_ids)
        for rows in (_MOVEMENTS, _GRANTS, _SPENDS, _HOLDS, _SESSIONS):
            await connection.execute(rows, account_ids, first, last)


async def expect_ends(connection: asyncpg.Connection) -> None:
    """From now on it is known of each account that something of it has ended, or will."""
    await connection.execute("UPDATE accounts SET next_expiry = now()")


def session_of(account_id: int, request_id: str) -> UUID:
    """The session of a request that `grow` has written."""
    return _named(account_id, request_id)


def hold_of(account_id: int, request_id: str) -> UUID:
    """The hold of a request that `grow` has written."""
    return _named(account_id, request_id)


def _named(account_id: int, request_id: str) -> UUID:
    return UUID(
        bytes=md5(f"{account_id} {request_id[1:]}".encode(), usedforsecurity=False).digest()
    )
