"""Metadata of a page of movements is found by its keys, however much an account has."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import asyncpg
import pytest

from storecredit.ledger.credits import Movement
from storecredit.ledger.outcomes import MovementType
from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.sent_along import SentAlong
from tests.sql.ledgers import open_account
from tests.sql.statement_costs import Recorder, rows_read

MANY: Final = 10_000
FILL: Final = """
    INSERT INTO storecredit.sessions
            (account_id, session_id, credits, request_id, fingerprint, metadata)
        SELECT $1, md5(n::text)::uuid, 1, 's' || n, 'f', json_build_object('n', 'session ' || n)
        FROM generate_series(1, {many}) n;
    INSERT INTO storecredit.spends (account_id, request_id, fingerprint, metadata)
        SELECT $1, 'r' || n, 'f', json_build_object('n', 'spend ' || n)
        FROM generate_series(1, {many}) n;
    INSERT INTO storecredit.holds
            (account_id, hold_id, seq, amount, request_id, fingerprint, metadata, expires_at)
        SELECT $1, md5(n::text)::uuid, n, 1, 'r' || n, 'f', json_build_object('n', 'hold ' || n),
            now() + interval '1 day'
        FROM generate_series(1, {many}) n
"""


async def filled(admin: asyncpg.Connection) -> int:
    account = await open_account(admin, OwnerKind.STORE)
    for statement in FILL.format(many=MANY).split(";"):
        await admin.execute(statement, account.id)
    await admin.execute("ANALYZE")
    return account.id


def movement(
    seq: int, type_: MovementType, request_id: str, session_id: UUID | None = None
) -> Movement:
    at = datetime(2026, 11, 30, tzinfo=UTC)
    return Movement(seq, type_, 1, 0, request_id, session_id, "", None, at)


@pytest.mark.parametrize("is_analysed", [True, False])
async def test_a_page_of_movements_reads_a_row_for_each(
    admin: asyncpg.Connection, database_url: str, *, is_analysed: bool
) -> None:
    account_id = await filled(admin)
    if not is_analysed:
        await admin.execute("DELETE FROM pg_statistic")
    session_id = await admin.fetchval("SELECT md5('7')::uuid")
    page = [
        movement(5, MovementType.REFUND, "s7", session_id),
        movement(4, MovementType.DEDUCTION, "s7", session_id),
        movement(3, MovementType.CAPTURE, "r7"),
        movement(2, MovementType.DEDUCTION, "r7"),
        movement(1, MovementType.GRANT, "r7"),
        *(movement(10 + n, MovementType.OVERAGE, f"r{n}") for n in range(100, 120)),
        *(movement(40 + n, MovementType.RELEASE, f"r{n}") for n in range(200, 220)),
        movement(6, MovementType.DEDUCTION, "unknown"),
    ]
    recorder = await Recorder.open(database_url)
    found = await SentAlong(recorder).of(account_id, page)
    assert {seq: found[seq] for seq in (5, 4, 3, 2, 110, 240)} == {
        5: {"n": "session 7"},
        4: {"n": "session 7"},
        3: {"n": "hold 7"},
        2: {"n": "spend 7"},
        110: {"n": "spend 100"},
        240: {"n": "hold 200"},
    }
    assert found.keys() == {each.seq for each in page} - {1, 6}
    assert await SentAlong(recorder).of(account_id + 1, page) == {}
    query, arguments = recorder.statements[0]
    async with recorder.acquire() as connection:
        assert await rows_read(connection, query, *arguments) <= len(page)
    recorder.statements.clear()
    assert await SentAlong(recorder).of(account_id, [page[4]]) == {}
    assert recorder.statements == [], "of what can have none, nothing is asked"
    await recorder.close()
