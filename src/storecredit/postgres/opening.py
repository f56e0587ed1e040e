"""From settings to an open database: the embedded one, started or joined, or an external one.

Apart from the service, so that a command which only reads the database loads no server.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from storecredit.postgres import privileges
from storecredit.postgres.embedded import EmbeddedPostgres
from storecredit.postgres.migrate import migrate
from storecredit.postgres.pool import MIGRATE_FIRST, Database, DatabaseMisconfigured
from storecredit.postgres.schema_version import SchemaState, schema_state
from storecredit.settings import Settings


@asynccontextmanager
async def open_database(
    settings: Settings, *, create: bool = True, migrate_external: bool = False
) -> AsyncIterator[Database]:
    """The database the settings name, migrated, for as long as the context lasts.

    The embedded one is started (made, if there is none and `create`) or joined, and migrated; an
    external one is migrated only if `migrate_external`. Raises DatabaseUnavailable,
    DatabaseMisconfigured, EmbeddedPostgresError, each with a sentence for the operator.
    """
    async with AsyncExitStack() as stack:
        if settings.database_url is not None:
            url = settings.database_url.get_secret_value()
            if migrate_external:
                await migrate(url)
        else:
            postgres = EmbeddedPostgres(settings.data_dir)
            if create:
                settings.data_dir.mkdir(parents=True, exist_ok=True)
            await postgres.start(create=create)
            stack.push_async_callback(postgres.stop)
            await migrate(postgres.admin_url, app_may_login=True)
            url = postgres.app_url
            await stack.enter_async_context(_kept_running(postgres))
        database = await Database.open(url, pool_max=settings.pool_max)
        stack.push_async_callback(database.close)
        # Whoever has just migrated has looked at who may do what.
        await _require_schema(database, is_looked_at=settings.database_url is None)
        yield database


@asynccontextmanager
async def _kept_running(postgres: EmbeddedPostgres) -> AsyncIterator[None]:
    supervisor = asyncio.create_task(postgres.supervise(), name="postgres-supervisor")
    try:
        yield
    finally:
        supervisor.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await supervisor


async def _require_schema(database: Database, *, is_looked_at: bool) -> None:
    async with database.acquire() as connection:
        if not is_looked_at:
            await privileges.require(connection)
        state = await schema_state(connection)
    match state:
        case SchemaState.CURRENT:
            return
        case SchemaState.OUTDATED:
            raise DatabaseMisconfigured(
                f"The database was migrated by an older storecredit: {MIGRATE_FIRST}."
            )
        case SchemaState.MISSING:
            raise DatabaseMisconfigured(f"The database has not been migrated: {MIGRATE_FIRST}.")
