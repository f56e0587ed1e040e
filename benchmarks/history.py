"""A long ledger, as if the service had run for long: written by a superuser, in bulk.

Of all rows a tenth are one store's, the hot one; the others are of stores of 1,000 rows each. Every
row but a store's first, its opening grant, is a deduction of 1; every tenth has a session that
completed. Request ids are random, as clients make them. `storecredit verify` agrees with all of it.
"""

from benchmarks.database_under_test import CREDITS, HOT_STORE, DatabaseUnderTest, store_id

HOT_SHARE = 10
ROWS_PER_STORE = 1_000
HOURS = 7_000
"""Over how many the rows of each store are spread, the last of them a day ago."""

_LENGTHS = """
    CREATE TEMPORARY TABLE lengths AS
    SELECT a.account_id, l.number, l.length
    FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) AS l (store_id, number, length)
    JOIN accounts a ON a.owner_id = l.store_id AND a.owner_kind = 'store'
"""
# In the order of the application's session ids: a store's older ones before its newer ones.
_MOVEMENTS = """
    INSERT INTO movements
        (account_id, seq, created_at, type, amount, balance_after, spent_after, request_id,
         session_id, description)
    SELECT l.account_id, n,
        now() - interval '1 day' - interval '1 hour' * (%s * (l.length - n) / l.length),
        'deduction', 1, %s - (n - 1), n - 1,
        'req_' || gen_random_uuid(),
        CASE WHEN n %% 10 = 0 THEN ('01900000-0000-7000-8001-'
            || lpad(to_hex(l.number * 10000000 + n), 12, '0'))::uuid END,
        'Generation'
    FROM lengths l, generate_series(2, l.length) AS n
"""
_SESSIONS = """
    INSERT INTO sessions
        (account_id, session_id, created_at, started_at, completed_at, attempts, credits, status,
         request_id, fingerprint)
    SELECT m.account_id, m.session_id, m.created_at, m.created_at, m.created_at, 1, m.amount,
        'completed',
        m.request_id, sha256(m.request_id::bytea)
    FROM movements m WHERE m.session_id IS NOT NULL
"""
_KEYS = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = 'movements'::regclass AND contype IN ('p', 'u')
    ORDER BY contype
"""


def lengths(rows: int) -> list[int]:
    """How many ledger rows each store has, the hot one first; together about `rows`."""
    if rows < HOT_SHARE * ROWS_PER_STORE:
        return [max(1, rows)]
    hot = rows // HOT_SHARE
    return [hot, *[ROWS_PER_STORE] * ((rows - hot) // ROWS_PER_STORE)]


def write_history(database: DatabaseUnderTest, rows: int) -> list[str]:
    """Stores with a ledger of so many rows; the API key of the hot one.

    The table's keys are dropped and made again, which takes a third of the time.
    """
    each = lengths(rows)
    keys = database.add_stores(len(each))
    if each == [1]:
        return keys
    numbers = list(range(HOT_STORE, HOT_STORE + len(each)))
    admin = database.admin
    admin.execute(_LENGTHS, ([store_id(number) for number in numbers], numbers, each))
    unique = admin.execute(_KEYS).fetchall()
    admin.execute("SET maintenance_work_mem = '512MB'")
    for name, _ in unique:
        admin.execute(f'ALTER TABLE movements DROP CONSTRAINT "{name}"')
    admin.execute(_MOVEMENTS, (HOURS, CREDITS))
    for name, definition in unique:
        admin.execute(f'ALTER TABLE movements ADD CONSTRAINT "{name}" {definition}')
    admin.execute(_SESSIONS)
    # As a ledger that grew over months would be: known to the planner, written to its disk.
    admin.execute("VACUUM ANALYZE")
    admin.execute("CHECKPOINT")
    return keys[:1]
