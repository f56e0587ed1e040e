"""Keeps result images as files in a directory.

Promises that an image is on disk, whole and under its final name, before `save` returns, so that a
session is never completed with a result that a power cut could take away; and that a key never
names anything outside the directory.
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from storecredit.data_files.durable_files import DurableFiles
from storecredit.generation.generators import GeneratedImage
from storecredit.generation.results.keys import Needed, key_of, media_type_of, session_of

RESULTS: Final = "results"
"""What a data directory has of this module."""
LOOKED_AT_ONCE: Final = 1000


class ResultDirectory:
    """The results below one directory, which is made when the first one comes (`ResultStore`)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files = DurableFiles()

    async def save(self, owner_id: UUID, session_id: UUID, image: GeneratedImage) -> str:
        """Store the image durably and return its key."""
        key = key_of(owner_id, session_id, image.media_type)
        await self._files.write(self._directory / key, image.content)
        return key

    async def load(self, key: str) -> GeneratedImage | None:
        """The image, or None if it has been deleted."""
        media_type = media_type_of(key)
        try:
            content = await asyncio.to_thread((self._directory / key).read_bytes)
        except FileNotFoundError:
            return None
        return GeneratedImage(content, media_type)

    async def links(self, keys: Sequence[str], *, lifetime_seconds: float) -> Mapping[str, str]:
        """None: files have no links of their own."""
        del keys, lifetime_seconds
        return {}

    async def delete(self, keys: Sequence[str]) -> Mapping[str, OSError]:
        """Delete images; those that could not be, and why."""
        for key in keys:
            media_type_of(key)
        return await asyncio.to_thread(_delete_each, self._directory, keys)

    async def sessions_of(self, owner_id: UUID) -> Collection[UUID]:
        """The sessions that files or drafts of an owner's are of."""
        return await asyncio.to_thread(lambda: {*_files_by_session(self._of(owner_id))})

    async def delete_sessions(self, owner_id: UUID, sessions: Collection[UUID]) -> None:
        """Delete their files and drafts."""
        await asyncio.to_thread(_delete_sessions, self._of(owner_id), frozenset(sessions))

    async def delete_strays(self, older_than_seconds: float, needed: Needed) -> int:
        """Delete files written longer ago than that and not `needed`; how many."""
        written_before = time.time() - older_than_seconds
        old = await asyncio.to_thread(_old_files, self._directory, written_before)
        deleted = 0
        for start in range(0, len(old), LOOKED_AT_ONCE):
            some = old[start : start + LOOKED_AT_ONCE]
            kept = await needed({whose for _, whose in some if whose is not None})
            strays = [path for path, whose in some if whose is None or whose[1] not in kept]
            deleted += await asyncio.to_thread(_delete_files, strays)
        return deleted

    async def check(self) -> None:
        """Nothing is looked at: what a directory cannot do, the first result tells."""

    async def close(self) -> None:
        """Wait for the images that are being stored."""
        await self._files.close()

    def _of(self, owner_id: UUID) -> Path:
        return self._directory / str(owner_id)


# What follows is blocking, and runs in a thread.


def _delete_each(directory: Path, keys: Sequence[str]) -> dict[str, OSError]:
    failures = {}
    for key in keys:
        try:
            (directory / key).unlink(missing_ok=True)
        except OSError as error:
            failures[key] = error
    return failures


def _files_by_session(directory: Path) -> dict[UUID, list[Path]]:
    """The results in a directory and their drafts, by the session that their names begin with."""
    found: dict[UUID, list[Path]] = {}
    for path in directory.glob("*"):
        session_id = session_of(path.name)
        if session_id is not None:
            found.setdefault(session_id, []).append(path)
    return found


def _delete_sessions(directory: Path, sessions: Collection[UUID]) -> None:
    for session_id, paths in _files_by_session(directory).items():
        if session_id in sessions:
            for path in paths:
                path.unlink(missing_ok=True)


def _old_files(
    directory: Path, written_before: float
) -> list[tuple[Path, tuple[UUID, UUID] | None]]:
    """Each with the owner and the session that its name begins with, if it does."""
    old: list[tuple[Path, tuple[UUID, UUID] | None]] = []
    for path in directory.glob("*/*"):
        try:
            is_old = path.stat().st_mtime < written_before
        except FileNotFoundError:
            continue  # another process was faster
        if is_old:
            owner_id, session_id = session_of(path.parent.name), session_of(path.name)
            if owner_id is None or session_id is None:
                old.append((path, None))
            else:
                old.append((path, (owner_id, session_id)))
    return old


def _delete_files(paths: Sequence[Path]) -> int:
    deleted = 0
    for path in paths:
        try:
            path.unlink()
            deleted += 1
        except FileNotFoundError:
            continue  # another process was faster
    return deleted
