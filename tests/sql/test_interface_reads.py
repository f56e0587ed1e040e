"""What reading the interface costs: look-ups for one owner, whatever others have."""

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from tests.sql.ledgers import open_store
from tests.sql.statement_costs import rows_read

MOVEMENTS = 3_000
# What the planner itself looks up: the least and the greatest value of a key.
PLANNING = 4
OTHERS = """
    WITH made AS (
        INSERT INTO storecredit.accounts (owner_kind, owner_id)
        SELECT (ARRAY['store', 'user'])[1 + n % 2], gen_random_uuid() FROM generate_series(1, 500) n
        RETURNING account_id)
    INSERT INTO storecredit.movements
        (account_id, seq, type, amount, balance_after, spent_after, request_id)
    SELECT account_id, n, 'grant', 1, n, 0, 'r' || n FROM made, generate_series(1, 5) n"""
SPEND = """SELECT count(*) FROM public.deduct_{of}credits_many($1,
    array_fill(1, ARRAY[$2::int]), (SELECT array_agg(n::text) FROM generate_series(1, $2) n),
    NULL, NULL)"""


@pytest.mark.parametrize(
    "query, most",
    [
        ("SELECT * FROM store_credits WHERE store_id = $1", 2),
        ("SELECT * FROM store_credit_transactions WHERE store_id = $1 AND request_id = '77'", 2),
        ("SELECT * FROM store_credit_transactions WHERE store_id = $1 AND seq = 77", 2),
        (
            """SELECT * FROM store_credit_transactions WHERE store_id = $1 AND seq >
                   (SELECT last_seq - 20 FROM store_credits WHERE store_id = $1)
               ORDER BY seq DESC""",
            24,
        ),
        ("SELECT * FROM store_generation_sessions WHERE store_id = $1", 1),
        ("SELECT * FROM user_credits WHERE user_id = $1", 2),
        ("SELECT * FROM credit_transactions WHERE user_id = $1", 2),
        ("SELECT * FROM generation_sessions WHERE user_id = $1", 1),
        ("SELECT * FROM stores WHERE store_id = $1", 1),
        ("SELECT * FROM users WHERE user_id = $1", 1),
    ],
)
@pytest.mark.parametrize("is_analyzed", [False, True])
async def test_a_look_up_for_one_owner_reads_a_few_rows(
    books: asyncpg.Connection, query: str, most: int, is_analyzed: bool
) -> None:
    await books.execute("SET search_path = public, storecredit")
    owner_id = uuid7()
    async with books.transaction():
        store_id = await open_store(books, MOVEMENTS)
        await books.execute(SPEND.format(of="store_"), store_id, MOVEMENTS)
        await books.execute("SELECT storecredit.ensure_user($1, 5)", owner_id)
        await books.execute(OTHERS)
        if is_analyzed:
            await books.execute("ANALYZE storecredit.accounts, storecredit.movements")
        subject = store_id if "store_id" in query else owner_id
        assert await rows_read(books, query, subject) <= most + PLANNING
