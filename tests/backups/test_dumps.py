"""Dumps of servers that keep in the catalogue what the server they go into does not know."""

import re
from pathlib import Path

import asyncpg
import pytest

from storecredit.ledger.credits import Credits
from storecredit.ledger.owners import Owner
from storecredit.ledger.verify import verify
from storecredit.postgres.buckets import bucket_of, opened
from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.pool import Database
from storecredit.postgres.programs import dump
from storecredit.postgres.schema.migrate import migrate
from storecredit.stores.stores import Stores
from tests.conftest import connect_as_superuser
from tests.sql.catalog import catalog

# As PostgreSQL 15.20 has them of every column that it makes: before what somebody set, or behind.
VERSIONED = """
    WITH given AS (
        SELECT attrelid, attnum,
            ARRAY(SELECT o FROM unnest(attoptions) o
                WHERE NOT starts_with(o, 'pg_attver=')) AS options
        FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
        WHERE relnamespace = 'storecredit'::regnamespace AND relkind = 'r' AND attnum > 0
    )
    UPDATE pg_attribute a SET attoptions = CASE a.attnum % 2
        WHEN 0 THEN ARRAY['pg_attver=22158912'] || g.options
        ELSE g.options || ARRAY['pg_attver=22158912'] END
    FROM given g WHERE (g.attrelid, g.attnum) = (a.attrelid, a.attnum)"""
# A row that looks like what is left out of definitions; its table's name is the first of all.
ROW = "ALTER TABLE ONLY a ALTER COLUMN a SET (pg_attver=1);"
NOTES = f"CREATE TABLE storecredit.a (a text); INSERT INTO storecredit.a VALUES ('{ROW}')"


async def test_a_dump_has_every_bucket_with_its_owners_and_goes_in_whole(
    database_url: str, empty_url: str, tmp_path: Path
) -> None:
    await migrate(database_url, buckets=3, open_after_seconds=0)
    home = await Database.open(database_url)
    async with opened(home) as buckets:
        ids = [
            (
                await Stores(buckets).create(
                    name="S", shop_domain=f"s{each}.example", credit_count=10, request_id="opening"
                )
            ).store_id
            for each in range(12)
        ]
        lived = [buckets.all.index(await buckets.of_store(each)) for each in ids]
    await home.close()
    assert len(set(lived)) > 1, "one in 150,000 runs puts all into one"

    await dump.take(database_url, tmp_path / "dump")
    await dump.load(empty_url, tmp_path / "dump")
    restored = await migrate(empty_url)
    assert (restored.buckets, restored.notes) == (3, ())

    home = await Database.open(empty_url)
    async with opened(home) as buckets:
        stores = Stores(buckets)
        assert [store.store_id for store in await stores.several(ids)] == ids
        assert [buckets.all.index(await buckets.of_store(each)) for each in ids] == lived
        reports = [await verify(each) for each in buckets.all]
        assert [report.clean for report in reports] == [True] * 3
        assert sum(report.movements for report in reports) == len(ids)
        later = await stores.create(
            name="S", shop_domain="later.example", credit_count=10, request_id="opening"
        )
        number = buckets.all.index(await buckets.of_store(later.store_id))
        account_id = await Credits(buckets).account_id(Owner.store(later.store_id))
        assert bucket_of(account_id) == number
    await home.close()
    # Into one that has a bucket of somebody's, nothing is put.
    with pytest.raises(DatabaseMisconfigured, match="has a schema storecredit, and nothing"):
        await dump.load(database_url, tmp_path / "dump")


async def test_versions_of_columns_are_left_out_and_options_are_kept(
    database_url: str, empty_url: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    made = await catalog(admin)
    await admin.execute(NOTES)
    await admin.execute(VERSIONED)
    taken = tmp_path / "dump"

    await dump.take(database_url, taken)
    # In its table of contents, which is not compressed.
    contents = (taken / dump.DUMP).read_bytes()
    assert re.search(rb"account_id SET \(n_distinct=-0.05, pg_attver=\d+\);", contents)
    assert re.search(rb"request_id SET \(pg_attver=\d+, n_distinct=-0.5\);", contents)
    assert re.search(rb"owner_id SET \(pg_attver=\d+\);", contents)
    await dump.load(empty_url, taken)

    await migrate(empty_url)
    loaded = await connect_as_superuser(empty_url)
    assert await loaded.fetchval("SELECT a FROM storecredit.a") == ROW
    await loaded.execute("DROP TABLE storecredit.a")
    assert await catalog(loaded) == made
    await loaded.close()
    database = await Database.open(empty_url)
    assert (await verify(database)).clean
    await database.close()
