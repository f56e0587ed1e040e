"""Keys of several buckets: one that does not answer, or is not known yet, holds up nobody else."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from storecredit.ledger.owners import Owner
from storecredit.postgres.buckets import Buckets, opened
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.listener import Listener
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.stores.api_keys import CHANNEL, ApiKeys
from storecredit.stores.callers import Caller
from storecredit.stores.stores import Stores
from tests.operator.bucket_owners import NUMBER, THREE, id_in, store_in_each

pytestmark = THREE

ORIGINS = [f"https://s{number}.example" for number in range(NUMBER)]


@pytest.fixture
async def owners(buckets: Buckets) -> list[Owner]:
    return await store_in_each(buckets)


@pytest.fixture
async def keys(buckets: Buckets) -> AsyncIterator[ApiKeys]:
    """With a listener that never ran: each is looked up whenever it comes."""
    keys = ApiKeys(buckets, Listener(buckets.home, CHANNEL))
    yield keys
    await keys.close()


@pytest.fixture
async def issued(keys: ApiKeys, owners: list[Owner]) -> list[str]:
    """A key of a store in each bucket, that lists the origin of its own."""
    made = [
        await keys.create(owner.id, allowed_origins=[origin])
        for owner, origin in zip(owners, ORIGINS, strict=True)
    ]
    return [each.key for each in made if each is not None]


async def test_who_is_asked_of_a_bucket_that_does_not_answer_waits_alone(
    keys: ApiKeys, issued: list[str], owners: list[Owner], admin: asyncpg.Connection
) -> None:
    async with admin.transaction():
        await admin.execute("LOCK TABLE storecredit_2.store_api_keys")
        # All at once, as callers of one moment are.
        asking = [asyncio.create_task(keys.authenticate(key)) for key in issued]
        found = await asyncio.gather(*asking[:2])
        assert [each.store_id for each in found if isinstance(each, Caller)] == [
            owner.id for owner in owners[:2]
        ]
        assert not asking[2].done()
    assert isinstance(await asking[2], Caller)


async def test_an_origin_that_one_bucket_lists_is_listed_whatever_another_does(
    keys: ApiKeys, issued: list[str], admin: asyncpg.Connection
) -> None:
    assert issued
    async with admin.transaction():
        await admin.execute("LOCK TABLE storecredit_2.store_api_keys")
        assert await keys.origin_is_listed(ORIGINS[1])
        with pytest.raises(DatabaseUnavailable):
            await keys.origin_is_listed(ORIGINS[2])
    assert await keys.origin_is_listed(ORIGINS[2])
    assert not await keys.origin_is_listed("https://elsewhere.example")


async def test_who_lives_in_a_bucket_that_came_later_is_not_known_yet_and_all_others_are(
    buckets: Buckets, keys: ApiKeys, issued: list[str], database_url: str
) -> None:
    """As in a process that was cut off while they were made, until it has looked."""
    await migrate(database_url, buckets=NUMBER + 1, open_after_seconds=0)
    home = await Database.open(database_url)
    async with opened(home) as more:
        store_id = await id_in(more, more.all[NUMBER])
        await Stores(more).making(store_id).create(name="Late", shop_domain="late.example")
        theirs = ApiKeys(more, Listener(home, CHANNEL))
        late = await theirs.create(store_id)
        await theirs.close()
    await home.close()
    assert late is not None
    with pytest.raises(DatabaseUnavailable, match="does not know of bucket 3 yet"):
        await buckets.of_store(store_id)
    found = await asyncio.gather(
        *(keys.authenticate(key) for key in [late.key, *issued]), return_exceptions=True
    )
    assert [type(each) for each in found] == [DatabaseUnavailable, *[Caller] * NUMBER]
