"""`storecredit verify` over several buckets: each is proven, and who lives where; it adds up."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from storecredit.ledger.discrepancies import DiscrepancyKind, Report
from storecredit.ledger.verification import last
from storecredit.ledger.verify import Progress
from storecredit.ledger.verify_all import verify_all
from storecredit.postgres.buckets import SeveralBuckets, bucket_of, opened
from storecredit.postgres.listener import Listener
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.servers import bucket_schema
from storecredit.stores.api_keys import CHANNEL, ApiKeys
from storecredit.stores.stores import Stores
from storecredit.users.users import Users

STORES = 24


@pytest.fixture
async def buckets(database_url: str) -> AsyncIterator[SeveralBuckets]:
    """The buckets of a database that has three, with stores in each and as many end users."""
    await migrate(database_url, buckets=3, open_after_seconds=0)
    home = await Database.open(database_url)
    async with opened(home) as several:
        assert isinstance(several, SeveralBuckets)
        keys = ApiKeys(several, Listener(home, CHANNEL))
        for each in range(STORES):
            made = await Stores(several).create(
                name=f"Store {each}",
                shop_domain="a.example",
                credit_count=10,
                request_id="opening",
            )
            await keys.create(made.store_id)
            await Users(several, 10).ensure(made.store_id)
        await keys.close()
        yield several
    await home.close()


async def one_of(admin: asyncpg.Connection, bucket: int, kind: str = "store") -> asyncpg.Record:
    """An account in a bucket."""
    row = await admin.fetchrow(
        f"SELECT * FROM {bucket_schema(bucket)}.accounts WHERE owner_kind = $1 LIMIT 1", kind
    )
    assert row is not None, "one in 10^4 runs leaves a bucket empty"
    return row


def misplaced(report: Report) -> list[tuple[UUID | None, UUID | None, str]]:
    return [
        (found.store_id, found.user_id, found.detail)
        for found in report.discrepancies
        if found.kind is DiscrepancyKind.WRONG_BUCKET
    ]


async def test_what_there_is_in_all_buckets_adds_up(buckets: SeveralBuckets) -> None:
    told: list[Progress] = []
    report = await verify_all(buckets, on_progress=told.append)
    assert report.clean
    assert (report.stores, report.users) == (STORES, STORES)
    assert (report.movements, report.user_movements) == (STORES, STORES)
    checked = [progress.checked for progress in told]
    assert checked == sorted(checked)
    assert told[-1] == Progress(2 * STORES, 2 * STORES)
    recorded = await last(buckets)
    assert recorded is not None
    assert recorded.discrepancies == 0


async def test_what_is_wrong_in_any_bucket_is_named_with_its_owner(
    buckets: SeveralBuckets, admin: asyncpg.Connection
) -> None:
    owners = []
    for bucket in range(3):
        account = await one_of(admin, bucket)
        owners.append(account["owner_id"])
        await admin.execute(
            f"UPDATE {bucket_schema(bucket)}.movements SET balance_after = 7 WHERE account_id = $1",
            account["account_id"],
        )
    report = await verify_all(buckets)
    assert {found.store_id for found in report.discrepancies} == set(owners)
    recorded = await last(buckets)
    assert recorded is not None
    assert recorded.discrepancies == len(report.discrepancies)


async def test_nothing_is_told_of_the_last_while_a_bucket_was_never_verified(
    buckets: SeveralBuckets, admin: asyncpg.Connection
) -> None:
    await verify_all(buckets)
    await admin.execute("DELETE FROM storecredit_1.last_verification")
    assert await last(buckets) is None


@pytest.mark.parametrize("kind", ["store", "user"])
async def test_an_owner_of_whom_the_directory_says_another_bucket_is_named(
    kind: str, buckets: SeveralBuckets, admin: asyncpg.Connection
) -> None:
    owner_id = (await one_of(admin, 1, kind))["owner_id"]
    await admin.execute(
        "UPDATE storecredit.owner_buckets SET bucket = 2 WHERE owner_kind = $1 AND owner_id = $2",
        kind,
        owner_id,
    )
    whose = (owner_id, None) if kind == "store" else (None, owner_id)
    detail = "the owner is in bucket 1, and the directory says bucket 2"
    assert misplaced(await verify_all(buckets)) == [(*whose, detail)]
    recorded = await last(buckets)
    assert recorded is not None
    assert recorded.discrepancies == 1


async def test_an_owner_of_whom_the_directory_does_not_know_is_named(
    buckets: SeveralBuckets, admin: asyncpg.Connection
) -> None:
    owner_id = (await one_of(admin, 2))["owner_id"]
    await admin.execute(
        "DELETE FROM storecredit.owner_buckets WHERE owner_kind = 'store' AND owner_id = $1",
        owner_id,
    )
    detail = "the owner is in bucket 2, and the directory does not know of it"
    assert misplaced(await verify_all(buckets)) == [(owner_id, None, detail)]


async def test_an_owner_in_two_buckets_is_named_where_nobody_finds_it(
    buckets: SeveralBuckets, admin: asyncpg.Connection
) -> None:
    account = await one_of(admin, 1)
    twin = (2 << 40) + 1_000
    await admin.execute(
        """INSERT INTO storecredit_2.accounts (account_id, owner_kind, owner_id)
           OVERRIDING SYSTEM VALUE VALUES ($1, 'store', $2)""",
        twin,
        account["owner_id"],
    )
    detail = "the owner is in bucket 2, and the directory says bucket 1"
    assert misplaced(await verify_all(buckets)) == [(account["owner_id"], None, detail)]


async def test_an_account_with_a_number_of_another_bucket_is_named(
    buckets: SeveralBuckets, admin: asyncpg.Connection
) -> None:
    account = await one_of(admin, 1)
    wrong = (2 << 40) + 1_000
    await admin.execute("ALTER TABLE storecredit_1.accounts ALTER account_id DROP IDENTITY")
    for table in ("movements", "grants", "summed_accounts", "accounts"):
        await admin.execute(f"ALTER TABLE storecredit_1.{table} DISABLE TRIGGER ALL")
        await admin.execute(
            f"UPDATE storecredit_1.{table} SET account_id = $1 WHERE account_id = $2",
            wrong,
            account["account_id"],
        )
        await admin.execute(f"ALTER TABLE storecredit_1.{table} ENABLE TRIGGER ALL")
    assert bucket_of(wrong) == 2
    detail = f"account {wrong} is in bucket 1, and its number is one of bucket 2"
    assert misplaced(await verify_all(buckets)) == [(account["owner_id"], None, detail)]


async def test_a_key_of_which_the_directory_says_another_bucket_or_nothing_is_named(
    buckets: SeveralBuckets, admin: asyncpg.Connection
) -> None:
    first, second = [
        (await admin.fetch(f"SELECT * FROM {bucket_schema(bucket)}.store_api_keys LIMIT 1"))[0]
        for bucket in (1, 2)
    ]
    await admin.execute(
        "UPDATE storecredit.key_buckets SET bucket = 0 WHERE key_hash = $1", first["key_hash"]
    )
    await admin.execute(
        "DELETE FROM storecredit.key_buckets WHERE key_hash = $1", second["key_hash"]
    )
    assert misplaced(await verify_all(buckets)) == [
        (
            first["store_id"],
            None,
            f"API key {first['key_id']} is in bucket 1, and the directory says bucket 0",
        ),
        (
            second["store_id"],
            None,
            f"API key {second['key_id']} is in bucket 2, and the directory does not know of it",
        ),
    ]
