"""`storecredit verify` names what was tampered with: what it is, where it is, and nothing else."""

from uuid import UUID

import asyncpg
import pytest

from storecredit.ledger import verify as module
from storecredit.ledger.discrepancies import DiscrepancyKind, Report
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from tests.sql.books import open_store
from tests.sql.everything import allow_anything, open_store_with_everything

Named = tuple[DiscrepancyKind, int | None, str | None]
K = DiscrepancyKind
BIGINT_MIN, BIGINT_MAX = -(2**63), 2**63 - 1


@pytest.fixture
async def stores(admin: asyncpg.Connection) -> list[UUID]:
    """Three stores with everything, in ascending order, and an empty one after them."""
    stores = [await open_store_with_everything(admin) for _ in range(3)]
    await open_store(admin)
    await allow_anything(admin)
    return stores


def named(report: Report, store_id: UUID) -> set[Named]:
    """What the report names, once each and all of it of this store."""
    assert {found.store_id for found in report.discrepancies} <= {store_id}
    assert len(set(report.discrepancies)) == len(report.discrepancies)
    return {(found.kind, found.seq, found.request_id) for found in report.discrepancies}


# What is done to the store in the middle, and what is then named: kind, seq, request id.
TAMPERED: dict[str, tuple[str, set[Named]]] = {
    "balance": (
        "UPDATE store_credits SET balance = balance + 1 WHERE {store}",
        {(K.BALANCE, None, None)},
    ),
    "total purchased": (
        "UPDATE store_credits SET total_purchased = total_purchased - 1 WHERE {store}",
        {(K.TOTAL_PURCHASED, None, None)},
    ),
    "total spent": (
        "UPDATE store_credits SET total_spent = total_spent + 1 WHERE {store}",
        {(K.TOTAL_SPENT, None, None)},
    ),
    "credits from nowhere, by a row consistent in itself": (
        """UPDATE store_credits SET balance = balance + 5, total_purchased = total_purchased + 5
           WHERE {store}""",
        {(K.BALANCE, None, None), (K.TOTAL_PURCHASED, None, None)},
    ),
    "totals inflated alike, the balance untouched": (
        """UPDATE store_credits
           SET total_purchased = total_purchased + 5, total_spent = total_spent + 5
           WHERE {store}""",
        {(K.TOTAL_PURCHASED, None, None), (K.TOTAL_SPENT, None, None)},
    ),
    "last seq": (
        "UPDATE store_credits SET last_seq = last_seq + 1 WHERE {store}",
        {(K.LAST_SEQ, None, None)},
    ),
    "store deleted": (
        "DELETE FROM stores WHERE {store}",
        {(K.CREDITS_WITHOUT_STORE, None, None)},
    ),
    "credit row and store deleted": (
        "DELETE FROM stores WHERE {store}; DELETE FROM store_credits WHERE {store}",
        {(K.MOVEMENTS_WITHOUT_CREDITS, None, None)},
    ),
    "credit row deleted": (
        "DELETE FROM store_credits WHERE {store}",
        {(K.MOVEMENTS_WITHOUT_CREDITS, None, None), (K.STORE_WITHOUT_CREDITS, None, None)},
    ),
    "a gap": (
        """UPDATE store_credit_transactions SET seq = 11 WHERE {store} AND seq = 10;
           UPDATE store_credits SET last_seq = 11 WHERE {store}""",
        {(K.SEQ_GAP, 11, "bought")},
    ),
    "a ledger that does not begin with 1": (
        """UPDATE store_credit_transactions SET seq = seq + 100 WHERE {store};
           UPDATE store_credits SET last_seq = 110 WHERE {store}""",
        {(K.SEQ_GAP, 101, "opening")},
    ),
    "a movement deleted": (
        "DELETE FROM store_credit_transactions WHERE {store} AND seq = 7",
        {(K.SEQ_GAP, 8, "returned"), (K.BALANCE, None, None), (K.TOTAL_SPENT, None, None)},
    ),
    "running balance": (
        """UPDATE store_credit_transactions SET balance_after = balance_after + 1
           WHERE {store} AND seq = 7""",
        {(K.RUNNING_BALANCE, 7, "direct"), (K.RUNNING_BALANCE, 8, "returned")},
    ),
    "first running balance": (
        """UPDATE store_credit_transactions SET balance_after = balance_after + 7 WHERE {store};
           UPDATE store_credits SET balance = balance + 7 WHERE {store}""",
        {(K.RUNNING_BALANCE, 1, "opening"), (K.BALANCE, None, None)},
    ),
    "an amount below one": (
        """UPDATE store_credit_transactions SET amount = 0, balance_after = 94
           WHERE {store} AND seq = 10;
           UPDATE store_credits SET balance = 94, total_purchased = 100 WHERE {store}""",
        {(K.IMPOSSIBLE_MOVEMENT, 10, "bought")},
    ),
    "a grant for a session": (
        """UPDATE store_credit_transactions SET session_id = gen_random_uuid()
           WHERE {store} AND seq = 1""",
        {(K.IMPOSSIBLE_MOVEMENT, 1, "opening")},
    ),
    "a type nobody knows": (
        "UPDATE store_credit_transactions SET type = 'gift' WHERE {store} AND seq = 10",
        {
            (K.IMPOSSIBLE_MOVEMENT, 10, "bought"),
            (K.BALANCE, None, None),
            (K.TOTAL_PURCHASED, None, None),
        },
    ),
    "a refund of nothing": (
        "UPDATE store_credit_transactions SET request_id = 'x' WHERE {store} AND seq = 9",
        {(K.REFUND_WITHOUT_DEDUCTION, 9, "x")},
    ),
    "a generation's refund of nothing": (
        "UPDATE store_credit_transactions SET request_id = 'x' WHERE {store} AND seq = 6",
        {(K.REFUND_WITHOUT_DEDUCTION, 6, "x"), (K.FAILED_BUT_NOT_REFUNDED, 3, "failed")},
    ),
    "a refund too large": (
        """UPDATE store_credit_transactions SET amount = 3 WHERE {store} AND seq = 9;
           UPDATE store_credit_transactions SET balance_after = balance_after + 1
           WHERE {store} AND seq >= 9;
           UPDATE store_credits SET balance = balance + 1, total_spent = total_spent - 1
           WHERE {store}""",
        {(K.REFUND_EXCEEDS_DEDUCTION, 9, "returned")},
    ),
    "a completed session deleted": (
        "DELETE FROM store_generation_sessions WHERE {store} AND request_id = 'done'",
        {(K.DEDUCTION_WITHOUT_SESSION, 2, "done")},
    ),
    "a failed session deleted": (
        "DELETE FROM store_generation_sessions WHERE {store} AND request_id = 'failed'",
        {(K.DEDUCTION_WITHOUT_SESSION, 3, "failed")},
    ),
    "two credits for a generation": (
        """UPDATE store_credit_transactions SET amount = 2 WHERE {store} AND seq = 2;
           UPDATE store_credit_transactions SET balance_after = balance_after - 1
           WHERE {store} AND seq >= 2;
           UPDATE store_credits SET balance = balance - 1, total_spent = total_spent + 1
           WHERE {store}""",
        {(K.GENERATION_AMOUNT, 2, "done")},
    ),
    "a deduction for another session": (
        """UPDATE store_credit_transactions SET session_id = gen_random_uuid()
           WHERE {store} AND seq = 2""",
        {(K.SESSION_MISMATCH, 2, "done")},
    ),
    "a generation's deduction for no session": (
        "UPDATE store_credit_transactions SET session_id = NULL WHERE {store} AND seq = 2",
        {(K.SESSION_MISMATCH, 2, "done")},
    ),
    "a refund for no session": (
        "UPDATE store_credit_transactions SET session_id = NULL WHERE {store} AND seq = 6",
        {(K.SESSION_MISMATCH, 6, "failed")},
    ),
    "two sessions exchanged": (
        """UPDATE store_credit_transactions t SET session_id = s.session_id
           FROM store_generation_sessions s
           WHERE t.{store} AND s.store_id = t.store_id AND t.type = 'deduction'
             AND (t.request_id, s.request_id) IN (('queued', 'working'), ('working', 'queued'))""",
        {(K.SESSION_MISMATCH, 4, "queued"), (K.SESSION_MISMATCH, 5, "working")},
    ),
    "a session of another request": (
        """UPDATE store_generation_sessions SET request_id = 'x'
           WHERE {store} AND request_id = 'done'""",
        {(K.SESSION_MISMATCH, 2, "done"), (K.SESSION_WITHOUT_DEDUCTION, None, "x")},
    ),
    "a completed generation refunded by hand": (
        "SELECT refund_store_credits(store_id, 1, 'done') FROM stores WHERE {store}",
        {(K.COMPLETED_BUT_REFUNDED, 11, "done")},
    ),
    "a failed session made completed": (
        """UPDATE store_generation_sessions SET status = 'completed'
           WHERE {store} AND request_id = 'failed'""",
        {(K.COMPLETED_BUT_REFUNDED, 6, "failed")},
    ),
    "a queued generation refunded by hand": (
        "SELECT refund_store_credits(store_id, 1, 'queued') FROM stores WHERE {store}",
        {(K.OPEN_BUT_REFUNDED, 11, "queued")},
    ),
    "a generation under way refunded by hand": (
        "SELECT refund_store_credits(store_id, 1, 'working') FROM stores WHERE {store}",
        {(K.OPEN_BUT_REFUNDED, 11, "working")},
    ),
    "a free session": (
        """INSERT INTO store_generation_sessions (store_id, session_id, request_id, fingerprint)
           SELECT store_id, gen_random_uuid(), 'free', '' FROM stores WHERE {store}""",
        {(K.SESSION_WITHOUT_DEDUCTION, None, "free")},
    ),
    "failed without a refund": (
        """UPDATE store_generation_sessions SET status = 'failed'
           WHERE {store} AND request_id = 'done'""",
        {(K.FAILED_BUT_NOT_REFUNDED, 2, "done")},
    ),
    "a status nobody knows": (
        """UPDATE store_generation_sessions SET status = 'paused'
           WHERE {store} AND request_id = 'queued'""",
        {(K.IMPOSSIBLE_SESSION, 4, "queued")},
    ),
}


