"""Lists by balance, made of what the sums know: as by a look at every account, and quick."""

import random
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

import asyncpg
import pytest

from storecredit.ledger.owner_cursors import OwnerCursor, OwnerSort, read_cursor
from storecredit.ledger.owner_pages import UNCOUNTED_PAGES_MAX, OwnerFilter, OwnerPages
from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection, connect
from tests.operator.random_ledger import make_ledger
from tests.sql.interface import deduct
from tests.sql.ledgers import open_account
from tests.sql.statement_costs import Call, Recorder, buffers_read

PAGE: Final = 2
COUNT: Final = "SELECT is_behind FROM sum_up('0', 4000, 500000)"
ADD: Final = "SELECT add_to_account($1, $2, 'grant', $3)"
LISTS: Final = [
    (kind, sort, wanted)
    for kind in OwnerKind
    for sort in OwnerSort
    for wanted in (
        OwnerFilter(),
        OwnerFilter(below=25),
        OwnerFilter(below=60, search="0"),
        OwnerFilter(below=60, status="suspended"),
    )
    if kind is OwnerKind.STORE or sort is not OwnerSort.NAME
]
STORES, LENGTH = 3000, 40
GROW: Final = """
    INSERT INTO storecredit.stores (store_id, name, shop_domain)
        SELECT md5(n::text)::uuid, 'shop', 'shop.example' FROM generate_series(1, $1::int) n"""
OPEN: Final = """
    INSERT INTO storecredit.accounts (owner_kind, owner_id)
        SELECT 'store', md5(n::text)::uuid FROM generate_series(1, $1::int) n"""
FILL: Final = """
    INSERT INTO storecredit.movements
        (account_id, seq, type, amount, balance_after, spent_after, request_id)
    SELECT a.account_id, n, 'deduction', 1, 1000 + (a.account_id % 50) - n, n, 'r' || n
    FROM storecredit.accounts a, generate_series(2, $1::int) n ORDER BY 1, 2"""


async def count(connection: Connection) -> None:
    """Until all is counted that is committed."""
    while await connection.fetchval(COUNT) is not False:
        pass


async def listed(
    pages: OwnerPages, kind: OwnerKind, sort: OwnerSort, wanted: OwnerFilter
) -> list[UUID]:
    found: list[UUID] = []
    cursor: OwnerCursor | None = None
    while True:
        page = await pages.page(kind, wanted, sort=sort, limit=PAGE, cursor=cursor)
        found += page.owner_ids
        if page.next_cursor is None:
            return found
        cursor = read_cursor(page.next_cursor)


async def compare(admin: asyncpg.Connection, recorder: Recorder, seed: int) -> None:
    """All lists, made by the sums and made while these are of no use."""
    recorder.statements.clear()
    by_sums = [await listed(OwnerPages(recorder), *each) for each in LISTS]
    assert sum("summed_accounts" in query for query, _ in recorder.statements) > len(LISTS)
    whole_at = await admin.fetchval("SELECT whole_at FROM summing")
    await admin.execute("UPDATE summing SET whole_at = NULL")
    recorder.statements.clear()
    for each, ids in zip(LISTS, by_sums, strict=True):
        assert ids == await listed(OwnerPages(recorder), *each), (seed, each)
    assert not any("summed_accounts" in query for query, _ in recorder.statements)
    await admin.execute("UPDATE summing SET whole_at = $1", whole_at)
    assert max(len(ids) for ids in by_sums) > 2 * PAGE


@pytest.fixture
async def recorder(database_url: str) -> AsyncIterator[Recorder]:
    recorder = await Recorder.open(database_url)
    yield recorder
    await recorder.close()


async def test_lists_are_the_same_whatever_of_the_ledger_is_counted(
    admin: asyncpg.Connection, recorder: Recorder
) -> None:
    draw = random.Random(seed := random.randrange(2**32))
    await make_ledger(admin, draw)
    await admin.execute(
        "UPDATE storecredit.stores SET status = 'suspended' WHERE store_id < $1", UUID(int=4)
    )
    await count(admin)
    await compare(admin, recorder, seed)
    accounts = [row[0] for row in await admin.fetch("SELECT account_id FROM accounts")]
    for number in range(3):
        for account_id in draw.sample(accounts, 4):
            await admin.execute(ADD, account_id, draw.randint(1, 40), f"more {number}")
        for kind in OwnerKind:
            await open_account(admin, kind, draw.choice([0, 0, 30]))
        await compare(admin, recorder, seed)
    # What has ended and is not written yet, known to the sums and not.
    for account_id in draw.sample(accounts, 3):
        await admin.execute(
            """SELECT add_to_account($1, 500, 'purchase', 'short', p_expires_at => now()
               + interval '1 hour')""",
            account_id,
        )
    await count(admin)
    await admin.execute("UPDATE grants SET expires_at = now() WHERE expires_at > now()")
    await admin.execute("UPDATE accounts SET next_expiry = now() WHERE next_expiry > now()")
    await compare(admin, recorder, seed)


