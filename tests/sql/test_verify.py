"""`storecredit verify` on sound ledgers, also under load; its progress, its bounds, its plans."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from uuid import UUID

import asyncpg
import pytest

from storecredit.ledger import verify as module
from storecredit.ledger.discrepancies import DiscrepancyKind, Report
from storecredit.ledger.owners import Owner
from storecredit.ledger.verification import last
from storecredit.ledger.verify import READ_RANGES_ONLY, DiscrepancyUnnamed, Progress, verify
from storecredit.postgres.pool import Database, connect
from tests.sql.books import open_store
from tests.sql.everything import (
    buy,
    open_store_with_everything,
    open_store_with_overage,
    open_user_with_everything,
    subscribe,
)
from tests.sql.moving import make_buyers, move_overage, move_store_credits, move_user_credits
from tests.sql.user_books import open_user

DEDUCT = """
    SELECT count(*) FROM deduct_store_credits_many($1, array_fill(1, ARRAY[$2::int]),
        (SELECT array_agg('direct ' || n) FROM generate_series(1, $2::int) n), NULL, NULL)
"""
PROVISIONS = 1_000_000
NOTHING = Report(
    stores=0,
    movements=0,
    sessions=0,
    users=0,
    user_movements=0,
    user_sessions=0,
    payments=0,
    discrepancies=(),
    truncated=False,
)


async def test_a_ledger_made_by_the_functions_is_clean(
    database: Database, admin: asyncpg.Connection
) -> None:
    for _ in range(3):
        await open_store_with_everything(admin)
    for _ in range(2):
        await open_user_with_everything(admin)
    payer = await open_store_with_overage(admin)
    await subscribe(admin, payer)
    await buy(admin, Owner.store(payer))
    await buy(admin, Owner.user(await open_user(admin, 1)))
    await open_store(admin)
    await open_user(admin)

    report = await verify(database)

    assert report == replace(
        NOTHING,
        stores=5,
        movements=3 * 10 + 17 + 2 + 2,
        sessions=3 * 4 + 4,
        users=4,
        user_movements=2 * 10 + 3,
        user_sessions=2 * 4,
        payments=3 + 1 + 1,
    )
    assert report.clean


async def test_every_row_of_a_sound_ledger_is_looked_at_when_asked(
    database: Database, admin: asyncpg.Connection
) -> None:
    await open_store_with_everything(admin)
    await open_store_with_overage(admin)
    await open_user_with_everything(admin)
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


async def test_verifying_under_load_raises_no_false_alarm(
    database: Database,
    database_url: str,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Many statements per run, so that credits move between any two of them.
    monkeypatch.setattr(module, "SLICE_PAGES", 2)
    stop = asyncio.Event()
    store_id = await open_store(admin, PROVISIONS)
    beyond_id = await open_store(admin)
    user_id = await open_user(admin, PROVISIONS)
    movers = [await connect(database_url) for _ in range(4)]
    moving = [
        asyncio.create_task(move)
        for move in (
            move_store_credits(movers[0], store_id, stop),
            move_overage(movers[1], beyond_id, stop),
            move_user_credits(movers[2], user_id, stop),
            make_buyers(movers[3], stop),
        )
    ]
    reports = [await verify(database, every_row=number % 5 == 4) for number in range(15)]
    stop.set()
    await asyncio.gather(*moving)
    for mover in movers:
        await mover.close()

    assert [report.discrepancies for report in reports] == [()] * 15
    for counts in (
        [report.movements for report in reports],
        [report.user_movements for report in reports],
        [report.payments for report in reports],
    ):
        assert counts == sorted(counts)
        assert counts[-1] > counts[0], "nothing moved while it was verified"
    assert (await verify(database)).clean


def assert_advances(progress: list[Progress]) -> None:
    assert all(before.checked <= after.checked for before, after in pairwise(progress))
    assert all(each.checked <= each.total for each in progress)


async def test_progress_moves_within_one_store_and_reaches_the_total(
    database: Database, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE_PAGES", 1)
    await admin.execute(DEDUCT, await open_store(admin, PROVISIONS), 2000)
    progress: list[Progress] = []

    report = await verify(database, on_progress=progress.append)

    assert report.clean
    assert_advances(progress)
    assert {each.total for each in progress} == {2001}
    assert progress[-1].checked == 2001
    assert len({each.checked for each in progress}) >= 10


async def test_progress_goes_on_while_discrepancies_are_named(
    database: Database, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIND_ROWS", 100)
    await admin.execute(DEDUCT, await open_store(admin, PROVISIONS), 2000)
    await admin.execute("UPDATE store_credits SET last_seq = 5000000000")
    progress: list[Progress] = []

    report = await verify(database, on_progress=progress.append)

    assert [found.kind for found in report.discrepancies] == [DiscrepancyKind.LAST_SEQ]
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
    await admin.execute(DEDUCT, await open_store(admin, PROVISIONS), 20)
    # Each wrong balance breaks two steps; of the newest row, one.
    await admin.execute(
        """UPDATE store_credit_transactions SET balance_after = balance_after + 1
           WHERE seq = ANY ($1)""",
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
    await open_store_with_everything(admin)
    await admin.execute("UPDATE store_credits SET last_seq = 11")
    await admin.execute(
        """CREATE OR REPLACE FUNCTION find_owner_discrepancies(
               p_owner_kind text, p_from_owner_id uuid, p_until_owner_id uuid)
           RETURNS TABLE (kind text, store_id uuid, user_id uuid, seq bigint, request_id text,
               session_id uuid, detail text)
           LANGUAGE sql AS $$ SELECT $1, $2, $3, 0, NULL, $2, NULL WHERE false $$"""
    )
    with pytest.raises(DiscrepancyUnnamed, match=r"disagree \(store states\).* REINDEX"):
        await verify(database)
    recorded = await last(database)
    assert recorded is not None
    assert recorded.discrepancies == 1, "what is not named is one all the same"


GENERATE = """
    SELECT count(*) FROM create_store_generations($1,
        (SELECT array_agg(gen_random_uuid()) FROM generate_series(1, $2::int) n),
        (SELECT array_agg('generation ' || n) FROM generate_series(1, $2::int) n),
        array_fill(sha256(''), ARRAY[$2::int]), array_fill('{}'::json, ARRAY[$2::int]), NULL)
