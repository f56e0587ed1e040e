"""Backups in S3, or in anything that speaks its protocol: the keys begin with a backup's name.

Promises, as a directory does, that a backup is there whole or not at all: its manifest is put last,
and deleted first.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import obstore

from storecredit.backups import manifest
from storecredit.backups.manifest import MANIFEST, Manifest
from storecredit.backups.names import NAME, PlaceUnusable, moment_of
from storecredit.object_storage.bucket import OpenBucket
from storecredit.object_storage.errors import BucketUnusable

CHUNK_BYTES: Final = 8 * 1024 * 1024
ABANDONED_AFTER: Final = timedelta(days=1)
"""What has no manifest so long after it was begun is no longer under way."""


class Bucket:
    """Backups below `s3://bucket/prefix`."""

    def __init__(self, url: str) -> None:
        try:
            self._bucket = OpenBucket(url)
        except BucketUnusable as error:
            raise PlaceUnusable(str(error)) from error
        except ValueError as error:
            raise PlaceUnusable(f"{url} is no place for backups: {error}.") from error
        self.url = self._bucket.url
        self._store = self._bucket.store

    @contextlib.contextmanager
    def draft(self) -> Iterator[Path]:
        """A directory on this machine (TMPDIR) to make a backup in; gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="storecredit-backup-") as directory:
            self._clear()
            yield Path(directory)

    def publish(self, draft: Path, name: str) -> str:
        """Put a finished backup there, the manifest last; where it is."""
        files = sorted(path for path in draft.rglob("*") if path.is_file())
        with self._told():
            for path in sorted(files, key=lambda path: path.name == MANIFEST):
                obstore.put(self._store, f"{name}/{path.relative_to(draft)}", path)
        return f"{self.url}/{name}"

    def names(self) -> list[str]:
        """The complete backups, oldest first."""
        keys = self._keys()
        return sorted(name for name in keys if MANIFEST in keys[name])

    def manifest(self, name: str) -> Manifest:
        """What a backup says of itself. Raises `DamagedBackup`."""
        with tempfile.TemporaryDirectory(prefix="storecredit-manifest-") as directory:
            self._download(f"{name}/{MANIFEST}", Path(directory) / MANIFEST)
            return manifest.read(Path(directory))

    def fetch(self, name: str, room: Path) -> Path:
        """Bring a backup into `room` on this machine."""
        for path in sorted(self._keys().get(name, ())):
            target = room / name / path
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._download(f"{name}/{path}", target)
        return room / name

    def delete(self, name: str) -> None:
        """Remove a backup; it is none from the first moment on."""
        paths = sorted(self._keys().get(name, ()), key=lambda path: path != MANIFEST)
        with self._told():
            for path in paths:
                obstore.delete(self._store, f"{name}/{path}")

    def _keys(self) -> dict[str, set[str]]:
        """What is stored, by the name of its backup: complete ones and others."""
        found: dict[str, set[str]] = {}
        with self._told():
            for page in obstore.list(self._store):
                for entry in page:
                    name, _, path = entry["path"].partition("/")
                    if NAME.fullmatch(name) and _is_below(path):
                        found.setdefault(name, set()).add(path)
        return found

    def _download(self, key: str, path: Path) -> None:
        with self._told(), path.open("xb") as file:
            for piece in obstore.get(self._store, key).stream(min_chunk_size=CHUNK_BYTES):
                file.write(piece)

    def _clear(self) -> None:
        """Remove what killed commands left."""
        oldest = datetime.now(UTC) - ABANDONED_AFTER
        for name, paths in self._keys().items():
            if MANIFEST not in paths and moment_of(name) < oldest:
                self.delete(name)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            with self._bucket.told():
                yield
        except BucketUnusable as error:
            raise PlaceUnusable(str(error)) from error


def _is_below(path: str) -> bool:
    return bool(path) and ".." not in path.split("/") and not path.startswith("/")