def test_every_kind_of_discrepancy_is_provoked() -> None:
    provoked = {kind for _, expected in TAMPERED.values() for kind, _, _ in expected}
    assert provoked <= set(DiscrepancyKind)


@pytest.mark.parametrize("what", TAMPERED)
async def test_tampering_is_named(
    what: str,
    database: Database,
    admin: asyncpg.Connection,
    stores: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    statement, expected = TAMPERED[what]
    await admin.execute(statement.format(store=f"store_id = '{stores[1]}'"))

    report = await verify(database)

    assert named(report, stores[1]) == expected
    assert not report.clean
    for rows in (1, 3):
        monkeypatch.setattr(module, "FIND_ROWS", rows)
        assert set((await verify(database)).discrepancies) == set(report.discrepancies)


async def test_a_discrepancy_says_where_it_is_and_the_numbers(
    database: Database, admin: asyncpg.Connection, stores: list[UUID]
) -> None:
    session_id = await admin.fetchval(
        """UPDATE store_generation_sessions SET status = 'failed'
           WHERE store_id = $1 AND request_id = 'done' RETURNING session_id""",
        stores[0],
    )
    await admin.execute("UPDATE store_credits SET balance = 204 WHERE store_id = $1", stores[0])

    balance, session = (await verify(database)).discrepancies

    assert balance.detail == "balance is 204, but the ledger's movements sum up to 104"
    assert session.session_id == session_id
    assert session.detail == "the generation failed, but its deduction of 1 was not given back"


# Every column that money depends on, with values that it must not have.
NUMBERS = ("{column} + 1", "{column} - 1", str(2**32), str(BIGINT_MIN), str(BIGINT_MAX))
FORGERIES: dict[str, dict[str, tuple[str, ...]]] = {
    "store_credits": dict.fromkeys(
        ("balance", "total_purchased", "total_spent", "last_seq"), NUMBERS
    )
    | {"store_id": ("gen_random_uuid()",)},
    "store_credit_transactions": dict.fromkeys(("seq", "amount", "balance_after"), NUMBERS)
    | {
        "store_id": ("gen_random_uuid()",),
        "session_id": ("gen_random_uuid()",),
        "type": ("CASE type WHEN 'deduction' THEN 'grant' ELSE 'deduction' END", "'x'"),
    },
    "store_generation_sessions": {
        "store_id": ("gen_random_uuid()",),
        "session_id": ("gen_random_uuid()",),
        "request_id": ("'x'",),
        "status": (
            "CASE status WHEN 'failed' THEN 'completed' ELSE 'failed' END",
            "CASE status WHEN 'failed' THEN 'queued' ELSE 'failed' END",
            "'x'",
        ),
    },
    "stores": {"store_id": ("gen_random_uuid()",)},
}
WHERE_PLACE = """ctid = (
    SELECT ctid FROM {table} t WHERE store_id = $1 ORDER BY t::text OFFSET $2 LIMIT 1)"""


@pytest.mark.parametrize("table", FORGERIES)
async def test_no_single_value_can_be_forged_and_no_single_row_removed(
    table: str, database: Database, admin: asyncpg.Connection, stores: list[UUID]
) -> None:
    changes = [f"DELETE FROM {table}"] + [
        f"UPDATE {table} SET {column} = {value.format(column=column)}"
        for column, values in FORGERIES[table].items()
        for value in values
    ]
    await admin.execute(f"CREATE TABLE original AS SELECT * FROM {table}")
    rows = await admin.fetchval(f"SELECT count(*) FROM {table} WHERE store_id = $1", stores[1])
    found = 0
    for change in changes:
        for place in range(rows):
            if await forge(
                admin, f"{change} WHERE {WHERE_PLACE.format(table=table)}", stores[1], place
            ):
                report = await verify(database)
                assert not report.clean, (change, place)
                found += 1
            await admin.execute(f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM original")
    assert found >= len(changes)
    assert (await verify(database)).clean


async def forge(admin: asyncpg.Connection, change: str, store_id: UUID, place: int) -> bool:
    """Whether the change could be made; the unique indexes still stand."""
    try:
        done = await admin.execute(change, store_id, place)
    except asyncpg.UniqueViolationError:
        return False
    assert done.endswith(" 1")
    return True