"""


@pytest.fixture
async def explaining(
    database: Database, admin: asyncpg.Connection
) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Shows plans as verify gets them, with a ledger of some size and no statistics about it."""
    for _ in range(3):
        store_id = await open_store(admin, PROVISIONS)
        await admin.execute(DEDUCT, store_id, 2000)
        await admin.execute(GENERATE, store_id, 2000)

    async def explain(statement: str) -> str:
        return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {statement}"))

    async with database.acquire() as connection, connection.transaction():
        await connection.execute(READ_RANGES_ONLY)
        yield explain


SUMS = [
    (f"{function}('{kind}', 1, '(0,0)', '(9,0)')", table)
    for kind, tables in {
        "store": (
            "stores",
            "store_credits",
            "store_credit_transactions",
            "store_generation_sessions",
        ),
        "user": ("users", "user_credits", "credit_transactions", "generation_sessions"),
    }.items()
    for function, table in zip(
        ("sum_owners", "sum_credits", "sum_movements", "sum_sessions"), tables, strict=True
    )
] + [
    ("sum_overage_bills(1, '(0,0)', '(9,0)')", "store_overage_bills"),
    ("sum_payments(1, '(0,0)', '(9,0)')", "payments"),
    ("sum_clawbacks(1, '(0,0)', '(9,0)')", "clawbacks"),
]


@pytest.mark.parametrize("call, table", SUMS)
async def test_tables_are_summed_up_page_by_page(
    call: str, table: str, explaining: Callable[[str], Awaitable[str]]
) -> None:
    shown = await explaining(f"SELECT * FROM {call}")

    assert f"Tid Range Scan on {table} " in shown
    assert "Seq Scan" not in shown
    # The other ledger is not even planned for; what is summed up is looked up nowhere by a hash.
    assert shown.count("Tid Range Scan") == 1
    assert "Hash" not in shown


FINDS = [
    (f"{function}('{kind}', {key})", f"{table}_pkey")
    for kind, movements, sessions in (
        ("store", "store_credit_transactions", "store_generation_sessions"),
        ("user", "credit_transactions", "generation_sessions"),
    )
    for function, key, table in (
        ("find_movement_discrepancies", "'{0}', 1, '{0}', 2", movements),
        ("find_session_discrepancies", "'{0}', '{0}', '{0}', '{0}'", sessions),
        ("find_owner_discrepancies", "'{0}', '{0}'", movements),
    )
] + [
    ("find_bill_discrepancies()", "store_overage_bills_pkey"),
    ("find_payment_discrepancies()", "payments_pkey"),
    ("find_clawback_discrepancies()", "clawbacks_pkey"),
]


@pytest.mark.parametrize("call, index", FINDS)
async def test_rows_are_looked_at_by_key_without_sorting_the_ledger(
    call: str, index: str, explaining: Callable[[str], Awaitable[str]]
) -> None:
    shown = await explaining(f"SELECT * FROM {call.format(UUID(int=1))} LIMIT 10")

    assert f"using {index}" in shown
    assert "Seq Scan" not in shown
    assert "Sort" not in shown
