"""Where backups are kept: several of them in one place, each by its name.

Promises that a backup is in its place whole or not at
all: it is made under another name, synced to disk, and renamed; that two commands do not put
backups into one place at once; and that what a killed one left is removed by the next.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

from storecredit.backups import manifest
from storecredit.backups.manifest import MANIFEST, Manifest
from storecredit.backups.names import NAME, PlaceUnusable
from storecredit.object_storage.addresses import S3_SCHEME
from storecredit.postgres.embedded.cluster import sync_directory

_DRAFT, _DELETED = ".new-", ".deleted-"
_LOCK: Final = ".lock"


class Place(Protocol):
    """Where several backups are kept, each by its name."""

    def draft(self) -> AbstractContextManager[Path]:
        """An empty directory, this user's alone, to make a backup in; gone afterwards."""

    def publish(self, draft: Path, name: str) -> str:
        """Give a finished backup its name, durably; where it is."""

    def names(self) -> list[str]:
        """The complete backups, oldest first."""

    def manifest(self, name: str) -> Manifest:
        """What a backup says of itself. Raises `DamagedBackup`."""

    def fetch(self, name: str, room: Path) -> Path:
        """The directory of a backup; it may have been brought into `room`."""

    def delete(self, name: str) -> None:
        """Remove a backup: as one, at once."""


def place_of(text: str) -> Place:
    """The place that a command names. Raises `PlaceUnusable`."""
    if text.startswith(S3_SCHEME):
        # Only who asks for it waits for the library to be loaded.
        from storecredit.backups.bucket import Bucket  # noqa: PLC0415 - see above

        return Bucket(text)
    return Directory(Path(text))


class Directory:
    """Backups below one directory, which is made when the first one comes."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    @contextlib.contextmanager
    def draft(self) -> Iterator[Path]:
        """An empty directory, this user's alone, to make a backup in; gone afterwards."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take(lock)
            self._clear()
            draft = self.path / f"{_DRAFT}{secrets.token_hex(8)}"
            draft.mkdir(mode=0o700)
            try:
                yield draft
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        finally:
            os.close(lock)

    def publish(self, draft: Path, name: str) -> str:
        """Give a finished backup its name, durably; where it is."""
        for directory in (*(path for path in draft.rglob("*") if path.is_dir()), draft):
            sync_directory(directory)
        draft.rename(self.path / name)
        sync_directory(self.path)
        return str(self.path / name)

    def names(self) -> list[str]:
        """The complete backups, oldest first."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return sorted(
                entry.name
                for entry in self.path.iterdir()
                if NAME.fullmatch(entry.name) and (entry / MANIFEST).exists()
            )
        return []

    def manifest(self, name: str) -> Manifest:
        """What a backup says of itself. Raises `DamagedBackup`."""
        return manifest.read(self.path / name)

    def fetch(self, name: str, room: Path) -> Path:  # noqa: ARG002 - nothing needs any room
        """The directory of a backup."""
        return self.path / name

    def delete(self, name: str) -> None:
        """Remove a backup: as one, at once."""
        deleted = self.path / f"{_DELETED}{name}"
        (self.path / name).rename(deleted)
        shutil.rmtree(deleted)

    def _take(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PlaceUnusable(
                f"Another backup into {self.path} is under way: wait until it is done."
            ) from None

    def _clear(self) -> None:
        for prefix in (_DRAFT, _DELETED):
            for left in self.path.glob(f"{prefix}*"):
                shutil.rmtree(left, ignore_errors=True)
