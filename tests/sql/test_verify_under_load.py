"""`storecredit verify` while credits move: no false alarm, and what has moved is counted."""

import asyncio

import asyncpg
import pytest

from storecredit.ledger import verify as module
from storecredit.ledger.discrepancies import Report
from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import connect
from tests.sql.constant_movements import make_buyers, move_credits, move_overage
from tests.sql.ledgers import open_account
from tests.sql.test_verify import PROVISIONS

MOVES = 200
RUNS_MIN = 3


async def test_verifying_under_load_raises_no_false_alarm(
    database: Database,
    database_url: str,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Many statements per run, so that credits move between any two of them.
    monkeypatch.setattr(module, "SLICE_PAGES", 2)
    store, user = [await open_account(admin, kind, PROVISIONS) for kind in OwnerKind]
    beyond = await open_account(admin, OwnerKind.STORE)
    movers = [await connect(database_url) for _ in range(4)]
    moving = [
        asyncio.create_task(move)
        for move in (
            move_credits(movers[0], store, MOVES),
            move_overage(movers[1], beyond, MOVES),
            move_credits(movers[2], user, MOVES),
            make_buyers(movers[3], MOVES),
        )
    ]
    # As long as anything moves: a fast machine verifies no more of a larger ledger than a slow one.
    reports: list[Report] = []
    while len(reports) < RUNS_MIN or not all(each.done() for each in moving):
        reports.append(await verify(database, every_row=len(reports) % RUNS_MIN == 1))
    await asyncio.gather(*moving)
    for mover in movers:
        await mover.close()

    assert [report.discrepancies for report in reports] == [()] * len(reports)
    for counts in (
        [report.movements for report in reports],
        [report.user_movements for report in reports],
        [report.payments for report in reports],
    ):
        assert counts == sorted(counts)
        assert counts[-1] > counts[0], "nothing moved while it was verified"
    assert (await verify(database)).clean
