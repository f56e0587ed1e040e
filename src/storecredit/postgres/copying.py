"""Rows copied by COPY: out of somebody else's database, and into tables of a session of ours.

Somebody else's is only read, in one snapshot, and by the login that the URL names: its tables are
not ours, and may not be open to our role. Where rows are hidden from that login it fails: what is
not seen would be lost.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Literal

import asyncpg

from storecredit.postgres.errors import (
    DatabaseError,
    DatabaseMisconfigured,
    DatabaseUnavailable,
    translated,
)
from storecredit.postgres.servers import WRITER_ROLE, Record, Servers, read_url

STATEMENT_SECONDS: Final = 3600.0
CHUNKS_WAITING: Final = 8
"""Pieces of what is copied that wait for the other side, at most."""
Format = Literal["binary", "csv"]
Take = Callable[[bytes], Coroutine[Any, Any, None]]

_TYPES: Final = """
    SELECT a.attname::text AS name, format_type(a.atttypid, NULL) AS type
    FROM pg_attribute a
    WHERE a.attrelid = to_regclass(format('%I.%I', $1::text, $2::text))
      AND a.attnum > 0 AND NOT a.attisdropped"""
# All rows of a table, which are sorted and joined whole: not what the service's settings are for.
_WHOLE_TABLES: Final = {
    "enable_seqscan": "on",
    "enable_bitmapscan": "on",
    "work_mem": "256MB",
    "temp_buffers": "64MB",
    "jit": "off",
    # Of a client that was killed, nothing goes on.
    "client_connection_check_interval": "1s",
    "default_transaction_isolation": "read committed",
    # Whoever migrates may act as it: it owns the functions, and is what they write as.
    "role": WRITER_ROLE,
}
_PLACE: Final = re.compile(r"COPY \w+, line (\d+)(?:, column (\w+))?")


class CannotCopy(Exception):
    """What is to be copied cannot be read, or not be what it ought to; a sentence for people."""


class OtherDatabase:
    """Somebody else's database, as it was when it was opened."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def column_types(self, schema: str, table: str) -> dict[str, str]:
        """The columns of a table and their types; empty: there is no such table."""
        with _told(table):
            rows = await self._connection.fetch(_TYPES, schema, table)
        return {row["name"]: row["type"] for row in rows}

    async def copy_out(self, table: str, query: str, take: Take) -> None:
        """Hand over what a query answers, piece by piece, in PostgreSQL's binary format.

        `table` is what an error is about. Raises CannotCopy, DatabaseUnavailable.
        """
        with _told(table):
            await self._connection.copy_from_query(
                query, output=take, format="binary", timeout=STATEMENT_SECONDS
            )


@asynccontextmanager
async def other_database(url: str) -> AsyncIterator[OtherDatabase]:
    """Open one, to be read. Raises DatabaseUnavailable, DatabaseMisconfigured."""
    connection = await _connected(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute("SET LOCAL row_security = off")
            yield OtherDatabase(connection)
    finally:
        connection.terminate()


class CopySession:
    """One session of ours that rows are copied into, and whose tables go with it."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def copy_in(
        self,
        table: str,
        columns: Sequence[str],
        pieces: AsyncIterator[bytes],
        *,
        format: Format,  # noqa: A002 - as COPY calls it
        named: str,
    ) -> int:
        """Copy pieces into a table, and return how many rows that were; `named`: for an error."""
        with _told(named):
            done: str = await self._connection.copy_to_table(
                table,
                source=pieces,
                columns=list(columns),
                format=format,
                timeout=STATEMENT_SECONDS,
            )
        return int(done.rpartition(" ")[2])

    async def fetch(self, query: str, *args: object) -> list[Record]:
        """All rows of one statement, which is a transaction by itself."""
        with translated():
            rows: list[Record] = await self._connection.fetch(
                query, *args, timeout=STATEMENT_SECONDS
            )
            return rows

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first column of the first row of one statement, likewise."""
        with translated():
            return await self._connection.fetchval(query, *args, timeout=STATEMENT_SECONDS)

    async def decide(self, named: str, query: str, *args: object) -> Any:
        """The value of a statement that may refuse what was copied; `named`: for an error.

        Raises CannotCopy, with a sentence.
        """
        with _told(named):
            return await self._connection.fetchval(query, *args, timeout=STATEMENT_SECONDS)


@asynccontextmanager
async def copy_session(url: str) -> AsyncIterator[CopySession]:
    """One session as `storecredit_writer`; what it lays down in tables of its own goes with it.

    `url` is of a login that may migrate. Raises DatabaseMisconfigured for any other.
    """
    try:
        connection = await Servers(read_url(url)).connect(as_app=False, settings=_WHOLE_TABLES)
    except DatabaseMisconfigured as error:
        raise DatabaseMisconfigured(
            f"{error} An import writes whole ledgers: it takes the login that migrates."
        ) from error
    try:
        yield CopySession(connection)
    finally:
        connection.terminate()


async def pipe(
    out: Callable[[Take], Awaitable[None]],
    into: Callable[[AsyncIterator[bytes]], Awaitable[int]],
) -> int:
    """Have one side take what the other hands over, and return how many rows it took."""
    waiting: asyncio.Queue[bytes | None] = asyncio.Queue(CHUNKS_WAITING)

    async def hand_over() -> None:
        await out(waiting.put)
        await waiting.put(None)

    async def pieces() -> AsyncIterator[bytes]:
        while (piece := await waiting.get()) is not None:
            yield piece

    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(hand_over())
            copied = both.create_task(_number(into(pieces())))
    except* (CannotCopy, DatabaseError) as errors:
        raise errors.exceptions[0] from None
    return copied.result()


async def _number(copying: Awaitable[int]) -> int:
    return await copying


async def _connected(url: str) -> asyncpg.Connection:
    read = read_url(url)
    refused: list[str] = []
    for server in read.servers:
        try:
            with translated():
                async with asyncio.timeout(read.connect_seconds):
                    return await asyncpg.connect(
                        **server,
                        server_settings=dict(read.server_settings),
                        statement_cache_size=0,
                    )
        except DatabaseUnavailable as error:
            refused.append(str(error))
        except (asyncpg.PostgresError, asyncpg.ClientConfigurationError, ValueError) as error:
            said = str(error).split("\n", maxsplit=1)[0]
            raise DatabaseMisconfigured(
                f"The database to import from refuses the connection: {said}."
            ) from error
    raise DatabaseUnavailable(f"The database to import from is away: {'; '.join(refused)}")


@contextmanager
def _told(named: str) -> Iterator[None]:
    """Turn what is wrong with a table or a file into a sentence."""
    with translated():
        try:
            yield
        except asyncpg.PostgresError as error:
            # Of classes 22 (data), 23 (constraints), 42 (access, names): not of the server's state.
            if (error.sqlstate or "")[:2] not in {"22", "23", "42"}:
                raise
            raise CannotCopy(_sentence(named, error)) from error


def _sentence(named: str, error: asyncpg.PostgresError) -> str:
    found = _PLACE.search(error.context or "")
    row = f", row {found[1]}" if found else ""
    column = f", column {found[2]}" if found and found[2] else ""
    said = str(error).splitlines()[0].rstrip(".")
    if isinstance(error, asyncpg.UniqueViolationError) and error.detail:
        said = f"{said}, {error.detail.rstrip('.')}"
    return f"{named}{row}{column}: {said}."
