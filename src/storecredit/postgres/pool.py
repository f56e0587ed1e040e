"""Connections to PostgreSQL, all of them working as the role `storecredit_app` in our schema.

Hides the driver and its many exceptions. What can go wrong is said in three ways:

    DatabaseError
    ├── DatabaseUnavailable   away, starting up, a standby, connection lost, no answer in time
    │   ├── LockTimedOut      somebody else holds what was to be locked; nothing was done
    │   └── CommitInDoubt     done here, and perhaps on no standby: a failover may undo it
    ├── DatabaseMisconfigured reachable, but not usable: one sentence says what to do
    └── StatementRefused      a function of ours refused; `sqlstate` says which of the known errors

Anything else the driver raises is a defect and passes through unchanged.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Self

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
    # `DoubtfulCommits` has to hear a warning.
    "client_min_messages": "warning",
}
_ASKED_FOR: Final = {"search_path": SEARCH_PATH} | _APP_SETTINGS
COMMAND_TIMEOUT_SECONDS: Final = 10.0
OLDEST_SUPPORTED: Final = 15
MIGRATE_FIRST: Final = "run `storecredit migrate`, or `storecredit serve --migrate`"
"""What the operator is to do."""

# SQLSTATEs that say "not now" (PostgreSQL documentation, appendix A). By class: connection
# exception, insufficient resources, operator intervention (a cancelled statement too), system
# error; and of a session ended for its time: idle_in_transaction_session_timeout and
# transaction_timeout; and of a server that only reads for now: read_only_sql_transaction.
_AWAY_CLASSES: Final = frozenset({"08", "53", "57", "58"})
_AWAY: Final = frozenset({"25P03", "25P04", "25006"})
_LOCK_NOT_AVAILABLE: Final = "55P03"
# serialization_failure, deadlock_detected: the same statement may succeed now.
_TRANSIENT: Final = frozenset({"40001", "40P01"})

_NOT_AVAILABLE: Final = "PostgreSQL is not available: "

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
Record = asyncpg.Record


class DatabaseError(Exception):
    """The database could not do what was asked."""


class DatabaseUnavailable(DatabaseError):
    """PostgreSQL is away, starting up, a standby, out of connections, or did not answer in time."""


class LockTimedOut(DatabaseUnavailable):
    """Somebody else holds what was to be locked; the transaction is rolled back."""


class CommitInDoubt(DatabaseUnavailable):
    """Committed here, but PostgreSQL stopped waiting for the synchronous standby to have it, too.

    A failover may undo it. The same request sent again waits for the standby anew.
    """


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
        if sqlstate == _LOCK_NOT_AVAILABLE:
            raise LockTimedOut(f"another transaction is in the way: {error}") from error
        if sqlstate in _AWAY or sqlstate[:2] in _AWAY_CLASSES:
            raise DatabaseUnavailable(f"{_NOT_AVAILABLE}{error}") from error
        raise
    except (asyncpg.DataError, asyncpg.ClientConfigurationError):
        raise  # a wrong argument: a defect, although the driver counts it as an interface error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        # InternalClientError: among others, the connection is told to be closed, and not closed
        # yet ("another operation is in progress"). Whatever it is, the connection is not usable.
        reason = str(error) or type(error).__name__
        raise DatabaseUnavailable(f"{_NOT_AVAILABLE}{reason}") from error


class DoubtfulCommits:
    """Hears on a connection whether PostgreSQL ended a wait for its synchronous standby early.

    When somebody cancels a session that waits (pg_cancel_backend, statement_timeout, a client),
    the server answers success, with a warning: the transaction is committed here, and might not be
    on the standby. Its words are translated; the name of the function that says so, in PostgreSQL's
    src/backend/replication/syncrep.c, is not.
    """

    def __init__(self) -> None:
        self._heard = False

    def __call__(self, _connection: object, message: object) -> None:
        """Take a message of the server's; asyncpg hands it on before the statement's own answer."""
        if getattr(message, "server_source_function", None) == "SyncRepWaitForLSN":
            self._heard = True

    def refuse(self) -> None:
        """Raise CommitInDoubt if there was one since the last time."""
        if self._heard:
            self._heard = False
            raise CommitInDoubt("PostgreSQL stopped waiting for its synchronous standby")


class Servers:
    """The servers that one URL names: connections are made to the one that takes writes now.

    They are asked in their order, each within its own time limit, and first of all the one that it
    was last. One that is away, silent, starting up or a standby is passed over; one that refuses
    the login is not, as it would be of no use to ask another.
    """

    def __init__(self, url: DatabaseUrl) -> None:
        self._url = url
        self._primary = 0

    @property
    def connect_seconds(self) -> int:
        """How long a connection may take to be made: all servers may have to be asked."""
        return self._url.connect_seconds * len(self._url.servers)

    async def connect(
        self, *, as_app: bool = True, settings: Mapping[str, str] | None = None
    ) -> asyncpg.Connection:
        """Open one connection; as the application's role unless `as_app` is false.

        `settings` are the session's, besides ours. Raises DatabaseUnavailable, or
        DatabaseMisconfigured when the login is refused.
        """
        count = len(self._url.servers)
        refusals: list[str] = []
        for number in range(self._primary, self._primary + count):
            place = number % count
            try:
                connection = await self._connect_to(place, as_app=as_app, settings=settings or {})
            except DatabaseUnavailable as error:
                if count == 1:
                    raise
                host = self._url.servers[place].get("host")
                refusals.append(f"{host}: {str(error).removeprefix(_NOT_AVAILABLE)}")
            else:
                self._primary = place
                return connection
        raise DatabaseUnavailable(f"{_NOT_AVAILABLE}{'; '.join(refusals)}")

    async def _connect_to(
        self, place: int, *, as_app: bool, settings: Mapping[str, str]
    ) -> asyncpg.Connection:
        url = self._url
        try:
            with translated():
                async with asyncio.timeout(url.connect_seconds):
                    connection: asyncpg.Connection = await asyncpg.connect(
                        **url.servers[place],
                        command_timeout=COMMAND_TIMEOUT_SECONDS if as_app else None,
                        server_settings={**_session_settings(url, as_app=as_app), **settings},
                    )
                    try:
                        await _check_session(connection, url, as_app=as_app)
                    except BaseException:
                        connection.terminate()
                        raise
                    return connection
        except (
            asyncpg.PostgresError,  # password, role, pg_hba, no such database or setting
            asyncpg.ClientConfigurationError,
            ValueError,
        ) as error:
            raise DatabaseMisconfigured(_login_advice(error, url)) from error
        except poolers.UnfitSession as error:
            raise DatabaseMisconfigured(str(error)) from error
        except DatabaseUnavailable as error:
            sentence = poolers.refusal_of_parameters(str(error))
            if sentence is None:
                raise
            raise DatabaseMisconfigured(sentence) from error


async def connect(url: str, *, as_app: bool = True) -> asyncpg.Connection:
    """Open one connection, as `Servers` does."""
    return await Servers(read_url(url)).connect(as_app=as_app)


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


async def _check_session(connection: asyncpg.Connection, url: DatabaseUrl, *, as_app: bool) -> None:
    """Raise DatabaseUnavailable of a server that takes no writes now, UnfitSession of a pooler."""
    check_version(connection.get_server_version().major)
    # Servers say both of themselves at the start; a pooler may not.
    said = connection.get_settings()
    is_standby = getattr(said, "in_hot_standby", None)
    if is_standby is None:
        is_standby = await connection.fetchval("SHOW in_hot_standby")
    if is_standby == "on":
        raise DatabaseUnavailable(f"{_NOT_AVAILABLE}this server is a standby, and takes no writes")
    only_reads = getattr(said, "default_transaction_read_only", "off") == "on"
    if only_reads and url.must_be_writable:
        raise DatabaseUnavailable(f"{_NOT_AVAILABLE}this server takes no writes for now")
    if as_app:
        await poolers.refuse_unfit(connection, _ASKED_FOR)


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

    def __init__(self, servers: Servers, pool_max: int) -> None:
        self._servers = servers
        self._pool = asyncpg.create_pool(
            connect=self._connect_for_pool, min_size=0, max_size=pool_max
        )

    @classmethod
    async def open(cls, url: str, *, pool_max: int = 8) -> Self:
        """Connect at once, and keep at most `pool_max` connections."""
        servers = Servers(read_url(url))
        probe = await servers.connect()
        try:
            with translated():
                await poolers.refuse_shared_sessions(probe, servers.connect)
        except poolers.UnfitSession as error:
            raise DatabaseMisconfigured(str(error)) from error
        finally:
            await probe.close()
        database = cls(servers, pool_max)
        await database.pool
        return database

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
        """A connection from the pool, for a transaction of several statements.

        Raises CommitInDoubt at the end if what was committed may not be kept.
        """
        doubts = DoubtfulCommits()
        with translated():
            async with self._pool.acquire(timeout=self.connect_seconds) as connection:
                connection.add_log_listener(doubts)
                try:
                    yield connection
                finally:
                    connection.remove_log_listener(doubts)
        doubts.refuse()

    async def connect(self, settings: Mapping[str, str] | None = None) -> asyncpg.Connection:
        """A dedicated connection outside the pool, with these settings of the session besides ours.

        The caller closes it.
        """
        return await self._servers.connect(settings=settings)

    async def is_at_work(self, backend_pid: int) -> bool:
        """Whether the server is still busy with what was asked in a session that is silent.

        `backend_pid` is what `pg_backend_pid()` said in it; a pooler tells the driver another one.

        Not so if the server is another one by now, or waits for us: then the question or the answer
        was lost on its way, and the session that is left behind is ended.
        """
        # As the login itself: only it sees what its sessions do.
        looking = await self._servers.connect(as_app=False)
        try:
            with translated():
                return await _is_active(looking, backend_pid)
        finally:
            looking.terminate()

    @property
    def connect_seconds(self) -> int:
        """How long a connection may take to be made."""
        return self._servers.connect_seconds

    @property
    def pool(self) -> asyncpg.Pool:
        """The driver's pool, for this room only (the job queue works on it)."""
        return self._pool

    async def _connect_for_pool(self, *_args: object, **_options: object) -> asyncpg.Connection:
        """What the pool calls for a new connection, with arguments for a connection of its own."""
        return await self._servers.connect()


async def _is_active(connection: asyncpg.Connection, pid: int) -> bool:
    """Whether the session with this process id works; ended if it is there and does not."""
    state = await connection.fetchval(
        "SELECT coalesce(state, '') FROM pg_stat_activity WHERE pid = $1", pid
    )
    if state is None or state in {"active", "disabled"}:
        return state is not None
    await connection.fetchval("SELECT pg_terminate_backend($1)", pid)
    return False


def check_version(major: int) -> None:
    """Raise DatabaseMisconfigured when the server is older than what is supported."""
    if major < OLDEST_SUPPORTED:
        raise DatabaseMisconfigured(
            f"PostgreSQL {major} is too old: storecredit needs {OLDEST_SUPPORTED} or later."
        )
