"""`storecredit verify` on sound ledgers, also under load; its progress and its bounds."""

from dataclasses import replace
from itertools import pairwise

import asyncpg
import pytest

from storecredit.ledger import verify as module
from storecredit.ledger.discrepancies import DiscrepancyKind, Report
from storecredit.ledger.owners import Account, OwnerKind
from storecredit.ledger.verification import last
from storecredit.ledger.verify import DiscrepancyUnnamed, Progress, verify
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from tests.sql.full_accounts import buy, open_with_everything, open_with_overage, subscribe
from tests.sql.ledgers import open_account, open_user

PROVISIONS = 1_000_000
NOTHING = Report(
    stores=0,
    movements=0,
    sessions=0,
    users=0,
    user_movements=0,
    user_sessions=0,
    archived_sessions=0,
    payments=0,
    checkpoints=0,
    signatures=0,
    discrepancies=(),
    truncated=False,
)


async def deduct_often(connection: Connection, account: Account, times: int) -> None:
    """So many deductions of 1."""
    await connection.execute(
        """SELECT count(*) FROM deduct_from_accounts(array_fill($1::bigint, ARRAY[$2::int]),
               array_fill(1, ARRAY[$2::int]),
               (SELECT array_agg('direct ' || n) FROM generate_series(1, $2::int) n), NULL)""",
        account.id,
        times,
    )


async def test_a_ledger_made_by_the_functions_is_clean(
    database: Database, admin: asyncpg.Connection
) -> None:
    for kind in (OwnerKind.STORE, *OwnerKind):
        await open_with_everything(admin, kind)
    payer = await open_with_overage(admin)
    await subscribe(admin, payer)
    await buy(admin, payer)
    await buy(admin, await open_account(admin, OwnerKind.USER, 1))
    await open_user(admin, 3)
    for kind in OwnerKind:
        await open_account(admin, kind)

    report = await verify(database)

    assert report == replace(
        NOTHING,
        stores=4,
        movements=2 * 11 + 17 + 2 + 2,
        sessions=2 * 4 + 4,
        users=4,
        user_movements=11 + 3 + 1,
        user_sessions=4,
        payments=3 + 1 + 1,
    )
    assert report.clean


async def test_every_row_of_a_sound_ledger_is_looked_at_when_asked(
    database: Database, admin: asyncpg.Connection
) -> None:
    for kind in OwnerKind:
        await open_with_everything(admin, kind)
    await open_with_overage(admin)
    progress: list[Progress] = []

    report = await verify(database, every_row=True, on_progress=progress.append)

    assert report.clean
    movements = report.movements + report.user_movements
    assert progress[-1] == Progress(2 * movements, 2 * movements)


async def test_an_empty_database_is_clean(database: Database) -> None:
    progress: list[Progress] = []

    report = await verify(database, on_progress=progress.append)

    assert report == NOTHING
    assert progress[-1] == Progress(0, 0)


async def test_movements_that_began_before_a_verification_and_ended_after_it_are_not_missing(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_account(admin, OwnerKind.STORE, 10)
    async with admin.transaction():
        await deduct_often(admin, account, 2)
        assert (await verify(database)).movements == 1
    assert (await verify(database)).movements == 3
    # Nor are those whose transaction has been undone.
    undone = admin.transaction()
    await undone.start()
    await admin.execute("SELECT add_to_account($1, 5, 'grant', 'undone')", account.id)
    await undone.rollback()
    assert (await verify(database)).clean


async def test_a_clock_that_was_set_back_makes_no_movement_missing(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_account(admin, OwnerKind.STORE, 10)
    await deduct_often(admin, account, 3)
    await admin.execute("UPDATE movements SET created_at = now() + interval '1 day' WHERE seq > 2")

    assert (await verify(database)).clean
    assert (await verify(database)).clean
    assert await admin.fetchval("SELECT settled_movements FROM last_verification") == 2


def assert_advances(progress: list[Progress]) -> None:
    assert all(before.checked <= after.checked for before, after in pairwise(progress))
    assert all(each.checked <= each.total for each in progress)


async def test_progress_moves_within_one_account_and_reaches_the_total(
    database: Database, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE_PAGES", 1)
    await deduct_often(admin, await open_account(admin, OwnerKind.STORE, PROVISIONS), 2000)
    progress: list[Progress] = []

    report = await verify(database, on_progress=progress.append)

    assert report.clean
    assert_advances(progress)
    assert progress[-1] == Progress(2001, 2001)
    assert len({each.checked for each in progress}) >= 10


async def test_progress_goes_on_while_discrepancies_are_named(
    database: Database, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIND_ROWS", 100)
    await deduct_often(admin, await open_account(admin, OwnerKind.STORE, PROVISIONS), 2000)
    await admin.execute("UPDATE movements SET seq = 5000000000 WHERE seq = 2001")
    progress: list[Progress] = []

    report = await verify(database, on_progress=progress.append)

    assert [found.kind for found in report.discrepancies] == [DiscrepancyKind.SEQ_GAP]
    assert_advances(progress)
    assert progress[-1] == Progress(4002, 4002)
    assert len({each.checked for each in progress}) >= 20


@pytest.mark.parametrize("wrong, truncated", [(4, False), (5, True)])
async def test_only_so_many_discrepancies_are_kept(
    wrong: int,
    truncated: bool,
    database: Database,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "DISCREPANCIES_MAX", 4)
    monkeypatch.setattr(module, "FIND_ROWS", 3)
    await deduct_often(admin, await open_account(admin, OwnerKind.STORE, PROVISIONS), 20)
    # Each wrong balance breaks two steps; of the newest row, one.
    await admin.execute(
        "UPDATE movements SET balance_after = balance_after + 1 WHERE seq = ANY ($1)",
        [5, 10, 21] if wrong == 5 else [5, 10],
    )
    progress: list[Progress] = []

    report = await verify(database, on_progress=progress.append)

    assert len(report.discrepancies) == 4
    assert report.truncated is truncated
    assert report.movements == 21
    assert progress[-1] == Progress(42, 42)


async def test_a_discrepancy_that_no_row_shows_is_an_error(
    database: Database, admin: asyncpg.Connection
) -> None:
    await open_with_everything(admin, OwnerKind.STORE)
    await admin.execute("UPDATE movements SET spent_after = 7 WHERE seq = 11")
    await admin.execute(
        """CREATE OR REPLACE FUNCTION storecredit.find_chain_discrepancies(
               p_after_account_id bigint, p_after_seq bigint, p_until_account_id bigint,
               p_until_seq bigint)
           RETURNS TABLE (kind text, account_id bigint, seq bigint, request_id text,
               session_id uuid, detail text)
           LANGUAGE sql AS $$ SELECT NULL, $1, $2, NULL, NULL::uuid, NULL WHERE false $$"""
    )
    with pytest.raises(DiscrepancyUnnamed, match=r"disagree \(states\).* REINDEX"):
        await verify(database)
    recorded = await last(database)
    assert recorded is not None
    assert recorded.discrepancies == 1, "what is not named is one all the same"
