"""Sessions that ended long ago are written to files, and removed from the database.

Hides how a piece of them becomes a file, in what order, and how fast. Promises that no session is
removed before the file that it is in is durable; that whoever is killed, at any moment, leaves
nothing half done but a file that the next one writes again, under its name; that any number of
processes may have this job, and one of them works at a time; and that it takes a small share of
the time of the database, so that the others do not notice it.

The database chooses, makes the content and removes (`sql/functions/archive.sql`); this makes the
content durable in between.
"""

import asyncio
import contextlib
import gzip
import hashlib
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import uuid4

from storecredit import telemetry
from storecredit.generation.archive_names import ArchiveUnusable, file_name
from storecredit.generation.archive_places import ArchivePlace, place_of
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import DatabaseUnavailable, StatementRefused
from storecredit.postgres.pacing import every, pause, side_by_side
from storecredit.postgres.pool import Database
from storecredit.settings import Settings

log = telemetry.get_logger("generation.archiving")

MOVEMENTS_MAX: Final = 1_000
"""Of the ledger that one transaction looks through: a file has as many sessions at most."""
ACCOUNTS_MAX: Final = 2_000
"""That one transaction looks at, most of which have nothing that is due."""
REST_SHARE: Final = 19.0
"""After a piece it rests so many times as long as that took: a twentieth of one processor is used,
which is about a thousand sessions a second."""
TURN_SHARE: Final = 0.75
"""Of the interval: if a walk ended so much ago or less, another process has had this turn."""
UNFINISHED_MAX: Final = 3
"""Files in a row whose sessions were not removed, by whatever came between: then it is left to the
next time."""
GRACE_SHARE: Final = 0.1
"""Of the time that sessions are kept: so much longer some of them may be, so that the job comes to
an account seldom, and takes many of its sessions then."""
LEASE: Final = timedelta(seconds=60)
"""For so long nobody else takes up what a process has begun: longer than most pieces take. One that
takes longer loses nothing: two make the same file, and one of them is told that it is stale."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is to become the next file."""

    number: int
    sessions: int
    content: bytes

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.content).digest()

    @property
    def file(self) -> str:
        return file_name(self.number, self.sha256)


class Archiving:
    """Archives what is due; of several buckets each by itself, all to the same place."""

    def __init__(self, buckets: Buckets, settings: Settings, metrics: telemetry.Metrics) -> None:
        self._is_on = settings.sessions_kept_days is not None and settings.archive is not None
        self._interval_seconds = settings.archive_interval_seconds
        self._metrics = metrics
        self._each = [_BucketArchiving(each, settings, metrics) for each in buckets.all]

    @property
    def is_on(self) -> bool:
        """Whether the settings ask for it."""
        return self._is_on

    async def run(self, stop: asyncio.Event) -> None:
        """Archive at once and then at every interval, until `stop` is set."""
        await side_by_side(
            stop,
            *(
                every(self._interval_seconds, stop, partial(self._archive, each, stop))
                for each in self._each
            ),
        )

    async def archive(self, stop: asyncio.Event) -> int:
        """All that is due, unless another process has this turn: how many sessions.

        It breaks off when `stop` is set, or a bucket or the place of the files is away, which is
        logged and counted.
        """
        return sum(await asyncio.gather(*(self._archive(each, stop) for each in self._each)))

    async def archive_now(self, stop: asyncio.Event, *, days: int | None = None) -> int | None:
        """The same, for who waits for it; None: another process is at it, or it was stopped.

        `days`: sessions are kept so long, instead of what the settings say. Raises
        ArchiveUnusable, DatabaseUnavailable.
        """
        found = [await each.archive_now(stop, days=days) for each in self._each]
        archived = [sessions for sessions in found if sessions is not None]
        return sum(archived) if archived else None

    async def _archive(self, each: "_BucketArchiving", stop: asyncio.Event) -> int:
        sessions = await each.archive(stop)
        self._metrics.archive_failing.set(int(any(each.is_failing for each in self._each)))
        return sessions


