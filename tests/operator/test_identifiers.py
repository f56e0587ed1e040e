"""How an id is looked for over all accounts: each is asked by its key, and no ledger is read."""

import re

import asyncpg
import pytest

from storecredit.operator.identifiers import named_by
from tests.sql.statement_costs import Recorder

# Many accounts of one movement and one of many, all statistics as they come.
LOAD = """
    INSERT INTO accounts (owner_kind, owner_id)
        SELECT 'user', md5('user ' || n)::uuid FROM generate_series(1, 500) n;
    INSERT INTO movements (account_id, seq, type, amount, balance_after, spent_after, request_id,
            session_id)
        SELECT a.account_id, n, 'grant', 1, n, 0, 'r' || n, NULL
        FROM accounts a, generate_series(1, CASE a.account_id WHEN 1 THEN 20000 ELSE 1 END) n;
    INSERT INTO sessions (account_id, session_id, credits, request_id, fingerprint)
        SELECT m.account_id, md5(m.account_id || m.request_id)::uuid, m.amount, m.request_id,
            sha256('')
        FROM movements m
"""


async def plans_of(url: str, identifier: str, account_id: int | None) -> list[str]:
    """The plan of each statement that is sent for an id."""
    recorder = await Recorder.open(url)
    await named_by(recorder, identifier, account_id, ["paddle"])
    async with recorder.acquire() as connection:
        plans = [
            "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {statement}", *args))
            for statement, args in recorder.statements
        ]
    await recorder.close()
    return plans


@pytest.mark.parametrize("analysed", [False, True])
@pytest.mark.parametrize("of_one", [False, True])
async def test_the_ledger_is_asked_by_its_keys_alone(
    database_url: str, admin: asyncpg.Connection, analysed: bool, of_one: bool
) -> None:
    await admin.execute(f"SET search_path = storecredit; {LOAD}")
    if analysed:
        await admin.execute("ANALYZE")

    by_request, by_sale, by_session, by_archive, by_hold, by_webhook = await plans_of(
        database_url, "00000000-0000-0000-0000-000000000001", 1 if of_one else None
    )

    assert "one_movement_of_a_type_per_request" in by_request
    assert re.search(r"Index Cond: \(\(account_id = .+\) AND \(request_id = ", by_request)
    assert re.search(r"sessions_pkey.*\n.*Index Cond: \(\(account_id = .*session_id = ", by_session)
    assert re.search(r"archived_sessions_by_id.*\n.*Index Cond: \(\(+account_id \+ 0", by_archive)
    assert re.search(r"holds_pkey.*\n.*Index Cond: \(\(account_id = .*hold_id = ", by_hold)
    assert "one_event_per_id" in by_webhook
    for plan in (by_request, by_session, by_archive, by_hold):
        assert not re.search("Seq Scan on (movements|sessions|archived_sessions|holds)", plan)
        assert ("accounts" in plan) is not of_one
    assert "movements" not in by_sale


async def test_a_movement_of_an_owner_is_found_by_its_number(
    database_url: str, admin: asyncpg.Connection
) -> None:
    await admin.execute(f"SET search_path = storecredit; {LOAD}")
    *_, by_seq = await plans_of(database_url, "19999", 1)
    assert re.search(r"movements_pkey.*\n.*Index Cond: \(\(account_id = .*seq = ", by_seq)
    for nobody in (
        await plans_of(database_url, "19999", None),
        await plans_of(database_url, "x", 1),
    ):
        assert len(nobody) == 2
