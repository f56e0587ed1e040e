"""Lists of stores stay quick: a page reads so much for each store, however long its ledger is."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from storecredit.ledger.credits import Credits
from storecredit.ledger.owner_cursors import ByBalance, OwnerCursor, OwnerSort, read_cursor
from storecredit.ledger.owner_pages import OwnerFilter, OwnerPages
from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.pace import Pace
from tests.sql.statement_costs import Recorder, rows_read

STORES = 400
MOVEMENTS = 60
PAGE = 50
LOOK_UPS_MAX = 12
"""Of sixty movements: six halves, the two that are compared, and the newest."""

# Of each store the newest movements are of this minute, the others from days before.
LOAD = f"""
INSERT INTO accounts (owner_id, owner_kind)
    SELECT md5(s::text)::uuid, 'store' FROM generate_series(1, {STORES}) s;
INSERT INTO storecredit.stores (store_id, name, shop_domain)
    SELECT owner_id, 'shop ' || account_id, 'shop.example' FROM accounts;
INSERT INTO movements
    (account_id, seq, created_at, amount, balance_after, spent_after, type, request_id)
SELECT account_id, i, now() - make_interval(days => {MOVEMENTS} - i), 1, 1000 + account_id - i, i,
    'deduction', 'r' || i
FROM accounts, generate_series(1, {MOVEMENTS}) i;
ANALYZE;
"""


@pytest.fixture
async def recorder(database_url: str, admin: asyncpg.Connection) -> AsyncIterator[Recorder]:
    await admin.execute(LOAD)
    recorder = await Recorder.open(database_url)
    yield recorder
    await recorder.close()


async def read_by_the_last(recorder: Recorder) -> int:
    """How many rows the last statement reads."""
    query, args = recorder.sent
    async with recorder.acquire() as connection:
        return await rows_read(connection, query, *args)


async def test_a_page_in_order_of_balance_reads_each_newest_movement_once(
    recorder: Recorder, admin: asyncpg.Connection
) -> None:
    pages = OwnerPages(recorder)
    seen: list[object] = []
    cursor: OwnerCursor | None = None
    while True:
        page = await pages.page(
            OwnerKind.STORE, OwnerFilter(), sort=OwnerSort.BALANCE, limit=PAGE, cursor=cursor
        )
        seen += page.owner_ids
        assert await read_by_the_last(recorder) <= 4 * STORES
        if page.next_cursor is None:
            break
        cursor = read_cursor(page.next_cursor)
    by_balance = await admin.fetch("SELECT owner_id FROM accounts ORDER BY account_id")
    assert seen == [row["owner_id"] for row in by_balance]


async def test_an_old_cursor_costs_a_search_by_halves_and_no_walk(
    recorder: Recorder, admin: asyncpg.Connection
) -> None:
    """All movements but the first have been made since: each ledger is searched for that moment."""
    then = datetime.now(UTC) - timedelta(days=MOVEMENTS - 1.5)
    [first] = await admin.fetch("SELECT owner_id FROM accounts ORDER BY account_id LIMIT 1")
    cursor = ByBalance(first["owner_id"], 1000, then)
    page = await OwnerPages(recorder).page(
        OwnerKind.STORE, OwnerFilter(), sort=OwnerSort.BALANCE, limit=PAGE, cursor=cursor
    )
    assert page.owner_ids[1] != first["owner_id"]
    assert await read_by_the_last(recorder) <= (4 + LOOK_UPS_MAX) * STORES


async def test_the_newest_stores_are_listed_without_a_look_at_the_others(
    recorder: Recorder,
) -> None:
    for wanted in (OwnerFilter(), OwnerFilter(below=10_000, status="active", tier="default")):
        page = await OwnerPages(recorder).page(OwnerKind.STORE, wanted, limit=PAGE)
        assert len(page.owner_ids) == PAGE
        assert await read_by_the_last(recorder) <= 5 * (PAGE + 1)


async def test_an_order_of_names_looks_no_balance_up(recorder: Recorder) -> None:
    await OwnerPages(recorder).page(
        OwnerKind.STORE, OwnerFilter(search="SHOP"), sort=OwnerSort.NAME, limit=PAGE
    )
    assert await read_by_the_last(recorder) <= 3 * STORES


async def test_the_pace_of_a_page_reads_few_rows_of_each_ledger(recorder: Recorder) -> None:
    page = await OwnerPages(recorder).page(OwnerKind.STORE, OwnerFilter(), limit=PAGE)
    balances = await Credits(recorder).balances(OwnerKind.STORE, page.owner_ids)
    days_left = await Pace(recorder).days_left(OwnerKind.STORE, balances)
    for owner_id, balance in balances.items():
        assert days_left[owner_id] == round(balance.balance * 7 / 7, 1), "one a day"
    assert await read_by_the_last(recorder) <= (1 + LOOK_UPS_MAX) * PAGE
