"""Makes a data directory of a backup, to the moment of the backup or a later one.

Everything is proved first, unpacked beside its place, and recovered there. Then come the results
and the signing key, and the database last: with its name the restore is done, and before that
there is none. A restore that was killed can be run again: what it left is removed, or is found as
it is to be.
"""

import asyncio
import dataclasses
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from storecredit.backups import manifest
from storecredit.backups.manifest import DATABASE, MANIFEST, RESULTS, SIGNING_KEY, Manifest
from storecredit.backups.names import NAME, NoSuchBackup
from storecredit.backups.places import Place, place_of
from storecredit.data_files.checkpoint_keys import CHECKPOINT_KEY
from storecredit.data_files.durable_files import make_directory
from storecredit.data_files.signing_key import SIGNING_KEY as KEPT_KEY
from storecredit.generation.results.directory import RESULTS as IMAGES
from storecredit.postgres.embedded.cluster import POSTGRES_VERSION, open_private, sync_directory
from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from storecredit.postgres.embedded.system_user import Account
from storecredit.postgres.programs import base_backup, dump
from storecredit.postgres.programs.base_backup import DamagedBackup, WalRange
from storecredit.postgres.programs.recovery import Recovered, Target, recover
from storecredit.postgres.programs.wal_archive import ArchiveUnusable, Replay, WalArchive
from storecredit.postgres.schema.migrate import migrate
from storecredit.settings import Settings

OnProgress = Callable[[str, int, int | None], None]

PROVING: Final = "Proving the backup"


class CannotRestore(Exception):
    """It cannot be restored here; the message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored: from which backup, and to which moment of it."""

    backup: str
    manifest: Manifest
    target: Target
    recovered: Recovered | None
    """None of a dump."""


async def restore(
    backup: str, settings: Settings, target: Target, on_progress: OnProgress
) -> Restored:
    """Restore a backup, or the newest one of a place, into a data directory without a database.

    Complete and on disk when this returns; before, the data directory has no database. Raises
    `NoSuchBackup`, `DamagedBackup`, `CannotRestore`, `TargetNotReached`, `ArchiveUnusable`,
    `EmbeddedPostgresError`.
    """
    try:
        place, name = await asyncio.to_thread(_chosen, backup, target)
        return await _restored(place, name, settings, target, on_progress)
    except OSError as error:
        raise CannotRestore(f"Nothing was restored: {error}.") from error


