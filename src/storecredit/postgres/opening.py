"""From settings to an open database: the embedded one, started or joined, or an external one.

A database that is not there yet, or just now not, is waited for: PostgreSQL starts, recovers after
a crash, is a standby that is not promoted yet, or its host has no address so far. One that answers
and cannot be used is told at once.

Apart from the service, so that a command which only reads the database loads no server.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from storecredit.postgres.errors import DatabaseMisconfigured, DatabaseUnavailable
from storecredit.postgres.pacing import backoff
from storecredit.postgres.pool import Database
from storecredit.postgres.programs.wal_receiver import WalReceiver
from storecredit.postgres.schema import privileges
from storecredit.postgres.schema.buckets import count
from storecredit.postgres.schema.migrate import Migrated, migrate
from storecredit.postgres.schema.schema_version import SchemaState, schema_state
from storecredit.postgres.servers import MIGRATE_FIRST
from storecredit.settings import Settings

COMMAND_WAIT_SECONDS: Final = 5.0
"""How long a command waits; for the service it is a setting."""
QUIET_SECONDS: Final = 1.0
"""A shorter wait is not worth a word."""
RETRY_FIRST_SECONDS: Final = 0.1
RETRY_MAX_SECONDS: Final = 1.0

T = TypeVar("T")


class OpeningStopped(Exception):
    """The database was no longer to be opened."""


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a database that is away is waited for, who is told, and what ends it at once.

    `tell` is called once, with the reason, where that takes longer than a moment.
    """

    tell: Callable[[str], None]
    seconds: float = COMMAND_WAIT_SECONDS
    stop: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def open_database(
    settings: Settings,
    *,
    create: bool = True,
    migrate_external: bool = False,
    may_only_read: bool = False,
    wait: Wait | None = None,
) -> AsyncIterator[Database]:
    """The database the settings name, migrated, for as long as the context lasts.

    The embedded one is started (made, if there is none and `create`) or joined, and migrated; an
    external one is migrated only if `migrate_external`. `may_only_read`: what is done with it needs
    no more of the login than to read. Raises DatabaseUnavailable, after the wait
    if there is to be one, DatabaseMisconfigured, EmbeddedPostgresError, each with a sentence for
    the operator; and OpeningStopped.
    """
    async with AsyncExitStack() as stack:
        prepare: Callable[[], Awaitable[Migrated]] | None = None
        if settings.database_url is not None:
            url = settings.database_url.get_secret_value()
            if migrate_external:
                prepare = partial(migrate, url)
        else:
            postgres = EmbeddedPostgres(settings.data_dir)
            if create:
                settings.data_dir.mkdir(parents=True, exist_ok=True)
            await postgres.start(create=create)
            stack.push_async_callback(postgres.stop)
            await stack.enter_async_context(_kept_on(postgres.supervise()))
            if settings.wal_archive is not None:
                receiver = WalReceiver(settings.data_dir, postgres.admin_url, settings.wal_archive)
                await stack.enter_async_context(_kept_on(receiver.keep_receiving()))
            prepare = partial(migrate, postgres.admin_url, app_may_login=True)
            url = postgres.app_url
        opened = partial(_opened, settings, url, prepare, may_only_read=may_only_read)
        database = await once_there(opened, wait, is_quick=prepare is None)
        stack.push_async_callback(database.close)
        yield database


@asynccontextmanager
async def owner_url(settings: Settings) -> AsyncIterator[str]:
    """The URL of the login that migrates the database of these settings, while it is open.

    Of a database of the service's own, which has to be there, it is its owner's; else the setting.
    """
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    postgres = EmbeddedPostgres(settings.data_dir)
    await postgres.start(create=False)
    try:
        yield postgres.admin_url
    finally:
        await postgres.stop()


async def once_there(
    use: Callable[[], Coroutine[Any, Any, T]], wait: Wait | None, *, is_quick: bool
) -> T:
    """What `use` returns; it is called again as long as it raises DatabaseUnavailable.

    `is_quick` says that whatever takes it long is the database's silence. Raises
    DatabaseUnavailable when the wait is over, OpeningStopped when it is to end, upon which `use` is
    cancelled, and whatever else `use` raises.
    """
    if wait is None:
        return await use()
    give_up_at = asyncio.get_running_loop().time() + wait.seconds
    with _told(wait.tell, is_quick=is_quick) as away:
        for attempt in itertools.count(1):
            try:
                return await _unless(wait.stop, use())
            except DatabaseUnavailable as error:
                left = give_up_at - asyncio.get_running_loop().time()
                if left <= 0:
                    reason, waited = str(error).rstrip("."), f"waited {wait.seconds:g} s for it"
                    raise DatabaseUnavailable(f"{reason} ({waited})") from error
                away(str(error))
            pause = backoff(RETRY_FIRST_SECONDS, attempt, RETRY_MAX_SECONDS)
            await _unless(wait.stop, asyncio.sleep(min(pause, left)))
    raise AssertionError("it counts on")


@contextmanager
def _told(tell: Callable[[str], None], *, is_quick: bool) -> Iterator[Callable[[str], None]]:
    """What to call with each reason; the first one after QUIET_SECONDS is told, or the last before.

    Where nothing failed by then, either, that is a reason if `is_quick`.
    """
    reason = "PostgreSQL does not answer" if is_quick else None
    is_due = is_told = False

    def tell_once() -> None:
        nonlocal is_told
        if is_due and not is_told and reason is not None:
            is_told = True
            tell(reason)

    def come_due() -> None:
        nonlocal is_due
        is_due = True
        tell_once()

    def away(said: str) -> None:
        nonlocal reason
        reason = said
        tell_once()

    timer = asyncio.get_running_loop().call_later(QUIET_SECONDS, come_due)
    try:
        yield away
    finally:
        timer.cancel()


async def _unless(stop: asyncio.Event, use: Coroutine[Any, Any, T]) -> T:
    """What `use` returns, unless `stop` is set first: then it is cancelled, to OpeningStopped."""
    using = asyncio.create_task(use)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({using, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if using.done():
            return using.result()
        raise OpeningStopped
    finally:
        using.cancel()
        stopping.cancel()
        await asyncio.gather(using, stopping, return_exceptions=True)


async def _opened(
    settings: Settings,
    url: str,
    prepare: Callable[[], Awaitable[Migrated]] | None,
    *,
    may_only_read: bool,
) -> Database:
    if prepare is not None:
        await prepare()
    database = await Database.open(url, pool_max=settings.pool_max, may_only_read=may_only_read)
    try:
        # Whoever has just migrated has looked at who may do what.
        await _require_schema(database, is_looked_at=settings.database_url is None)
    except BaseException:
        await database.close()
        raise
    return database


@asynccontextmanager
async def _kept_on(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _require_schema(database: Database, *, is_looked_at: bool) -> None:
    async with database.acquire() as connection:
        if not is_looked_at:
            await privileges.require(connection, database.schema)
        state = await schema_state(connection)
        if state is SchemaState.CURRENT:
            database.bucket_count = await count(connection)
    match state:
        case SchemaState.CURRENT:
            return
        case SchemaState.OUTDATED:
            raise DatabaseMisconfigured(
                f"The database was migrated by an older storecredit: {MIGRATE_FIRST}."
            )
        case SchemaState.MISSING:
            raise DatabaseMisconfigured(f"The database has not been migrated: {MIGRATE_FIRST}.")
