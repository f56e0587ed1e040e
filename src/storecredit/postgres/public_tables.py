"""The upgrade of a database of the build whose tables were in the schema `public`."""

import asyncpg

from storecredit.postgres.pool import Connection


async def are_there(connection: Connection) -> bool:
    """Whether an earlier build has migrated this database, and no later one."""
    there: bool = await connection.fetchval(
        "SELECT to_regclass('public.storecredit_schema') IS NOT NULL"
    )
    return there


async def refuse_unless_known(connection: asyncpg.Connection) -> None:
    raise NotImplementedError


async def move(connection: asyncpg.Connection) -> None:
    raise NotImplementedError
