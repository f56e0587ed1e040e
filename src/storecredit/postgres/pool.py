"""A pool of connections to the database, and single ones beside it."""

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self

import asyncpg

from storecredit.postgres import poolers
from storecredit.postgres.errors import DatabaseMisconfigured, DatabaseUnavailable, translated
from storecredit.postgres.nodes import IN_TWO_PHASES
from storecredit.postgres.one_bucket import OneBucket
from storecredit.postgres.servers import (
    COMMAND_TIMEOUT_SECONDS,
    Connection,
    DoubtfulCommits,
    Node,
    Record,
    Servers,
    read_url,
)

WIDE_MAX = 4
"""Connections for transactions that work on several nodes of a Citus cluster."""


@dataclass(frozen=True, slots=True)
class _Transaction:
    database: "Database"
    connection: Connection
    task: "asyncio.Task[Any] | None"


# A task begun inside inherits it, but takes no part: two tasks cannot share a connection.
_under_way: ContextVar[_Transaction | None] = ContextVar("transaction_under_way", default=None)


class DedicatedConnection:
    """One connection beside the pool, whose every statement is a transaction by itself.

    Its methods raise what `Database.acquire` raises: CommitInDoubt, too.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._doubts = DoubtfulCommits()
        connection.add_log_listener(self._doubts)

    async def fetchrow(self, query: str, *args: object) -> Record | None:
        """The first row of one statement, or None."""
        with translated():
            row = await self._connection.fetchrow(query, *args)
        self._doubts.refuse()
        return row

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first column of the first row of one statement, or None."""
        with translated():
            value = await self._connection.fetchval(query, *args)
        self._doubts.refuse()
        return value


