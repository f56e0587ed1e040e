"""What a backup says of itself, and whether it is what it says.

A backup is a directory, and its manifest is written last: a directory without one is none.
Promises that a backup of which a byte was changed, of which a file is missing, or whose manifest is
not as it was written, is told as damaged before anything of it is used.
"""

import hashlib
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from storecredit.postgres.embedded.cluster import open_private
from storecredit.postgres.programs.base_backup import READ_BYTES, DamagedBackup, WalRange

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
DATABASE, SIGNING_KEY, RESULTS = "database", "signing.key", "results.tar"
"""What stands in a backup's directory."""

OnBytes = Callable[[int], None]
"""Called with the bytes that were read since the last call."""


class File(msgspec.Struct, frozen=True):
    """A file of a backup; `path` is below the backup's directory."""

    path: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a backup, and from when.

    What had been acknowledged at `begun_at` is in it, what came after `ended_at` is not: these are
    the database server's times. `kind`: `physical` are the files of a PostgreSQL server, of the
    same major version only, with the WAL range that makes them consistent; `logical` is a dump for
    any. `sha256` is of the manifest itself, as written with an empty one.
    """

    format: int
    kind: Literal["physical", "logical"]
    storecredit: str
    schema: str | None
    """The last migration of the database, if it was migrated."""
    postgres: str
    system_identifier: str
    """Of a physical one, the number that initdb gave the server's files."""
    begun_at: datetime
    ended_at: datetime
    wal: WalRange | None
    results: int | None
    """How many result images; None: they were not asked for."""
    files: tuple[File, ...]
    sha256: str = ""

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(file.bytes for file in self.files)

    @property
    def postgres_major(self) -> int:
        """The major version of the server."""
        return int(self.postgres.partition(".")[0])

    def has(self, path: str) -> bool:
        """Whether there is a file of this name."""
        return any(file.path == path for file in self.files)


def write(directory: Path, manifest: Manifest) -> Manifest:
    """Write the manifest, synced; the files that it names are on disk before."""
    sealed = msgspec.structs.replace(manifest, sha256=_seal(manifest))
    text = msgspec.json.format(msgspec.json.encode(sealed), indent=1)
    with open(directory / MANIFEST, "xb", opener=open_private) as file:
        file.write(text + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return sealed


def read(directory: Path) -> Manifest:
    """The manifest of a backup. Raises `DamagedBackup`, also if there is none."""
    try:
        text = (directory / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise DamagedBackup(
            f"{directory} is no backup: it has no {MANIFEST}, which is written last."
        ) from None
    try:
        if msgspec.json.decode(text, type=_Versioned).format > FORMAT:
            raise DamagedBackup(
                f"{directory} was made by a newer storecredit: restore it with that."
            )
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise DamagedBackup(f"{directory / MANIFEST} is damaged: {error}.") from error
    if manifest.sha256 != _seal(manifest):
        raise DamagedBackup(f"{directory / MANIFEST} is damaged: it is not as it was written.")
    return manifest


def describe(directory: Path, on_bytes: OnBytes | None = None) -> tuple[File, ...]:
    """Every file of a backup under way, as it is read from the disk."""
    paths = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return tuple(
        File(str(path.relative_to(directory)), path.stat().st_size, _sha256(path, on_bytes))
        for path in paths
    )


def prove(directory: Path, manifest: Manifest, on_bytes: OnBytes | None = None) -> None:
    """Compare each file with the manifest. Raises `DamagedBackup`, which names the first one."""
    for file in manifest.files:
        path = directory / file.path
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise DamagedBackup(f"{directory} is damaged: {file.path} is missing.") from None
        if size != file.bytes or _sha256(path, on_bytes) != file.sha256:
            raise DamagedBackup(f"{directory} is damaged: {file.path} is not what was backed up.")


class _Versioned(msgspec.Struct):
    """What every format begins with."""

    format: int


def _seal(manifest: Manifest) -> str:
    unsealed = msgspec.structs.replace(manifest, sha256="")
    return hashlib.sha256(msgspec.json.encode(unsealed)).hexdigest()


def _sha256(path: Path, on_bytes: OnBytes | None) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
            if on_bytes is not None:
                on_bytes(len(piece))
    return digest.hexdigest()
