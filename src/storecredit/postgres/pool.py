"""Connections to PostgreSQL, all of them working as the role `storecredit_app`.

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
from typing import Any, Final

import asyncpg
import asyncpg.pool

APP_ROLE: Final = "storecredit_app"
CONNECT_TIMEOUT_SECONDS: Final = 5.0
COMMAND_TIMEOUT_SECONDS: Final = 10.0
OLDEST_SUPPORTED: Final = 15

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


async def connect(url: str, *, as_app: bool = True) -> asyncpg.Connection:
    """Open one connection; as the application's role unless `as_app` is false (migrations).

    Raises DatabaseUnavailable, or DatabaseMisconfigured when the login is refused.
    """
    try:
        with translated():
            return await asyncpg.connect(
                url,
                timeout=CONNECT_TIMEOUT_SECONDS,
                command_timeout=COMMAND_TIMEOUT_SECONDS if as_app else None,
                server_settings=_session_settings(as_app=as_app),
            )
    except (
        asyncpg.InvalidAuthorizationSpecificationError,  # 28xxx: password, role, pg_hba
        asyncpg.InvalidCatalogNameError,  # 3D000: no such database
        asyncpg.InsufficientPrivilegeError,  # 42501: may not become the role
        asyncpg.InvalidParameterValueError,  # 22023: the role does not exist
        asyncpg.UndefinedObjectError,  # 42704: the URL sets a parameter that there is not
        asyncpg.ClientConfigurationError,
        ValueError,  # a URL that is none
        OverflowError,  # a port that is none
    ) as error:
        raise DatabaseMisconfigured(_login_advice(error)) from error


def _session_settings(*, as_app: bool) -> dict[str, str]:
    settings = {"application_name": "storecredit"}
    if as_app:
        # As a start-up parameter the role is what RESET ROLE returns to.
        settings["role"] = APP_ROLE
    return settings


def _login_advice(error: Exception) -> str:
    if "role" in str(error) and APP_ROLE in str(error):
        return (
            f"The database has no usable role {APP_ROLE} ({error}): run `storecredit migrate` with "
            f"this database URL, or grant {APP_ROLE} to the login role."
        )
    if isinstance(error, asyncpg.PostgresError):
        return f"PostgreSQL refuses the connection: {error}. Check the database URL."
    if isinstance(error, asyncpg.ClientConfigurationError):
        return f"The database URL cannot be used: {error}."
    # The error itself may quote a part of the password.
    return (
        "The database URL cannot be read: it is like postgresql://user:password@host:5432/name, "
        "with special characters in the password percent-encoded."
    )


class Database:
    """A pool of connections to one database, each working as `storecredit_app`.

    `await Database.open(url)` connects at once and fails with DatabaseUnavailable or
    DatabaseMisconfigured; every method raises DatabaseUnavailable when the database is away.
    """

    def __init__(self, url: str, pool: asyncpg.Pool) -> None:
        self._url = url
        self._pool = pool

    @classmethod
    async def open(cls, url: str, *, pool_max: int = 8) -> "Database":
        """Connect, check the server's version, and keep at most `pool_max` connections."""
        probe = await connect(url)
        await probe.close()
        check_version(probe.get_server_version().major)
        pool = asyncpg.create_pool(
            url,
            min_size=0,
            max_size=pool_max,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            server_settings=_session_settings(as_app=True),
        )
        await pool
        return cls(url, pool)

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
            async with self._pool.acquire(timeout=CONNECT_TIMEOUT_SECONDS) as connection:
                yield connection

    async def connect(self) -> asyncpg.Connection:
        """A dedicated connection outside the pool; the caller closes it."""
        return await connect(self._url)

    @property
    def pool(self) -> asyncpg.Pool:
        """The driver's pool, for this room only (the job queue works on it)."""
        return self._pool


def check_version(major: int) -> None:
    """Raise DatabaseMisconfigured when the server is older than what is supported."""
    if major < OLDEST_SUPPORTED:
        raise DatabaseMisconfigured(
            f"PostgreSQL {major} is too old: storecredit needs {OLDEST_SUPPORTED} or later."
        )
