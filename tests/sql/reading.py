"""What a statement costs: the rows it reads; and which statements the application sends."""

import asyncpg

from storecredit.postgres.database_url import DatabaseUrl
from storecredit.postgres.pool import Connection, Database


async def rows_read(connection: Connection, query: str, *args: object) -> int:
    """How many table rows a statement reads, those read inside of functions included."""
    counter = (
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int FROM pg_stat_xact_user_tables"
    )
    before = await connection.fetchval(counter)
    await connection.fetch(query, *args)
    return int(await connection.fetchval(counter)) - int(before)


class Recorder(Database):
    """The application's database, remembering each statement and its arguments."""

    def __init__(self, url: DatabaseUrl, pool: asyncpg.Pool) -> None:
        super().__init__(url, pool)
        self.statements: list[tuple[str, tuple[object, ...]]] = []

    @property
    def sent(self) -> tuple[str, tuple[object, ...]]:
        """The last statement."""
        return self.statements[-1]

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        self.statements.append((query, args))
        return await super().fetch(query, *args)

    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None:
        self.statements.append((query, args))
        return await super().fetchrow(query, *args)
