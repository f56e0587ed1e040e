"""The archive of a cluster's WAL: every byte that its server wrote, by which it is replayed.

Hides the archive's layout. Below the directory that the setting names stand, for each cluster (by
the number that initdb gave it) and each of its timelines, the segments and histories as
pg_receivewal writes them. A timeline is one server's life between two restores: what a restored
server writes is kept apart from what the one before it wrote. If the archive was away for so long
that the server has given up WAL, what comes after the gap stands in a further directory
(`1`, `1.1`, …). https://www.postgresql.org/docs/18/continuous-archiving.html#BACKUP-TIMELINES
"""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storecredit.postgres.programs.base_backup import WalRange

SEGMENT_BYTES: Final = 16 * 1024 * 1024
"""What initdb makes of a cluster unless told otherwise, and it is not."""
PARTIAL: Final = ".partial"
"""The end of a segment's name while it is being written: the newest of its timeline."""

_SEGMENT: Final = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial)?")
_FOLDER: Final = re.compile(r"(\d+)(?:\.(\d+))?")
_SEGMENTS_PER_ID: Final = 0x1_0000_0000 // SEGMENT_BYTES


class ArchiveUnusable(Exception):
    """The archive cannot be used as asked; the message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of an archive: WAL of a timeline, 16 MB from `number` times 16 MB on."""

    timeline: int
    number: int
    path: Path

    @property
    def name(self) -> str:
        """As the server names it, in its own pg_wal."""
        above, below = divmod(self.number, _SEGMENTS_PER_ID)
        return f"{self.timeline:08X}{above:08X}{below:08X}"

    @property
    def is_partial(self) -> bool:
        """Whether it was not yet full when it was last written."""
        return self.path.name.endswith(PARTIAL)


def position(lsn: str) -> int:
    """The number of a byte of the WAL, from how PostgreSQL writes it."""
    above, _, below = lsn.partition("/")
    return (int(above, 16) << 32) + int(below, 16)


class WalArchive:
    """What an archive has of one cluster."""

    def __init__(self, directory: Path, system_identifier: str) -> None:
        self.directory = directory.resolve() / system_identifier

    def folders(self, timeline: int) -> list[Path]:
        """The directories of a timeline; a gap is between each two of them."""
        found = [(int(match[2] or 0), path) for path, match in self._folders(timeline)]
        return [path for _, path in sorted(found)]

    def next_folder(self, timeline: int) -> Path:
        """The directory for what comes now: the first of the timeline, or after a gap."""
        count = len(self.folders(timeline))
        return self.directory / (f"{timeline}.{count}" if count else str(timeline))

    def newest(self, timeline: int) -> Segment | None:
        """The newest segment of a timeline."""
        found = (segment for segment in self._segments() if segment.timeline == timeline)
        return max(found, key=lambda segment: segment.number, default=None)

    def timelines_after(self, wal: WalRange) -> list[int]:
        """The timelines to which what is recovered from this WAL can go on, ascending."""
        return [
            timeline
            for timeline in sorted({segment.timeline for segment in self._segments()})
            if timeline == wal.timeline
            or self._forks(timeline).get(wal.timeline, -1) >= position(wal.end)
        ]

    def replay(self, wal: WalRange, timeline: int) -> "Replay":
        """What is to be replayed after this WAL on the way to the end of a timeline."""
        ends = {**self._forks(timeline), timeline: None}
        chosen: dict[int, Segment] = {}
        for segment in self._segments():
            if segment.timeline not in ends:
                continue
            end = ends[segment.timeline]
            if end is not None and segment.number > end // SEGMENT_BYTES:
                continue
            before = chosen.get(segment.number)
            if before is None or _rank(segment) > _rank(before):
                chosen[segment.number] = segment
        # The backup itself has what is before the end of its WAL.
        first, last = position(wal.end) // SEGMENT_BYTES, max(chosen, default=-1)
        kept: list[Segment] = []
        gap = None
        for number in range(first, max(first, last) + 1):
            found = chosen.get(number)
            if found is not None:
                kept.append(found)
            # One that was never filled, and has another one after it, is a gap in itself.
            if found is None or (found.is_partial and number < last):
                gap = Segment(timeline, number, self.directory).name
                break
        return Replay(tuple(kept), tuple(self._histories()), gap)

    def prune(self, oldest: WalRange) -> int:
        """Delete what no recovery from this WAL, or later, replays; how many segments."""
        first = position(oldest.start) // SEGMENT_BYTES
        passed = [segment for segment in self._segments() if segment.number < first]
        for segment in passed:
            segment.path.unlink(missing_ok=True)
        return len(passed)

    def _forks(self, timeline: int) -> dict[int, int]:
        """Of each ancestor of a timeline, at which byte the next one begins."""
        history = next((p for p in self._histories() if p.name == f"{timeline:08X}.history"), None)
        if history is None:
            return {}
        lines = (line.split() for line in history.read_text().splitlines())
        return {int(said[0]): position(said[1]) for said in lines if said and said[0].isdecimal()}

    def _folders(self, timeline: int | None = None) -> Iterator[tuple[Path, re.Match[str]]]:
        if not self.directory.is_dir():
            return
        for path in sorted(self.directory.iterdir()):
            match = _FOLDER.fullmatch(path.name)
            if match is not None and timeline in {None, int(match[1])}:
                yield path, match

    def _segments(self) -> Iterator[Segment]:
        for folder, _ in self._folders():
            for path in sorted(folder.iterdir()):
                if match := _SEGMENT.fullmatch(path.name):
                    number = int(match[2], 16) * _SEGMENTS_PER_ID + int(match[3], 16)
                    yield Segment(int(match[1], 16), number, path)

    def _histories(self) -> Iterator[Path]:
        for folder, _ in self._folders():
            yield from sorted(folder.glob("*.history"))


@dataclass(frozen=True, slots=True)
class Replay:
    """The files of a replay, without a gap; `gap` names the first segment that is missing."""

    segments: tuple[Segment, ...]
    histories: tuple[Path, ...]
    gap: str | None

    def copy(self, pg_wal: Path, put: Callable[[Path, bytes], None]) -> None:
        """Put the files into a cluster's pg_wal; `put` writes one. Raises `ArchiveUnusable`."""
        needed, free = SEGMENT_BYTES * len(self.segments), shutil.disk_usage(pg_wal).free
        if needed > free:
            raise ArchiveUnusable(
                f"The WAL to replay takes {needed // 1_000_000} MB, and there are "
                f"{free // 1_000_000} MB free: make room, or restore a newer backup."
            )
        for history in self.histories:
            put(pg_wal / history.name, history.read_bytes())
        for segment in self.segments:
            content, there = segment.path.read_bytes(), pg_wal / segment.name
            # The backup's own copy of its last segment goes on further where the archive lagged.
            if there.exists() and _length(there.read_bytes()) >= _length(content):
                continue
            put(there, content)


def _rank(segment: Segment) -> tuple[int, bool]:
    """A timeline's own segment has what its ancestor's had, and a full one all of a partial one."""
    return segment.timeline, not segment.is_partial


def _length(content: bytes) -> int:
    """How far a segment is written: what follows are zeros."""
    return len(content.rstrip(b"\0"))
