"""Lists of owners who live in several buckets: everybody once, in one order, while credits move."""

import asyncio
import random
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from storecredit.ledger.credits import Cause, Credits
from storecredit.ledger.outcomes import AdditionType
from storecredit.ledger.owner_cursors import OwnerCursor, OwnerSort, read_cursor
from storecredit.ledger.owner_pages import OwnerFilter, OwnerPages
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.buckets import Buckets, opened
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import bucket_schema
from storecredit.stores.stores import Stores
from storecredit.users.users import Users
from tests.running_listener import until
from tests.sql.statement_costs import Recorder

pytestmark = pytest.mark.parametrize(
    "bucket_count", [NUMBER := 3], ids=["3_buckets"], indirect=True, scope="session"
)
OWNERS = 18
NAMES = ("anna", "Anna", "Öl", "Ol", "z", "ÿ", "a-b", "ab", "a b")
BALANCES = (0, 5, 5, 5, 9, 30)


async def made(buckets: Buckets) -> dict[UUID, int]:
    """Stores in all buckets, some with the same name, some with the same balance."""
    balances = {}
    for number in range(OWNERS):
        store = await Stores(buckets).create(
            name=NAMES[number % len(NAMES)],
            shop_domain="a.example",
            credit_count=BALANCES[number % len(BALANCES)],
            request_id="opening",
        )
        balances[store.store_id] = BALANCES[number % len(BALANCES)]
    return balances


async def pages(
    buckets: Buckets, kind: OwnerKind, sort: OwnerSort, limit: int
) -> AsyncIterator[tuple[UUID, ...]]:
    cursor: OwnerCursor | None = None
    while True:
        page = await OwnerPages(buckets).page(
            kind, OwnerFilter(), sort=sort, limit=limit, cursor=cursor
        )
        yield page.owner_ids
        if page.next_cursor is None:
            return
        cursor = read_cursor(page.next_cursor)


async def test_names_are_in_the_order_of_the_database(
    buckets: Buckets, admin: asyncpg.Connection
) -> None:
    await made(buckets)
    everybody = " UNION ALL ".join(
        f"SELECT name, store_id FROM {bucket_schema(number)}.stores" for number in range(NUMBER)
    )
    rows = await admin.fetch(f"SELECT store_id FROM ({everybody}) s ORDER BY lower(name), store_id")
    for limit in (1, 4, OWNERS - 1, OWNERS, OWNERS + 1):
        listed = [page async for page in pages(buckets, OwnerKind.STORE, OwnerSort.NAME, limit)]
        assert [each for page in listed for each in page] == [row["store_id"] for row in rows]
        assert all(len(page) == limit for page in listed[:-1])


async def test_pages_by_balance_are_of_one_moment_while_credits_move_in_all_buckets(
    buckets: Buckets, admin: asyncpg.Connection
) -> None:
    balances = await made(buckets)
    credits, draw = Credits(buckets), random.Random()
    listed: list[UUID] = []
    async for page in pages(buckets, OwnerKind.STORE, OwnerSort.BALANCE, 4):
        listed += page
        # Who was listed and who was not, to the other side of where the page ended.
        for store_id in draw.sample(sorted(balances), 6):
            if draw.random() < 0.5:
                cause = Cause(f"more {len(listed)}")
                await credits.add(Owner.store(store_id), 20, AdditionType.GRANT, cause)
            else:
                database = await buckets.of_store(store_id)
                await admin.execute(
                    f"""SELECT {database.schema}.remove_from_account(account_id, 1, $2, 'Wrong',
                            'ann')
                    FROM {database.schema}.accounts WHERE owner_id = $1
                        AND {database.schema}.balance_at(account_id, now()) > 0""",
                    store_id,
                    f"less {len(listed)}",
                )
    assert listed == sorted(balances, key=lambda each: (balances[each], each))


async def test_the_first_page_is_of_one_moment_however_late_a_bucket_answers(
    buckets: Buckets, database_url: str
) -> None:
    balances = await made(buckets)
    home = await Recorder.open(database_url, pool_max=1)
    async with opened(home) as narrow:
        late, poorest = await away_from_home(narrow, balances)
        async with late.acquire():
            page = asyncio.create_task(
                OwnerPages(narrow).page(
                    OwnerKind.STORE, OwnerFilter(), sort=OwnerSort.BALANCE, limit=OWNERS
                )
            )
            await until(lambda: any("ORDER BY" in query for query, _ in home.statements))
            cause = Cause("meanwhile")
            await Credits(buckets).add(Owner.store(poorest), 100, AdditionType.GRANT, cause)
        listed = (await page).owner_ids
    await home.close()
    assert listed == tuple(sorted(balances, key=lambda each: (balances[each], each)))


async def away_from_home(buckets: Buckets, balances: dict[UUID, int]) -> tuple[Database, UUID]:
    """The store with the fewest credits that does not live in the first bucket, and its own."""
    for store_id in sorted(balances, key=lambda each: balances[each]):
        database = await buckets.of_store(store_id)
        if database is not buckets.home:
            return database, store_id
    raise AssertionError("one in 10^8 runs has all stores in one bucket")


async def test_users_who_are_made_meanwhile_do_not_shift_older_ones(
    buckets: Buckets, admin: asyncpg.Connection
) -> None:
    users = Users(buckets, 10)
    ids = [UUID(int=number) for number in random.sample(range(1, 1000), OWNERS)]
    for user_id in ids:
        await users.ensure(user_id)
    # Three at a time came at the same moment, whichever buckets they live in.
    for number in range(NUMBER):
        await admin.execute(
            f"UPDATE {bucket_schema(number)}.users SET created_at ="
            " '2026-01-01Z'::timestamptz + array_position($1::uuid[], user_id) / 3 * interval '1h'",
            ids,
        )
    expected = sorted(ids, key=lambda each: ((ids.index(each) + 1) // 3, each), reverse=True)
    listed: list[UUID] = []
    async for page in pages(buckets, OwnerKind.USER, OwnerSort.CREATED, 4):
        listed += page
        await users.ensure(UUID(int=2000 + len(listed)))
    assert listed == expected


async def test_a_cursor_of_a_user_that_there_is_not_ends_the_list(buckets: Buckets) -> None:
    await Users(buckets, 10).ensure(UUID(int=1))
    page = await OwnerPages(buckets).page(
        OwnerKind.USER, OwnerFilter(), limit=4, cursor=read_cursor(str(UUID(int=2)))
    )
    assert page.owner_ids == ()
    assert page.next_cursor is None
