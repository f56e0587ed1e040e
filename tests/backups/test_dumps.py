"""Dumps of servers that keep in the catalogue what the server they go into does not know."""

import re
from pathlib import Path

import asyncpg

from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from storecredit.postgres.programs import dump
from storecredit.postgres.schema.migrate import migrate
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
