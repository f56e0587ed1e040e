"""Connections that one part of the service keeps for a statement it sends all the time.

The pool resets a connection whenever it is given back (asyncpg's Connection.reset: four commands,
one more round trip), which costs both sides more than a small read. A part that only reads, by
single statements, leaves nothing behind in the session and needs no reset.
"""

import contextlib
from typing import Final

import asyncpg

from storecredit.postgres.errors import DatabaseUnavailable, translated
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

CLOSE_TIMEOUT_SECONDS: Final = 1.0
SETTINGS: Final = {"statement_timeout": "10s"}
"""Who is given up on while he waits in the server leaves it by himself; nothing is written here."""


class KeptConnections:
    """As many connections as there are statements at the same time, made when first needed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._idle: list[asyncpg.Connection] = []

    async def fetch(self, query: str, *args: object) -> list[Record]:
        """All rows of one statement that changes nothing, in the session neither.

        Raises DatabaseUnavailable. Whatever ends the statement early, cancellation too, ends the
        connection.
        """
        connection = self._usable() or await self._database.connect(SETTINGS)
        try:
            with translated():
                rows: list[Record] = await connection.fetch(query, *args)
        except BaseException:
            connection.terminate()
            raise
        self._idle.append(connection)
        return rows

    async def close(self) -> None:
        """Take leave of the server; one that does not answer keeps nobody from stopping."""
        while self._idle:
            with contextlib.suppress(DatabaseUnavailable), translated():
                await self._idle.pop().close(timeout=CLOSE_TIMEOUT_SECONDS)

    def _usable(self) -> asyncpg.Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None
