"""A database of three buckets, with a store in each."""

from typing import Final
from uuid import UUID, uuid4

import pytest

from storecredit.ledger.credits import Credits
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.ledger.verify_all import verify_all
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.pool import Database
from storecredit.stores.stores import Stores

NUMBER: Final = 3
THREE: Final = pytest.mark.parametrize(
    "bucket_count", [NUMBER], ids=["3_buckets"], indirect=True, scope="session"
)
"""For tests that are of several buckets alone."""


async def store_in_each(buckets: Buckets) -> list[Owner]:
    """Each has 10 credits."""
    return [await store_in(buckets, bucket, n) for n, bucket in enumerate(buckets.all)]


async def store_in(buckets: Buckets, bucket: Database, number: int) -> Owner:
    """A store in this bucket, the one of that number, with 10 credits."""
    made = (
        await Stores(buckets)
        .making(await id_in(buckets, bucket))
        .create(
            name=f"Store {number}",
            shop_domain=f"s{number}.example",
            credit_count=10,
            request_id="opening",
        )
    )
    return Owner.store(made.store_id)


async def id_in(buckets: Buckets, bucket: Database) -> UUID:
    """The id of a store that will live in this bucket."""
    store_id = uuid4()
    while await buckets.of_new_store(store_id) is not bucket:
        store_id = uuid4()
    return store_id


async def balances(buckets: Buckets, owners: list[Owner]) -> list[int]:
    """What each has."""
    found = await Credits(buckets).balances(OwnerKind.STORE, [owner.id for owner in owners])
    return [found[owner.id].balance for owner in owners]


async def prove(buckets: Buckets) -> None:
    """Each bucket's books, row by row, and the ends of transfers between them."""
    assert (await verify_all(buckets, every_row=True)).discrepancies == ()
