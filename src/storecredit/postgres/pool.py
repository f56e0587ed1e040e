"""Connections to PostgreSQL, all of them working as the role `storecredit_app` in our schema.

Hides the driver and its many exceptions. What can go wrong is said in three ways:

    DatabaseError
    ├── DatabaseUnavailable   away, starting up, connection lost, no answer in time
    ├── DatabaseMisconfigured reachable, but not usable: one sentence says what to do
    └── StatementRefused      a function of ours refused; `sqlstate` says which of the known errors

Anything else the driver raises is a defect and passes through unchanged.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final

import asyncpg
import asyncpg.pool

from storecredit.postgres import poolers
from storecredit.postgres.database_url import UNREADABLE, DatabaseUrl, WrongDatabaseUrl

APP_ROLE: Final = "storecredit_app"
WRITER_ROLE: Final = "storecredit_writer"
"""Owns the functions, and may do what they do; nobody logs in as it."""
SCHEMA: Final = "storecredit"
SEARCH_PATH: Final = f"{SCHEMA}, pg_temp"
"""Said here only: no statement names a schema. What a session makes for itself comes last."""
# A plan lives as long as its connection, or until ANALYZE: one made while a table held a page would
# read all of it when it has grown. The service looks rows up: an index serves all its statements.
_APP_SETTINGS: Final = {
    "role": APP_ROLE,
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    # A snapshot of before the wait for an account's lock would not show what was moved meanwhile.
    "default_transaction_isolation": "read committed",
}
_ASKED_FOR: Final = {"search_path": SEARCH_PATH} | _APP_SETTINGS
COMMAND_TIMEOUT_SECONDS: Final = 10.0
OLDEST_SUPPORTED: Final = 15
MIGRATE_FIRST: Final = "run `storecredit migrate`, or `storecredit serve --migrate`"
"""What the operator is to do."""

# SQLSTATEs that say "not now" (PostgreSQL documentation, appendix A). By class: connection
# exception, insufficient resources, operator intervention (a cancelled statement too), system
# error; and of a session ended for its time: idle_in_transaction_session_timeout and
# transaction_timeout.
_AWAY_CLASSES: Final = frozenset({"08", "53", "57", "58"})
_AWAY: Final = frozenset({"25P03", "25P04"})
# serialization_failure, deadlock_detected, lock_not_available: the same statement may succeed now.
_TRANSIENT: Final = frozenset({"40001", "40P01", "55P03"})

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
Record = asyncpg.Record


class DatabaseError(Exception):
    """The database could not do what was asked."""


class DatabaseUnavailable(DatabaseError):
    """PostgreSQL is away, starting up, out of connections, or did not answer in time."""


class DatabaseMisconfigured(DatabaseError):
    """PostgreSQL answers, but cannot be used; the message is one sentence for the operator."""


class StatementRefused(DatabaseError):
    """A function of ours ended with one of its known errors (SQLSTATE class SC)."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


