"""Sessions that are in the archive: what the database knows of them, and what their files say.

The format of a file is in docs/retention.md.
"""

import asyncio
import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from storecredit.generation.archive_places import place_of
from storecredit.generation.sessions import SessionStatus
from storecredit.postgres.buckets import Buckets, fetched

# Metadata may be long: the library's own limit is for files of others.
csv.field_size_limit(2**31 - 1)

NOTED_MAX: Final = 1000
"""Notes that are read at a time."""
_NOTED: Final = """
    SELECT number, archived_at, oldest_at, newest_at, sessions, bytes AS size_bytes, sha256, place,
        file
    FROM session_archives"""


class ArchiveDamaged(Exception):
    """A file is not what was written; the message is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Archived:
    """Where a session is, and how it ended."""

    status: SessionStatus
    archived_at: datetime


@dataclass(frozen=True, slots=True)
class Archive:
    """One file, as it was noted. `sha256` is of its content, uncompressed."""

    number: int
    archived_at: datetime
    oldest_at: datetime
    newest_at: datetime
    sessions: int
    size_bytes: int
    sha256: bytes
    place: str
    file: str


@dataclass(frozen=True, slots=True)
class Due:
    """What an archiving now would take; `size_bytes`: of the rows, without their indexes."""

    sessions: int
    size_bytes: int
    oldest_at: datetime | None


class Archives:
    """Reads the archive."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def find(self, account_id: int, session_id: UUID) -> Archived | None:
        """One session of this account; None: it is not in the archive."""
        row = await self._buckets.of_account(account_id).fetchrow(
            """SELECT x.status, n.archived_at FROM archived_by_id($1, $2) x
               JOIN session_archives n ON n.number = x.number""",
            account_id,
            session_id,
        )
        return None if row is None else Archived(SessionStatus(row["status"]), row["archived_at"])

    async def due(self, days: int) -> Due:
        """What would be taken now, if sessions were kept `days`. Reads all sessions once."""
        rows = await fetched(
            self._buckets,
            """SELECT count(*) AS sessions, min(s.created_at) AS oldest_at,
                   coalesce(sum(pg_column_size(s.*)), 0)::bigint AS size_bytes
               FROM sessions s WHERE s.completed_at < now() - $1::interval
                   AND s.result_key IS NULL""",
            timedelta(days=days),
        )
        return Due(
            sum(row["sessions"] for row in rows),
            sum(row["size_bytes"] for row in rows),
            min((row["oldest_at"] for row in rows if row["oldest_at"]), default=None),
        )

    async def noted(self) -> AsyncIterator[Archive]:
        """All files that there are to be, in the order in which they were written."""
        after = 0
        while True:
            rows = await fetched(
                self._buckets,
                f"{_NOTED} WHERE number > $1 AND number <= $1 + {NOTED_MAX} ORDER BY number",
                after,
            )
            after += NOTED_MAX
            for row in rows:
                yield Archive(**row)
            if not rows:
                return

    async def named(self, file: str) -> Archive:
        """A file by its name, which there is."""
        (row,) = await fetched(self._buckets, f"{_NOTED} WHERE file = $1", file)
        return Archive(**row)


async def read(archive: Archive) -> list[dict[str, str]]:
    """The sessions in a file, by the names of its columns.

    Raises `ArchiveUnusable` where it cannot be read, `ArchiveDamaged` where it is not what was
    written.
    """
    return await asyncio.to_thread(_read, archive)


def _read(archive: Archive) -> list[dict[str, str]]:
    packed = place_of(archive.place).get(archive.file)
    try:
        content = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error):
        content = b""
    if hashlib.sha256(content).digest() != archive.sha256:
        raise ArchiveDamaged(
            f"{archive.place}/{archive.file} is not what was written: its content has another hash."
        )
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
