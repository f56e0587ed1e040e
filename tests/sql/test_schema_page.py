"""docs/schema.sql is what a migrated database has."""

import asyncpg

from docs.schema import schema_text
from docs.write import DOCS
from storecredit.postgres.servers import connect


async def test_the_page_of_the_schema_is_not_stale(database_url: str) -> None:
    connection: asyncpg.Connection = await connect(database_url, as_app=False)
    try:
        told = await schema_text(connection)
    finally:
        await connection.close()
    assert (DOCS / "schema.sql").read_text(encoding="utf-8") == told, "run `make docs`"