class _BucketArchiving:
    def __init__(self, database: Database, settings: Settings, metrics: telemetry.Metrics) -> None:
        self._database = database
        self.is_failing = False
        self._days = settings.sessions_kept_days
        self._place_name = settings.archive
        self._interval_seconds = settings.archive_interval_seconds
        self._metrics = metrics
        self._holder = uuid4()

    async def archive(self, stop: asyncio.Event) -> int:
        try:
            sessions = await self.archive_now(
                stop,
                not_since=timedelta(seconds=self._interval_seconds * TURN_SHARE),
                grace_share=GRACE_SHARE,
            )
        except DatabaseUnavailable as error:
            log.warning("archiving_interrupted", error=str(error))
            return 0
        except ArchiveUnusable as error:
            # Nothing was removed.
            log.error("archive_failed", reason=str(error))  # noqa: TRY400 - the reason says it
            self.is_failing = True
            return 0
        except Exception:
            # What nobody expected must not end the loop, and the service with it.
            log.exception("archive_failed")
            self.is_failing = True
            return 0
        if sessions is not None:
            self.is_failing = False
        return sessions or 0

    async def archive_now(
        self,
        stop: asyncio.Event,
        *,
        not_since: timedelta = timedelta(0),
        grace_share: float = 0.0,
        days: int | None = None,
    ) -> int | None:
        """The same of this bucket, and raising what is the matter.

        `not_since`: unless a walk ended so long ago. `grace_share`: of the time that sessions are
        kept, some are kept longer.
        """
        place = place_of(self._place_name or "")
        kept = timedelta(days=days or self._days or 0)
        try:
            return await self._archive(place, stop, not_since, kept, kept * grace_share)
        finally:
            # Whoever comes next need not wait for the end of this turn.
            with contextlib.suppress(DatabaseUnavailable):
                await self._database.fetchval("SELECT leave_archive($1)", self._holder)

    async def _archive(
        self,
        place: ArchivePlace,
        stop: asyncio.Event,
        not_since: timedelta,
        kept: timedelta,
        grace: timedelta,
    ) -> int | None:
        archived: int | None = None
        unfinished = 0
        while not stop.is_set() and unfinished < UNFINISHED_MAX:
            began = time.monotonic()
            piece, is_behind = await self._begin(kept, grace, not_since)
            if is_behind is None:
                break
            archived = archived or 0
            if piece is not None and await self._finish(piece, place):
                archived, unfinished = archived + piece.sessions, 0
                self._metrics.sessions_archived.inc(piece.sessions)
            elif piece is not None:
                unfinished += 1
            if not is_behind:
                break
            await pause((time.monotonic() - began) * REST_SHARE, stop)
        if archived:
            log.info("sessions_archived", sessions=archived)
        return archived

    async def _begin(
        self, kept: timedelta, grace: timedelta, not_since: timedelta
    ) -> tuple[_Piece | None, bool | None]:
        """The next piece, and whether there is more to do; None: it is another's turn."""
        row = await self._database.fetchrow(
            "SELECT * FROM begin_archive($1, $2, $3, $4, $5, $6, $7)",
            self._holder,
            LEASE,
            not_since,
            kept,
            grace,
            ACCOUNTS_MAX,
            MOVEMENTS_MAX,
        )
        assert row is not None, "it has one row"
        if row["number"] is None:
            return None, row["is_behind"]
        piece = _Piece(row["number"], row["sessions"], row["content"].encode())
        return piece, row["is_behind"]

    async def _finish(self, piece: _Piece, place: ArchivePlace) -> bool:
        """Make it durable, then remove its sessions; whether this did."""
        stored = await asyncio.to_thread(_store, piece, place)
        try:
            outcome = await self._database.fetchval(
                "SELECT finish_archive($1, $2, $3, $4, $5)",
                piece.number,
                piece.sha256,
                stored,
                place.name,
                piece.file,
            )
        except StatementRefused as error:
            outcome = str(error)
        if outcome != "archived":
            # Whatever it was, the sessions stand where they were, and are chosen again.
            log.warning("archive_not_finished", number=piece.number, outcome=outcome)
        return bool(outcome == "archived")


def _store(piece: _Piece, place: ArchivePlace) -> int:
    """Write the file; its size. The time in it is none: the same content makes the same file."""
    packed = gzip.compress(piece.content, compresslevel=6, mtime=0)
    place.put(piece.file, packed)
    return len(packed)
