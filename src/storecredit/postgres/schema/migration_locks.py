"""What a migration waits for, for how long, and who keeps it waiting.

One migration at a time: a second one waits for its turn, and keeps nobody else waiting. A table
that another session keeps (a report, a dump, a transaction that somebody forgot) is another matter:
PostgreSQL lets nobody read it who comes after a migration that waits for it. So that wait is short,
whatever has been locked is given back after it, and the whole is tried again a few times.

All locks end with their transaction: none is left behind in a pooler that shares sessions out.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import asyncpg

from storecredit import telemetry
from storecredit.postgres.errors import DatabaseError, DatabaseMisconfigured
from storecredit.postgres.pacing import backoff
from storecredit.postgres.servers import SCHEMA, connect, search_path

TURN_SECONDS: Final = 60.0
"""How long a migration waits for the one before it."""
TABLE_SECONDS: Final = 2.0
"""How long it waits for a table, and with it whoever wants that table."""
TRIES_MAX: Final = 10
PAUSE_FIRST_SECONDS: Final = 1.0
PAUSE_MAX_SECONDS: Final = 4.0
"""Between two tries everybody else comes to what was waited for."""
LOOK_AFTER_SECONDS: Final = 0.5
LOOK_INTERVAL_SECONDS: Final = 0.5

# Any fixed number, the same for every storecredit.
_LOCK: Final = 7_235_411_909
# What a login may be limited in, besides. PostgreSQL has not known all of them for as long.
_UNLIMITED: Final = """
    SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN
        ('lock_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout')"""
_NOBODY: Final = "a session that nobody saw"
# One's own sessions are seen in full, of others less (PostgreSQL documentation, 27.2.3). A prepared
# transaction has no process: its number is 0.
_BLOCKER: Final = """
    SELECT blocking.pid, a.application_name, a.state,
        to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"') AS since
    FROM unnest(pg_blocking_pids($1)) blocking (pid) LEFT JOIN pg_stat_activity a USING (pid)
    ORDER BY a.xact_start NULLS LAST LIMIT 1"""

T = TypeVar("T")

log = telemetry.get_logger("postgres.migration_locks")


@asynccontextmanager
async def prepared(connection: asyncpg.Connection, schema: str = SCHEMA) -> AsyncIterator[None]:
    """A transaction with settings of its own, whatever is between us and the server.

    Read committed: what is looked at after waiting is what the one before has left.
    """
    async with connection.transaction(isolation="read_committed"):
        # A host may limit what a login's statements take, and ledgers grow. What lifts that comes
        # first, and looks nothing up: the limit still holds for it.
        # And in a Citus cluster each node is looked after by itself; elsewhere nobody reads that.
        await connection.execute(
            "SET LOCAL statement_timeout = 0; SET LOCAL citus.enable_ddl_propagation = off"
        )
        await connection.execute(_UNLIMITED)
        # Once more, should a pooler in between have kept it to itself.
        await connection.execute(f"SET LOCAL search_path = {search_path(schema)}")
        yield


class Onlooker:
    """Sees who keeps a migration waiting, on a connection of its own, made when it takes longer."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.blocker = _NOBODY
        """The last one who was seen, for a sentence."""

    @asynccontextmanager
    async def watching(self, connection: asyncpg.Connection) -> AsyncIterator[None]:
        """While the context lasts; `connection` is in a transaction."""
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        looking = asyncio.create_task(self._look(pid))
        try:
            yield
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking

    async def _look(self, pid: int) -> None:
        await asyncio.sleep(LOOK_AFTER_SECONDS)
        try:
            connection = await connect(self._url, as_app=False)
        except DatabaseError as error:
            log.info("migration_not_watched", reason=str(error))
            return
        try:
            while True:
                async with connection.transaction(readonly=True):
                    row = await connection.fetchrow(_BLOCKER, pid)
                if row is not None:
                    self._see(row)
                await asyncio.sleep(LOOK_INTERVAL_SECONDS)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            log.info("migration_not_watched", reason=str(error))
        finally:
            connection.terminate()

    def _see(self, row: asyncpg.Record) -> None:
        seen = in_words(row)
        if seen != self.blocker:
            self.blocker = seen
            log.warning("migration_waits", blocker=seen)


def in_words(row: asyncpg.Record) -> str:
    """A session that was found in the way, for a sentence."""
    if row["pid"] == 0:
        return "a prepared transaction (pg_prepared_xacts)"
    since = row["since"] and f"since {row['since']}"
    known = [each for each in (row["application_name"], row["state"], since) if each]
    return f"process {row['pid']}" + (f" ({', '.join(known)})" if known else "")


async def take_turn(connection: asyncpg.Connection, onlooker: Onlooker) -> None:
    """Wait for the migration under way, if there is one; the turn ends with the transaction.

    From then on the transaction waits for any other lock no longer than it may. Raises
    DatabaseMisconfigured.
    """
    await _limit_waits(connection, TURN_SECONDS)
    try:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    except asyncpg.LockNotAvailableError as error:
        raise DatabaseMisconfigured(
            f"Another migration of this database is under way, and did not end within "
            f"{TURN_SECONDS:g} s: {onlooker.blocker}; nothing was changed: let it end, or end it, "
            "and migrate again."
        ) from error
    # A session hears of what others made when a transaction begins, and when it locks a relation
    # (AcceptInvalidationMessages): it would still know from before the wait that there is nothing.
    await connection.execute("SELECT FROM pg_namespace LIMIT 0")
    await _limit_waits(connection, TABLE_SECONDS)


async def tried_again(attempt: Callable[[], Awaitable[T]], onlooker: Onlooker) -> T:
    """What `attempt` returns; it is called again when it has waited too long for a lock.

    It undoes what it did then. Raises DatabaseMisconfigured.
    """
    for number in itertools.count(1):
        try:
            return await attempt()
        except asyncpg.LockNotAvailableError as error:
            log.warning("migration_held_up", blocker=onlooker.blocker, attempt=number)
            if number == TRIES_MAX:
                raise DatabaseMisconfigured(
                    f"The migration needs what another session keeps: {onlooker.blocker}; it was "
                    f"tried {TRIES_MAX} times, and nothing was changed: end that transaction, and "
                    "migrate again."
                ) from error
        await asyncio.sleep(backoff(PAUSE_FIRST_SECONDS, number, PAUSE_MAX_SECONDS))
    raise AssertionError("it counts on")


async def _limit_waits(connection: asyncpg.Connection, seconds: float) -> None:
    await connection.execute(f"SET LOCAL lock_timeout = {round(seconds * 1000)}")
