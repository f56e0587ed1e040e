"""The textbook's ledger: its own two tables, beside ours in the same database."""

from pathlib import Path

from benchmarks.database_under_test import CREDITS, DatabaseUnderTest, store_id
from benchmarks.results import NotMeasured

BASELINE = Path(__file__).parent / "baselines" / "textbook.sql"
_OPEN = """
    INSERT INTO textbook.store_credits (store_id, balance, total_purchased)
    SELECT i.id, %s, %s FROM unnest(%s::uuid[]) AS i (id)
"""
_SPENT = "SELECT coalesce(sum(total_spent), 0)::bigint FROM textbook.store_credits"
_WRONG = """
    SELECT count(*) FROM textbook.store_credits c
    LEFT JOIN (SELECT store_id, count(*) AS rows, sum(amount) AS spent, min(balance_after) AS last
               FROM textbook.store_credit_transactions GROUP BY store_id) t USING (store_id)
    WHERE (c.last_seq, c.total_spent, c.balance)
        <> (coalesce(t.rows, 0), coalesce(t.spent, 0), coalesce(t.last, c.total_purchased))
"""


def open_textbook(database: DatabaseUnderTest, first: int, stores: int) -> None:
    """Make its tables and function, and so many stores of its own from number `first` on."""
    database.admin.execute(BASELINE.read_bytes())
    ids = [store_id(number) for number in range(first, first + stores)]
    database.admin.execute(_OPEN, (CREDITS, CREDITS, ids))


def textbook_spent(database: DatabaseUnderTest) -> int:
    """How many credits its stores have spent."""
    (spent,) = database.admin.execute(_SPENT).fetchone() or (0,)
    return int(spent)


def prove_textbook(database: DatabaseUnderTest) -> None:
    """Hold its balances against its rows. Raises NotMeasured."""
    (wrong,) = database.admin.execute(_WRONG).fetchone() or (0,)
    if wrong:
        raise NotMeasured(f"the textbook's balances of {wrong} stores do not follow from its rows")