@asynccontextmanager
async def of_one_moment(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """A transaction that sees one moment, and writes nothing. Raises StatementCancelled."""
    with translated():
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield


class Database(OneBucket):
    """A pool of connections to one database, each working as `storecredit_app`.

    `await Database.open(url)` connects at once and fails with DatabaseUnavailable or
    DatabaseMisconfigured; every method raises DatabaseUnavailable when the database is away, or no
    longer to be used.
    """

    def __init__(self, servers: Servers, pool_max: int) -> None:
        self._servers = servers
        self._pool_max = pool_max
        self._led_to: Node | None = None
        # What `open` looked around with is the pool's first: a connection costs a process.
        self._kept: asyncpg.Connection | None = None
        self.bucket_count: int | None = None
        """How many buckets the database has, of which this is the first; None: nobody looked."""
        self._pool = asyncpg.create_pool(
            connect=self._connect_for_pool, min_size=0, max_size=pool_max
        )
        # To the coordinator of a Citus cluster, which alone can work on several nodes at once.
        self._wide = asyncpg.create_pool(
            connect=self._connect_widely, min_size=0, max_size=WIDE_MAX
        )

    @classmethod
    async def open(cls, url: str, *, pool_max: int = 8, may_only_read: bool = False) -> Self:
        """Connect at once, and keep at most `pool_max` connections.

        `may_only_read`: also with a login that may work as `storecredit_reader` alone.
        """
        servers = Servers(read_url(url), may_only_read=may_only_read)
        probe = await servers.connect()
        try:
            with translated():
                await poolers.refuse_shared_sessions(probe, servers.connect)
            database = cls(servers, pool_max)
            await database._made()
        except BaseException as error:
            probe.terminate()
            if isinstance(error, poolers.UnfitSession):
                raise DatabaseMisconfigured(str(error)) from error
            raise
        database._kept = probe
        return database

    async def of_bucket(self, number: int) -> "Database":
        """The same database, working in another of its buckets; with a pool of its own."""
        database = Database(self._servers.of_bucket(number), self._pool_max)
        await database._made()
        return database

    async def _made(self) -> None:
        await self._pool
        await self._wide

    def lead_to(self, node: Node | None) -> None:
        """Have it be asked on this node of its Citus cluster; None: through the coordinator."""
        self._servers.lead_to(node)

    @property
    def way(self) -> Node | None:
        """The node that new connections lead to; None where there is one database, for all."""
        return self._servers.way

    @property
    def schema(self) -> str:
        """The schema of the bucket it works in."""
        return self._servers.schema

    @property
    def only_reads(self) -> bool:
        """Whether its login may do no more than read."""
        return self._servers.only_reads

    @property
    def place(self) -> Hashable:
        """Where it is: buckets in one place hear each other's announcements."""
        return self._servers.place

    async def close(self) -> None:
        """Close every connection; those in use are given five seconds, then cut."""
        self._drop_kept()
        try:
            async with asyncio.timeout(5.0):
                await self._pool.close()
                await self._wide.close()
        except TimeoutError:
            self._pool.terminate()
            self._wide.terminate()

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
        transaction = self._transaction()
        if transaction is not None:
            with translated():
                yield transaction.connection
            return
        if self._led_to != self._servers.way:
            self._led_to = self._servers.way
            self._drop_kept()
            await self._pool.expire_connections()
        async with self._acquire(self._pool) as connection:
            yield connection

    @asynccontextmanager
    async def _acquire(self, pool: asyncpg.Pool) -> AsyncIterator[Connection]:
        doubts = DoubtfulCommits()
        with translated():
            async with pool.acquire(timeout=self.connect_seconds) as connection:
                connection.add_log_listener(doubts)
                try:
                    yield connection
                finally:
                    # One that broke is no longer ours, which says less than how it broke.
                    with suppress(asyncpg.InterfaceError):
                        connection.remove_log_listener(doubts)
        doubts.refuse()

    @asynccontextmanager
    async def transaction(self, *, is_wide: bool = False) -> AsyncIterator[None]:
        """One transaction of all that this task asks of this database until the context ends.

        So rooms that know nothing of each other do one thing together. Left by an exception,
        nothing of it is kept. Nor is it where a statement failed, whoever caught that: PostgreSQL
        refuses every further statement, so what is asked last proves that the rest holds.
        `is_wide`: it works in other buckets, too, which may be on other nodes of a Citus cluster.
        One at a time. Raises CommitInDoubt at the end like `acquire`.
        """
        if self._transaction() is not None:
            raise RuntimeError("a transaction of this task is under way")
        is_wide = is_wide and self._servers.is_citus
        async with self._acquire(self._wide) if is_wide else self.acquire() as connection:
            begun = _under_way.set(_Transaction(self, connection, asyncio.current_task()))
            try:
                async with connection.transaction():
                    if is_wide:
                        await connection.execute(IN_TWO_PHASES)
                    yield
            finally:
                _under_way.reset(begun)

    @property
    def in_transaction(self) -> bool:
        """Whether a `transaction()` of this task is under way."""
        return self._transaction() is not None

    def _transaction(self) -> _Transaction | None:
        found = _under_way.get()
        if found is None or found.database is not self:
            return None
        return found if found.task is asyncio.current_task() else None

    async def connect(self, settings: Mapping[str, str] | None = None) -> asyncpg.Connection:
        """A dedicated connection outside the pool, with these settings of the session besides ours.

        The caller closes it.
        """
        with _not_now():
            return await self._servers.connect(settings=settings)

    @asynccontextmanager
    async def dedicated(
        self, settings: Mapping[str, str] | None = None
    ) -> AsyncIterator[DedicatedConnection]:
        """A connection beside the pool, until the context ends; with it go the session's locks.

        `settings` of the session are besides ours.
        """
        connection = await self.connect(settings)
        try:
            yield DedicatedConnection(connection)
        finally:
            # Without waiting: that it ends is what matters.
            connection.terminate()

    @asynccontextmanager
    async def snapshot(self, *, statement_seconds: float) -> AsyncIterator[Connection]:
        """A connection beside the pool that sees one moment: to read at length, and write nothing.

        Raises StatementCancelled where a statement takes longer than `statement_seconds`.
        """
        connection = await self.connect_to_read(statement_seconds)
        try:
            async with of_one_moment(connection):
                yield connection
        finally:
            # Without waiting: there is nothing to be kept.
            connection.terminate()

    async def connect_to_read(self, statement_seconds: float) -> asyncpg.Connection:
        """A connection beside the pool whose statements may take so long; the caller ends it."""
        with _not_now():
            return await self._servers.connect(
                settings={"statement_timeout": f"{statement_seconds * 1000:.0f}ms"},
                # The server is to be the first to give up: its answer says why.
                command_seconds=statement_seconds + COMMAND_TIMEOUT_SECONDS,
            )

    async def is_at_work(self, backend_pid: int) -> bool:
        """Whether the server is still busy with what was asked in a session that is silent.

        `backend_pid` is what `pg_backend_pid()` said in it; a pooler tells the driver another one.

        Not so if the server is another one by now, or waits for us: then the question or the answer
        was lost on its way, and the session that is left behind is ended.
        """
        # As the login itself: only it sees what its sessions do.
        with _not_now():
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

    def _drop_kept(self) -> None:
        if self._kept is not None:
            self._kept.terminate()
            self._kept = None

    async def _connect_widely(self, *_args: object, **_options: object) -> asyncpg.Connection:
        """Likewise, for transactions that work in several buckets."""
        with _not_now():
            return await self._servers.of_coordinator().connect()

    async def _connect_for_pool(self, *_args: object, **_options: object) -> asyncpg.Connection:
        """What the pool calls for a new connection, with arguments for a connection of its own."""
        kept, self._kept = self._kept, None
        if kept is not None and not kept.is_closed():
            return kept
        with _not_now():
            return await self._servers.connect()


@contextmanager
def _not_now() -> Iterator[None]:
    """What could be used when it was opened has been changed, and may be changed back.

    A password, a right, a pooler: whoever asks is told to come again, and the log says why.
    """
    try:
        yield
    except DatabaseMisconfigured as error:
        raise DatabaseUnavailable(str(error)) from error


async def _is_active(connection: asyncpg.Connection, pid: int) -> bool:
    """Whether the session with this process id works; ended if it is there and does not."""
    state = await connection.fetchval(
        "SELECT coalesce(state, '') FROM pg_stat_activity WHERE pid = $1", pid
    )
    if state is None or state in {"active", "disabled"}:
        return state is not None
    await connection.fetchval("SELECT pg_terminate_backend($1::int)", pid)
    return False
