"""Where backups are kept: several of them in one place, each by its name.

A name sorts by the moment of its backup. Promises that a backup is in its place whole or not at
all: it is made under another name, synced to disk, and renamed; that two commands do not put
backups into one place at once; and that what a killed one left is removed by the next.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from storecredit.backups import manifest
from storecredit.backups.manifest import MANIFEST, Manifest

_NAME: Final = re.compile(r"storecredit-\d{8}T\d{6}\.\d{3}Z")
_DRAFT, _DELETED = ".new-", ".deleted-"
_LOCK: Final = ".lock"


class NoSuchBackup(Exception):
    """There is no backup that was asked for; the message is a sentence for people."""


class PlaceInUse(Exception):
    """Another command puts a backup there; the message is a sentence for people."""


def place_of(text: str) -> "Directory":
    """The place that a command names."""
    return Directory(Path(text))


def name_of(begun_at: datetime) -> str:
    """What a backup of this moment is called."""
    return f"storecredit-{begun_at:%Y%m%dT%H%M%S}.{begun_at.microsecond // 1000:03}Z"


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
            _sync(directory)
        draft.rename(self.path / name)
        _sync(self.path)
        return str(self.path / name)

    def names(self) -> list[str]:
        """The complete backups, oldest first."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return sorted(
                entry.name
                for entry in self.path.iterdir()
                if _NAME.fullmatch(entry.name) and (entry / MANIFEST).exists()
            )
        return []

    def manifest(self, name: str) -> Manifest:
        """What a backup says of itself. Raises `DamagedBackup`."""
        return manifest.read(self.path / name)

    @contextlib.contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        """The directory of a backup."""
        yield self.path / name

    def delete(self, name: str) -> None:
        """Remove a backup: as one, at once."""
        deleted = self.path / f"{_DELETED}{name}"
        (self.path / name).rename(deleted)
        shutil.rmtree(deleted)

    def _take(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PlaceInUse(
                f"Another backup into {self.path} is under way: wait until it is done."
            ) from None

    def _clear(self) -> None:
        for prefix in (_DRAFT, _DELETED):
            for left in self.path.glob(f"{prefix}*"):
                shutil.rmtree(left, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
