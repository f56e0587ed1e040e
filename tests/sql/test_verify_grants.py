"""`storecredit verify` names what was tampered with in grants, holds and spends, and no more.

One database for all: what was tampered with is put back.
"""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from tests.sql.full_accounts import allow_anything
from tests.sql.full_grants import open_with_grants
from tests.sql.tampering_with_grants import IN_GRANTS, IN_HOLDS
from tests.sql.test_verify_discrepancies import filled_in

TABLES = ("accounts", "movements", "grants", "holds", "spends")
TAMPERINGS = IN_GRANTS | IN_HOLDS


@pytest.fixture
async def verified(books_url: str) -> AsyncIterator[Database]:
    """The application's pool on the module's database."""
    opened = await Database.open(books_url)
    yield opened
    await opened.close()


async def put_back(superuser: asyncpg.Connection) -> None:
    """Every row as it was before it was tampered with."""
    for table in TABLES:
        columns = await superuser.fetchval(
            """SELECT string_agg(attname, ', ') FROM pg_attribute
               WHERE attrelid = $1::text::regclass AND attnum > 0 AND attgenerated = ''""",
            table,
        )
        await superuser.execute(
            f"""DELETE FROM {table};
                INSERT INTO {table} ({columns}) SELECT {columns} FROM original.{table}"""
        )


async def test_tampering_with_grants_and_holds_is_named(
    verified: Database, books: asyncpg.Connection
) -> None:
    accounts = [await open_with_grants(books, kind) for kind in OwnerKind]
    assert (await verify(verified, every_row=True)).clean
    await allow_anything(books)
    await books.execute("CREATE SCHEMA original")
    for table in TABLES:
        await books.execute(f"CREATE TABLE original.{table} AS SELECT * FROM {table}")
    differ = {}
    for number, (what, (statement, expected)) in enumerate(TAMPERINGS.items()):
        account = accounts[number % len(accounts)]
        await books.execute(filled_in(statement, account))
        report = await verify(verified)
        found = {(each.kind, each.seq, each.request_id) for each in report.discrepancies}
        if found != expected:
            differ[what] = (found - expected, expected - found)
        await put_back(books)
    assert differ == {}
    assert (await verify(verified, every_row=True)).clean
