"""Several buckets in one database: who lives where, and that each is as whole as the only one."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest

from storecredit.generation.lifecycle import Created, GenerationInput, Lifecycle, Replayed
from storecredit.ledger.credits import Cause, Credits
from storecredit.ledger.outcomes import Addition, AdditionType
from storecredit.ledger.owners import Account, Owner, OwnerKind
from storecredit.ledger.spending import Spend, Spending, Spent
from storecredit.ledger.verify import verify
from storecredit.postgres.buckets import Buckets, SeveralBuckets, bucket_of, opened, outgrown
from storecredit.postgres.errors import DatabaseMisconfigured, DatabaseUnavailable
from storecredit.postgres.listener import Listener
from storecredit.postgres.pool import Database
from storecredit.postgres.schema import privileges
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.servers import bucket_schema, connect
from storecredit.settings import Settings
from storecredit.stores.api_keys import CHANNEL, ApiKeys
from storecredit.stores.callers import Caller
from storecredit.stores.stores import Stores
from storecredit.telemetry import Metrics
from storecredit.users.users import Users

NUMBER = 3
STORES = 24
INPUT = GenerationInput(("data:image/png;base64,AA==",))


@pytest.fixture
async def buckets(database_url: str) -> AsyncIterator[SeveralBuckets]:
    """The buckets of a fresh database that has three."""
    await migrate(database_url, buckets=NUMBER, open_after_seconds=0)
    home = await Database.open(database_url)
    async with opened(home) as several:
        assert isinstance(several, SeveralBuckets)
        yield several
    await home.close()


async def made(buckets: Buckets, number: int = STORES) -> list[UUID]:
    """So many stores, each with ten credits."""
    stores = Stores(buckets)
    return [
        (
            await stores.create(
                name=f"Store {each}",
                shop_domain=f"s{each}.example",
                credit_count=10,
                request_id="opening",
            )
        ).store_id
        for each in range(number)
    ]


async def rows(admin: asyncpg.Connection, statement: str) -> list[tuple[int, object]]:
    """What each bucket answers to a statement whose tables are `{0}.…`, with its number."""
    return [
        (number, row[0])
        for number in range(NUMBER)
        for row in await admin.fetch(statement.format(bucket_schema(number)))
    ]


async def test_each_bucket_is_made_once_and_guarded_like_the_first(database_url: str) -> None:
    first = await migrate(database_url, buckets=NUMBER, open_after_seconds=0)
    again = await migrate(database_url)
    assert (first.changed, again.changed) == (True, False)
    (told,) = first.notes
    assert told.startswith("The database has 3 buckets now, and had 1. From 2")
    assert (first.buckets, again.buckets, again.notes) == (NUMBER, NUMBER, ())
    with pytest.raises(DatabaseMisconfigured, match="has 3 buckets, and none of them is ever"):
        await migrate(database_url, buckets=2)
    with pytest.raises(DatabaseMisconfigured, match="at most 1000 buckets"):
        await migrate(database_url, buckets=1001)
    for number in range(NUMBER):
        schema = bucket_schema(number)
        connection = await connect(database_url, schema=schema)
        assert await privileges.fault(connection, schema) is None
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("INSERT INTO movements SELECT * FROM movements")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT open_account('store', gen_random_uuid())")
        await connection.close()


async def test_a_bucket_that_somebody_opened_is_mended_by_the_next_migration(
    database_url: str, admin: asyncpg.Connection
) -> None:
    await migrate(database_url, buckets=NUMBER, open_after_seconds=0)
    await admin.execute("GRANT UPDATE ON storecredit_2.movements TO storecredit_app")
    connection = await connect(database_url, schema=bucket_schema(2))
    assert "may write to the table" in (await privileges.fault(connection, "storecredit_2") or "")
    mended = await migrate(database_url)
    assert mended.changed
    assert any("storecredit_2.movements" in said or "movements" in said for said in mended.renewed)
    assert await privileges.fault(connection, "storecredit_2") is None
    await connection.close()


async def test_stores_are_spread_and_found_again_by_whoever_asks(
    buckets: SeveralBuckets, database_url: str, admin: asyncpg.Connection
) -> None:
    store_ids = await made(buckets)
    lives = Counter(number for number, _ in await rows(admin, "SELECT store_id FROM {0}.stores"))
    assert set(lives) == {0, 1, 2}, "one in 10^10 runs leaves a bucket empty"
    other = await Database.open(database_url)
    async with opened(other) as fresh:
        stores, credits = Stores(fresh), Credits(fresh)
        assert [store.store_id for store in await stores.several(store_ids)] == store_ids
        for store_id in store_ids:
            found = await stores.get(store_id)
            assert found is not None
            assert [store.store_id for store in await stores.named(found.name)] == [store_id]
            number = bucket_of(await credits.account_id(Owner.store(store_id)))
            assert fresh.all[number] is await fresh.of_store(store_id)
        listed: list[UUID] = []
        cursor: UUID | None = None
        while len(listed) < STORES:
            page = await stores.list(limit=5, cursor=cursor)
            listed += [store.store_id for store in page.items]
            cursor = page.next_cursor
        assert listed == sorted(store_ids, reverse=True)
        assert cursor is None
        balances = await credits.balances(OwnerKind.STORE, store_ids)
        assert {balance.balance for balance in balances.values()} == {10}
        assert await credits.count_at_zero() == 0
    await other.close()


async def test_a_key_is_known_wherever_its_store_lives(buckets: SeveralBuckets) -> None:
    store_ids = await made(buckets)
    keys = ApiKeys(buckets, Listener(buckets.home, CHANNEL))
    issued = {store_id: await keys.create(store_id) for store_id in store_ids}
    found = await asyncio.gather(*(keys.authenticate(each.key) for each in issued.values() if each))
    assert [caller.store_id for caller in found if isinstance(caller, Caller)] == store_ids
    for store_id, first in issued.items():
        assert first is not None
        key_id = first.api_key.key_id
        assert await keys.id_of(first.key) == key_id
        rotated = await keys.rotate(store_id, key_id)
        assert rotated is not None
        caller = await keys.authenticate(rotated.key)
        assert isinstance(caller, Caller)
        assert caller.store_id == store_id
        assert not isinstance(await keys.authenticate(first.key), Caller)
    assert await keys.authenticate("sc_live_" + "0" * 36) is None
    await keys.close()


async def test_credits_and_work_stand_where_the_owner_lives(
    buckets: SeveralBuckets, admin: asyncpg.Connection
) -> None:
    store_ids = await made(buckets)
    settings, metrics, credits = Settings(), Metrics(), Credits(buckets)
    lifecycle = Lifecycle(buckets, settings, metrics)
    spending = Spending(buckets, settings, metrics)
    for part in (lifecycle, spending):
        await part.open()
    accounts = [
        Account(await credits.account_id(Owner.store(each)), Owner.store(each))
        for each in store_ids
    ]
    # Every store's request has the same id: each is a request of its own.
    created = await asyncio.gather(
        *(lifecycle.create(account, "g", INPUT, None, 2) for account in accounts)
    )
    assert all(isinstance(outcome, Created) and outcome.balance == 8 for outcome in created)
    again = await asyncio.gather(
        *(lifecycle.create(account, "g", INPUT, None, 2) for account in accounts)
    )
    assert [isinstance(outcome, Replayed) for outcome in again] == [True] * STORES
    spent = await asyncio.gather(*(spending.spend(account, Spend("s", 3)) for account in accounts))
    assert [outcome.balance for outcome in spent if isinstance(outcome, Spent)] == [5] * STORES
    added = await credits.add(accounts[0].owner, 7, AdditionType.GRANT, Cause("more"))
    assert added is Addition.ADDED
    for part in (lifecycle, spending):
        await part.close()
    jobs = Counter(n for n, _ in await rows(admin, "SELECT id FROM {0}.pgqueuer"))
    sessions = await rows(admin, "SELECT account_id FROM {0}.sessions")
    assert Counter(number for number, _ in sessions) == jobs
    assert all(bucket_of(int(str(account_id))) == number for number, account_id in sessions)
    assert sum(jobs.values()) == STORES
    reports = await buckets.each(verify)
    assert [report.discrepancies for report in reports] == [()] * NUMBER
    assert sum(report.movements for report in reports) == 3 * STORES + 1


async def test_of_many_first_calls_of_a_user_one_makes_the_account(
    buckets: SeveralBuckets, database_url: str, admin: asyncpg.Connection
) -> None:
    user_ids = [uuid4() for _ in range(10)]
    other = await Database.open(database_url)
    async with opened(other) as beside:
        callers = [Users(each, 10) for each in (buckets, beside)]
        await asyncio.gather(
            *(users.ensure(user_id) for user_id in user_ids for users in callers for _ in range(5))
        )
    await other.close()
    found = await rows(admin, "SELECT user_id FROM {0}.users")
    assert sorted(str(user_id) for _, user_id in found) == sorted(map(str, user_ids))
    bonuses = await rows(admin, "SELECT amount FROM {0}.movements WHERE type = 'signup_bonus'")
    assert [amount for _, amount in bonuses] == [10] * len(user_ids)


async def test_whoever_lived_in_the_only_bucket_stays_there(
    database_url: str, admin: asyncpg.Connection
) -> None:
    home = await Database.open(database_url)
    store_ids = await made(home, 5)
    keys = ApiKeys(home, Listener(home, CHANNEL))
    issued = await keys.create(store_ids[0])
    assert issued is not None
    await migrate(database_url, buckets=NUMBER, open_after_seconds=0)
    async with opened(home) as buckets:
        assert buckets.several
        assert [await buckets.of_store(each) is home for each in store_ids] == [True] * 5
        fresh = ApiKeys(buckets, Listener(home, CHANNEL))
        assert isinstance(await fresh.authenticate(issued.key), Caller)
        await fresh.close()
        assert await Users(buckets, 10).ensure(store_ids[0])
    await home.close()


async def test_buckets_take_owners_once_every_process_has_seen_them(
    database_url: str, admin: asyncpg.Connection
) -> None:
    home = await Database.open(database_url)
    await migrate(database_url, buckets=NUMBER)
    async with opened(home) as buckets:
        early = await made(buckets)
        assert [await buckets.of_store(each) is home for each in early] == [True] * STORES
        # What a clock does in a minute.
        await admin.execute("UPDATE storecredit.buckets SET opened_at = now() WHERE number > 0")
        late = await made(buckets)
        assert {await buckets.of_store(each) for each in late} == set(buckets.all)
    async with opened(home) as fresh:
        assert [await fresh.of_store(each) is home for each in early] == [True] * STORES
    await home.close()


async def test_more_buckets_are_heard_of_by_whoever_knew_of_fewer(database_url: str) -> None:
    home = await Database.open(database_url)
    async with opened(home) as one:
        assert one is home
        stop = asyncio.Event()
        hearing = asyncio.create_task(outgrown(home, stop))
        await migrate(database_url, buckets=2)
        assert await hearing
    async with opened(home) as two:
        assert two.several
        stop.set()
        assert not await outgrown(home, stop)
    await home.close()


async def test_a_process_that_knows_of_one_bucket_makes_nobody_twice(
    buckets: SeveralBuckets, database_url: str, admin: asyncpg.Connection
) -> None:
    unaware = await Database.open(database_url)
    elsewhere = uuid4()
    while await buckets.of_new_user(elsewhere) is buckets.home:
        elsewhere = uuid4()
    await Users(buckets, 10).ensure(elsewhere)
    with pytest.raises(DatabaseUnavailable, match="lives in another bucket"):
        await Users(unaware, 10).ensure(elsewhere)
    here = uuid4()
    await Users(unaware, 10).ensure(here)
    assert await buckets.of_new_user(here) is buckets.home
    await Users(buckets, 10).ensure(here)
    bonuses = await rows(admin, "SELECT amount FROM {0}.movements WHERE type = 'signup_bonus'")
    assert [amount for _, amount in bonuses] == [10, 10]
    await unaware.close()


async def test_an_account_of_a_bucket_that_came_later_is_not_taken_for_another_s(
    buckets: SeveralBuckets,
) -> None:
    assert buckets.of_account((2 << 40) + 1) is buckets.all[2]
    for account_id in ((NUMBER << 40) + 1, -1):
        with pytest.raises(DatabaseUnavailable, match="does not know of bucket"):
            buckets.of_account(account_id)