async def test_pages_are_of_one_moment_while_credits_move_and_are_counted(
    admin: asyncpg.Connection, recorder: Recorder, kind: OwnerKind
) -> None:
    accounts = [await open_account(admin, kind, credits) for credits in (1, 2, 2, 2, 5, 6, 7)]
    await count(admin)
    pages = OwnerPages(recorder)
    in_order = [
        accounts[0],
        *sorted(accounts[1:4], key=lambda each: each.owner.id),
        *accounts[4:],
    ]
    seen: list[UUID] = []
    cursor: OwnerCursor | None = None
    for number, moved in enumerate((accounts[0], accounts[6], accounts[4], accounts[3])):
        page = await pages.page(kind, OwnerFilter(), sort=OwnerSort.BALANCE, limit=2, cursor=cursor)
        seen += page.owner_ids
        cursor = None if page.next_cursor is None else read_cursor(page.next_cursor)
        await _move(admin, moved, number)
        if number % 2:
            await count(admin)
    assert seen == [each.owner.id for each in in_order]
    assert cursor is None
    page = await pages.page(kind, OwnerFilter(), sort=OwnerSort.BALANCE, limit=7)
    has = dict(zip(accounts, (101, 2, 2, 1, 105, 6, 6), strict=True))
    afresh = sorted(accounts, key=lambda each: (has[each], each.owner.id))
    assert list(page.owner_ids) == [each.owner.id for each in afresh]


async def _move(admin: asyncpg.Connection, account: Account, number: int) -> None:
    """Who was shown goes to the end, who was not to the front."""
    if number % 2:
        assert await deduct(admin, account, 1, f"r{number}")
    else:
        await admin.execute(ADD, account.id, 100, f"r{number}")


async def grow(admin: asyncpg.Connection) -> None:
    """Many stores with a long ledger, all counted some passes ago."""
    for statement, size in ((OPEN, STORES), (GROW, STORES), (FILL, LENGTH)):
        await admin.execute(statement, size)
    for _ in range(4):
        await count(admin)


async def statements_of_two_pages(recorder: Recorder) -> list[Call]:
    """Of the first page, and of the one after it with filters."""
    recorder.statements.clear()
    pages = OwnerPages(recorder)
    first = await pages.page(OwnerKind.STORE, OwnerFilter(), sort=OwnerSort.BALANCE, limit=50)
    assert first.next_cursor is not None
    await pages.page(
        OwnerKind.STORE,
        OwnerFilter(below=2000, tier="default", status="active"),
        sort=OwnerSort.BALANCE,
        limit=50,
        cursor=read_cursor(first.next_cursor),
    )
    return [sent for sent in recorder.statements if "told" in sent[0]]


async def test_a_page_reads_few_rows_however_many_accounts_and_movements_there_are(
    admin: asyncpg.Connection, database_url: str, recorder: Recorder
) -> None:
    """Also by a plan that was made while there were none."""
    for table in ("accounts", "movements", "stores", "summed_accounts", "summing"):
        await admin.execute(f"ALTER TABLE storecredit.{table} SET (autovacuum_enabled = off)")
    await count(admin)
    await OwnerPages(recorder).page(
        OwnerKind.STORE, OwnerFilter(), sort=OwnerSort.BALANCE, limit=50
    )
    early, late = await connect(database_url), await connect(database_url)
    for _ in range(7):
        await early.fetch(recorder.sent[0], *recorder.sent[1])
    await grow(admin)
    first, second = await statements_of_two_pages(recorder)
    ledger = await admin.fetchval("SELECT pg_relation_size('movements') / 8192")
    for _ in range(2):
        for connection, (query, arguments) in ((early, first), (late, first), (late, second)):
            read = await buffers_read(connection, query, *arguments)
            # What may not be counted yet, and how far those are counted whose it is.
            assert read["movements"] < 600 < ledger
            assert read["summed_accounts"] < 1500 < STORES
            assert read["movements_pkey"] < 100
            assert read["accounts_by_balance"] < 20
            assert read["stores"] + read["stores_pkey"] < 500
        await admin.execute("ANALYZE")
    await late.close()
    await early.close()


async def test_where_nobody_has_counted_for_long_every_account_is_looked_at(
    admin: asyncpg.Connection, recorder: Recorder
) -> None:
    poor = await open_account(admin, OwnerKind.STORE, 3)
    rich = await open_account(admin, OwnerKind.STORE, 4)
    await count(admin)
    assert await deduct(admin, rich, 2, "r")
    await admin.execute("UPDATE summing SET ends = ARRAY[$1::bigint]", -UNCOUNTED_PAGES_MAX)
    assert await recorder.fetchval("SELECT uncounted_from(ends) FROM summing") == 0
    ids = await listed(OwnerPages(recorder), OwnerKind.STORE, OwnerSort.BALANCE, OwnerFilter())
    assert ids == [rich.owner.id, poor.owner.id]