def is_transient(error: BaseException) -> bool:
    """Whether the same batch may simply be tried again on the same connection."""
    return getattr(error, "sqlstate", None) in _TRANSIENT


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's exceptions into this module's."""
    try:
        yield
    except asyncpg.PostgresError as error:
        # The detail quotes values of the row: a prompt, an image URL. It must not reach a log.
        error.detail = None
        sqlstate = error.sqlstate or ""
        if sqlstate.startswith("SC"):
            raise StatementRefused(sqlstate, str(error)) from error
        if sqlstate in _AWAY or sqlstate[:2] in _AWAY_CLASSES:
            raise DatabaseUnavailable(f"PostgreSQL is not available: {error}") from error
        raise
    except (asyncpg.DataError, asyncpg.ClientConfigurationError):
        raise  # a wrong argument: a defect, although the driver counts it as an interface error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        # InternalClientError: among others, the connection is told to be closed, and not closed
        # yet ("another operation is in progress"). Whatever it is, the connection is not usable.
        reason = str(error) or type(error).__name__
        raise DatabaseUnavailable(f"PostgreSQL is not available: {reason}") from error


async def connect(url: str | DatabaseUrl, *, as_app: bool = True) -> asyncpg.Connection:
    """Open one connection; as the application's role unless `as_app` is false (migrations).

    Raises DatabaseUnavailable, or DatabaseMisconfigured when the login is refused.
    """
    target = read_url(url) if isinstance(url, str) else url
    try:
        with translated():
            return await asyncpg.connect(
                **target.asyncpg,
                timeout=target.connect_seconds,
                command_timeout=COMMAND_TIMEOUT_SECONDS if as_app else None,
                server_settings=_session_settings(target, as_app=as_app),
            )
    except (
        asyncpg.PostgresError,  # password, role, pg_hba, no such database or setting
        asyncpg.ClientConfigurationError,
        ValueError,
    ) as error:
        raise DatabaseMisconfigured(_login_advice(error, target)) from error
    except DatabaseUnavailable as error:
        sentence = poolers.refusal_of_parameters(str(error))
        if sentence is None:
            raise
        raise DatabaseMisconfigured(sentence) from error


def read_url(url: str) -> DatabaseUrl:
    """What a database URL says. Raises DatabaseMisconfigured."""
    try:
        return DatabaseUrl.read(url)
    except WrongDatabaseUrl as error:
        raise DatabaseMisconfigured(str(error)) from error


def _session_settings(url: DatabaseUrl, *, as_app: bool) -> dict[str, str]:
    # As start-up parameters they are what RESET returns to.
    ours = _ASKED_FOR if as_app else {"search_path": SEARCH_PATH}
    return {**url.server_settings, **ours}


def _login_advice(error: Exception, url: DatabaseUrl) -> str:
    said = str(error).split("\n", maxsplit=1)[0]  # what follows is advice on the server
    if "role" in said and APP_ROLE in said:
        return (
            f"The database has not been migrated: {MIGRATE_FIRST}. Or this login may not work as "
            f"{APP_ROLE}, and is to be granted it. PostgreSQL says {said}."
        )
    if isinstance(error, asyncpg.PostgresError):
        for name in url.server_settings:
            if f'"{name}"' in said:
                return f"Drop {name} from the database URL, or mend it: PostgreSQL says {said}."
        return f"PostgreSQL refuses the connection: {said}. Check the database URL."
    if isinstance(error, asyncpg.ClientConfigurationError):
        return f"The database URL cannot be used: {said}."
    return UNREADABLE  # the error itself may quote a part of the password


class Database:
    """A pool of connections to one database, each working as `storecredit_app`.

    `await Database.open(url)` connects at once and fails with DatabaseUnavailable or
    DatabaseMisconfigured; every method raises DatabaseUnavailable when the database is away.
    """

    def __init__(self, url: DatabaseUrl, pool: asyncpg.Pool) -> None:
        self._url = url
        self._pool = pool

    @classmethod
    async def open(cls, url: str, *, pool_max: int = 8) -> "Database":
        """Connect, check the server's version, and keep at most `pool_max` connections."""
        target = read_url(url)
        probe = await connect(target)
        try:
            check_version(probe.get_server_version().major)
            with _sessions_fit():
                await poolers.refuse_unfit(probe, _ASKED_FOR)
                await poolers.refuse_shared_sessions(probe, partial(connect, target))
        finally:
            await probe.close()
        pool = asyncpg.create_pool(
            **target.asyncpg,
            min_size=0,
            max_size=pool_max,
            timeout=target.connect_seconds,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            server_settings=_session_settings(target, as_app=True),
        )
        await pool
        return cls(target, pool)

    async def close(self) -> None:
        """Close every connection; those in use are given five seconds, then cut."""
        try:
            await asyncio.wait_for(self._pool.close(), timeout=5.0)
        except TimeoutError:
            self._pool.terminate()

    async def fetch(self, query: str, *args: object) -> list[Record]:
        """All rows of one statement."""
        async with self.acquire() as connection:
            rows: list[Record] = await connection.fetch(query, *args)
            return rows

    async def fetchrow(self, query: str, *args: object) -> Record | None:
        """The first row of one statement, or None."""
        async with self.acquire() as connection:
            return await connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first column of the first row of one statement, or None."""
        async with self.acquire() as connection:
            return await connection.fetchval(query, *args)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """A connection from the pool, for a transaction of several statements."""
        with translated():
            async with self._pool.acquire(timeout=self._url.connect_seconds) as connection:
                yield connection

    async def connect(self) -> asyncpg.Connection:
        """A dedicated connection outside the pool; the caller closes it."""
        return await connect(self._url)

    @property
    def connect_seconds(self) -> int:
        """How long a connection may take to be made."""
        return self._url.connect_seconds

    @property
    def pool(self) -> asyncpg.Pool:
        """The driver's pool, for this room only (the job queue works on it)."""
        return self._pool


@contextmanager
def _sessions_fit() -> Iterator[None]:
    try:
        with translated():
            yield
    except poolers.UnfitSession as error:
        raise DatabaseMisconfigured(str(error)) from error


def check_version(major: int) -> None:
    """Raise DatabaseMisconfigured when the server is older than what is supported."""
    if major < OLDEST_SUPPORTED:
        raise DatabaseMisconfigured(
            f"PostgreSQL {major} is too old: storecredit needs {OLDEST_SUPPORTED} or later."
        )
