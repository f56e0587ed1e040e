"""A copy of the embedded cluster's files, taken while the server works: pg_basebackup.

Hides the tool's files. Promises that a copy is unpacked only if each of its files is, byte for
byte, the one that the server sent: by the manifest that the server wrote, which is proved first
(https://www.postgresql.org/docs/18/backup-manifest-format.html).
"""

import asyncio
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from storecredit.postgres.embedded.system_user import Account
from storecredit.postgres.errors import translated
from storecredit.postgres.programs.client_programs import (
    OnProgress,
    ProgramFailed,
    run,
    variables_of,
)
from storecredit.postgres.servers import Connection, connect

SERVER_MANIFEST: Final = "backup_manifest"
FILES, WAL = "base.tar.gz", "pg_wal.tar.gz"
"""What pg_basebackup writes: the cluster, and the WAL that was written meanwhile."""
_TOOK: Final = frozenset({SERVER_MANIFEST, FILES, WAL})
READ_BYTES: Final = 1024 * 1024
_LAST_LINE: Final = b'"Manifest-Checksum"'


class DamagedBackup(Exception):
    """It is not what was backed up; the message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class WalRange:
    """The WAL that makes a copy consistent: a timeline, and from which byte of it to which."""

    timeline: int
    start: str
    end: str


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied, and when, by the server's clock.

    What had been committed at `begun_at` is in the copy, what came after `ended_at` is not.
    `schema`: the last migration of the database, None if it has none. `wal`: what makes a copy of
    files consistent; a dump needs none.
    """

    postgres: str
    system_identifier: str
    schema: str | None
    begun_at: datetime
    ended_at: datetime
    wal: WalRange | None


async def take(admin_url: str, directory: Path, on_progress: OnProgress | None = None) -> Copied:
    """Copy the cluster of a running server into `directory`, which is made; synced to disk.

    Nobody waits for it: the server goes on. Raises `ProgramFailed`, also where the server finds a
    page whose checksum is wrong.
    """
    connection = await connect(admin_url, as_app=False)
    try:
        with translated():
            begun_at = await connection.fetchval("SELECT clock_timestamp()")
            await _copy(admin_url, directory, on_progress)
            ended_at = await connection.fetchval("SELECT clock_timestamp()")
            postgres = await connection.fetchval("SELECT current_setting('server_version')")
            schema = await schema_of(connection)
    finally:
        await connection.close()
    manifest = await asyncio.to_thread(_server_manifest, directory)
    ranges = manifest["WAL-Ranges"]
    wal = WalRange(ranges[-1]["Timeline"], ranges[0]["Start-LSN"], ranges[-1]["End-LSN"])
    return Copied(postgres, str(manifest["System-Identifier"]), schema, begun_at, ended_at, wal)


async def schema_of(connection: Connection) -> str | None:
    """The last migration of a database, None if it was never migrated."""
    if await connection.fetchval("SELECT to_regclass('schema_version')") is None:
        return None
    migration: str | None = await connection.fetchval("SELECT migration FROM schema_version")
    return migration


async def _copy(admin_url: str, directory: Path, on_progress: OnProgress | None) -> None:
    await run(
        "pg_basebackup",
        *("--pgdata", directory, "--format=tar", "--wal-method=stream", "--checkpoint=fast"),
        # The least effort: the service wants the processor, too.
        *("--compress=client-gzip:1", "--manifest-checksums=SHA256", "--label=storecredit"),
        *("--progress", "--no-password"),
        variables=variables_of(admin_url),
        on_progress=on_progress,
    )
    others = {*await asyncio.to_thread(os.listdir, directory)} - _TOOK
    if others:
        raise ProgramFailed(
            f"The server has tablespaces outside its directory ({', '.join(sorted(others))}), "
            "which are not backed up: move what is in them back, then try again."
        )


def unpack(directory: Path, cluster: Path, account: Account) -> None:
    """Make the copy in `directory` a cluster's files, `account`'s alone.

    Raises `DamagedBackup` if a file is missing, or is not the one that the server sent.
    """
    manifest = _server_manifest(directory)
    expected = {file["Path"]: file["Checksum"] for file in manifest["Files"]}
    try:
        found = _unpack_archive(directory / FILES, cluster, account)
        _unpack_archive(directory / WAL, cluster / "pg_wal", account)
    except (tarfile.TarError, EOFError, OSError) as error:
        # zlib's and gzip's complaints are among them; so is a full disk.
        raise DamagedBackup(f"The copy of the database cannot be unpacked: {error}.") from error
    for path, checksum in expected.items():
        if found.get(path) != checksum:
            raise DamagedBackup(f"The file {path} is not the one that was backed up.")
    # A socket in the cluster's directory has a lock file, which is copied and names a server that
    # may well be alive: PostgreSQL would take it for this cluster's.
    for lock in cluster.glob(".s.PGSQL.*"):
        lock.unlink()


def put(path: Path, content: bytes, account: Account) -> None:
    """Put a file into a cluster that is being unpacked, instead of one that may be there."""
    path.unlink(missing_ok=True)
    _write(path, io.BytesIO(content).read, account)


def _unpack_archive(archive: Path, directory: Path, account: Account) -> dict[str, str]:
    """Write an archive's files below `directory`; the SHA-256 of each, by its path."""
    found = {}
    account.own(_made(directory))
    with tarfile.open(archive, "r:gz") as members:
        for member in members:
            target = directory / _within(member.name)
            if member.isdir():
                account.own(_made(target))
            elif member.isfile() and (content := members.extractfile(member)) is not None:
                found[member.name.removeprefix("./")] = _write(target, content.read, account)
            else:
                raise DamagedBackup(f"{member.name} is neither a file nor a directory.")
    return found


def _made(directory: Path) -> Path:
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def _within(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise DamagedBackup(f"{name} would be outside the cluster.")
    return path


def _write(path: Path, read: Callable[[int], bytes], account: Account) -> str:
    # Not synced: PostgreSQL syncs the whole cluster before it recovers from a backup.
    digest = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        if account.uid != os.geteuid():
            os.fchown(file.fileno(), account.uid, account.gid)
        while piece := read(READ_BYTES):
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _server_manifest(directory: Path) -> Mapping[str, Any]:
    """The manifest, if its own checksum, over all before its last line, says that it is whole."""
    text = (directory / SERVER_MANIFEST).read_bytes()
    before, mark, _ = text.rpartition(_LAST_LINE)
    try:
        manifest: Mapping[str, Any] = json.loads(text)
        whole = manifest["Manifest-Checksum"] == hashlib.sha256(before).hexdigest()
    except (ValueError, KeyError, TypeError):
        whole = False
        manifest = {}
    if not (mark and whole):
        raise DamagedBackup(f"{SERVER_MANIFEST} is not as the server wrote it.")
    return manifest