async def _restored(
    place: Place, name: str, settings: Settings, target: Target, on_progress: OnProgress
) -> Restored:
    with tempfile.TemporaryDirectory(prefix="storecredit-restore-") as room:
        directory = await asyncio.to_thread(place.fetch, name, Path(room))
        made = await asyncio.to_thread(_proved, directory, on_progress)
        chosen = _Chosen(directory, made, settings)
        if settings.database_url is not None:
            recovered = None
            await _load_external(chosen, settings.database_url.get_secret_value(), target)
        else:
            replay, target = _replay(made, settings.wal_archive, target)
            async with EmbeddedPostgres(settings.data_dir).kept_unused():
                recovered = await _restore(chosen, target, replay)
    return Restored(name, made, target, recovered)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A backup that was proved, and where it is to go."""

    directory: Path
    manifest: Manifest
    settings: Settings

    @property
    def data_dir(self) -> Path:
        return self.settings.data_dir

    @property
    def database(self) -> Path:
        return self.directory / DATABASE


def _chosen(backup: str, target: Target) -> tuple[Place, str]:
    """The backup that was named, or of a place the newest that is not too new for the target."""
    above, _, last = backup.rstrip("/").rpartition("/")
    if NAME.fullmatch(last) and last in (place := place_of(above or ".")).names():
        return place, last
    place = place_of(backup)
    names = place.names()
    if not names:
        raise NoSuchBackup(
            f"There is no backup in {backup}: neither is it one, with a {MANIFEST}, nor has it any."
        )
    for name in reversed(names):
        if target.moment is None or place.manifest(name).ended_at <= target.moment:
            return place, name
    raise NoSuchBackup(
        f"Every backup in {backup} is newer than {target.moment:%Y-%m-%dT%H:%M:%S%z}."
    )


def _proved(directory: Path, on_progress: OnProgress) -> Manifest:
    made = manifest.read(directory)
    if made.kind == "physical" and made.postgres_major != POSTGRES_VERSION:
        raise CannotRestore(
            f"{directory} has the files of PostgreSQL {made.postgres_major}, and this release "
            f"brings {POSTGRES_VERSION}: restore it with the release that made it "
            f"({made.storecredit}), and upgrade then."
        )
    done = 0

    def on_bytes(more: int) -> None:
        nonlocal done
        done += more
        on_progress(PROVING, done, made.bytes)

    manifest.prove(directory, made, on_bytes)
    return made


def _refuse_another_key(chosen: _Chosen) -> None:
    key = chosen.data_dir / KEPT_KEY
    if (
        chosen.manifest.has(SIGNING_KEY)
        and key.exists()
        and key.read_bytes() != (chosen.directory / SIGNING_KEY).read_bytes()
    ):
        raise CannotRestore(
            f"{key} is another key than the backup's, and nothing was changed: move it away."
        )


def _replay(
    made: Manifest, wal_archive: Path | None, target: Target
) -> tuple[Replay | None, Target]:
    """What of the archive is to be replayed, on one timeline of it."""
    if made.wal is None or wal_archive is None:
        if made.wal is None and (target.moment is not None or target.timeline is not None):
            raise CannotRestore("A dump leads to its own moment only: leave out --to.")
        if made.wal is None:
            return None, Target()
        if target.goes_beyond_the_backup:
            raise CannotRestore(
                "Only a WAL archive leads beyond the moment of a backup: name it in "
                "STORECREDIT_WAL_ARCHIVE."
            )
        return None, target
    archive = WalArchive(wal_archive, made.system_identifier)
    if not target.goes_beyond_the_backup:
        # Its histories only: the restored server's timeline is to be none of theirs.
        return dataclasses.replace(archive.replay(made.wal, made.wal.timeline), segments=()), target
    timeline = _timeline(archive, made.wal, target)
    replay = archive.replay(made.wal, timeline)
    if replay.gap is not None and (target.to_the_end or not replay.segments):
        raise ArchiveUnusable(
            f"{archive.directory} lacks the segment {replay.gap}. Restore to a moment before it, "
            "or from a newer backup."
        )
    return replay, dataclasses.replace(target, timeline=timeline)


def _timeline(archive: WalArchive, wal: WalRange, target: Target) -> int:
    found = archive.timelines_after(wal)
    if target.timeline in found:
        return target.timeline
    if len(found) == 1 and target.timeline is None:
        return found[0]
    if not found:
        raise ArchiveUnusable(f"{archive.directory} has nothing that follows on this backup.")
    raise ArchiveUnusable(
        f"After this backup {archive.directory} has the timelines "
        f"{', '.join(map(str, found))}: each restored database begins one. Say which is to be "
        "replayed: --timeline."
    )


async def _load_external(chosen: _Chosen, url: str, target: Target) -> None:
    if chosen.manifest.kind == "physical":
        raise CannotRestore(
            "This backup has the files of a server, which go into a data directory only: restore "
            "it without a database URL, and move the database by `storecredit backup --dump`."
        )
    if target.goes_beyond_the_backup:
        raise CannotRestore("A dump leads to its own moment only: leave out --to.")
    await asyncio.to_thread(_refuse_another_key, chosen)
    await asyncio.to_thread(_put_beside, chosen)
    await dump.load(url, chosen.database)
    await migrate(url)


async def _restore(chosen: _Chosen, target: Target, replay: Replay | None) -> Recovered | None:
    """Make the database beside its place, and put it there last of all."""
    if (chosen.data_dir / "postgres").exists():
        raise CannotRestore(
            f"{chosen.data_dir} has a database, and nothing was changed: name an empty data "
            f"directory with --data-dir, or move {chosen.data_dir / 'postgres'} away."
        )
    await asyncio.to_thread(_refuse_another_key, chosen)
    # The name of what a killed start leaves, so that any later one removes it.
    staging = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=chosen.data_dir))
    try:
        account = await asyncio.to_thread(Account.of, staging / "postgres")
        account.own(staging)
        if chosen.manifest.kind == "logical":
            recovered = None
            await _load_embedded(chosen, staging)
        else:
            recovered = await _unpack(chosen, staging, account, target, replay)
        await asyncio.to_thread(_put_beside, chosen)
        (staging / "postgres").rename(chosen.data_dir / "postgres")
        await asyncio.to_thread(sync_directory, chosen.data_dir)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return recovered


async def _load_embedded(chosen: _Chosen, staging: Path) -> None:
    postgres = EmbeddedPostgres(staging)
    await postgres.start()
    try:
        await dump.load(postgres.admin_url, chosen.database)
        await migrate(postgres.admin_url, app_may_login=True)
    finally:
        await postgres.stop()


async def _unpack(
    chosen: _Chosen, staging: Path, account: Account, target: Target, replay: Replay | None
) -> Recovered:
    cluster = staging / "postgres"
    await asyncio.to_thread(base_backup.unpack, chosen.database, cluster, account)
    if replay is not None:
        put = partial(base_backup.put, account=account)
        await asyncio.to_thread(replay.copy, cluster / "pg_wal", put)
    is_archived = chosen.settings.wal_archive is not None
    return await recover(staging, account, target, is_archived=is_archived)


def _put_beside(chosen: _Chosen) -> None:
    """What stands beside the database; of no use to anybody until that is there."""
    make_directory(chosen.data_dir)
    if chosen.manifest.results is not None:
        _unpack_results(chosen.directory / RESULTS, chosen.data_dir / IMAGES)
    if chosen.manifest.has(SIGNING_KEY):
        key = (chosen.directory / SIGNING_KEY).read_bytes()
        _put(chosen.data_dir / KEPT_KEY, key)
    # One that is there may be newer, and knows the keys of before.
    if chosen.manifest.has(CHECKPOINT_KEY) and not (chosen.data_dir / CHECKPOINT_KEY).exists():
        key = (chosen.directory / CHECKPOINT_KEY).read_bytes()
        _put(chosen.data_dir / CHECKPOINT_KEY, key)
    sync_directory(chosen.data_dir)


def _unpack_results(archive: Path, directory: Path) -> None:
    """Put back the images that are not there; with the times that say when they expire."""
    made = {directory}
    directory.mkdir(mode=0o700, exist_ok=True)
    with tarfile.open(archive, "r:") as members:
        for member in members:
            path = directory / member.name
            content = members.extractfile(member)
            if content is None or path.parent.parent != directory or ".." in path.parts:
                raise DamagedBackup(f"{RESULTS} has something that is no result: {member.name}.")
            path.parent.mkdir(mode=0o700, exist_ok=True)
            made.add(path.parent)
            if not path.exists():
                _put(path, content.read())
                os.utime(path, (member.mtime, member.mtime))
    for each in made:
        sync_directory(each)


def _put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; durable when its directory is synced."""
    draft = path.with_name(f".{path.name}.restored")
    with open(draft, "wb", opener=open_private) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
