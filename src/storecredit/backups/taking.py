"""Takes a backup: the database while it works, then the signing key, and the results if wanted.

In this order: a result is saved before its session is completed, so every completed generation in
the copy of the database has its image among the results, unless it has been deleted since.
"""

import asyncio
import contextlib
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import storecredit
from storecredit.backups import manifest
from storecredit.backups.manifest import DATABASE, FORMAT, RESULTS, SIGNING_KEY, Manifest
from storecredit.backups.names import PlaceUnusable, name_of
from storecredit.backups.places import Place
from storecredit.data_files.checkpoint_keys import CHECKPOINT_KEY
from storecredit.data_files.signing_key import SIGNING_KEY as KEPT_KEY
from storecredit.generation.results.directory import RESULTS as IMAGES
from storecredit.postgres.embedded.cluster import open_private
from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from storecredit.postgres.programs import base_backup
from storecredit.postgres.programs import dump as dumps
from storecredit.postgres.programs.base_backup import Copied
from storecredit.postgres.programs.wal_archive import WalArchive, position
from storecredit.settings import Settings

OnProgress = Callable[[str, int, int | None], None]
"""Called with what is being done, how many bytes of it are, and of how many if that is known."""

COPYING: Final = "Copying the database"
KEEPING: Final = "Copying the results"
READING: Final = "Reading it back"
PUTTING: Final = "Putting it in its place"


def _nobody_watches(what: str, done: int, expected: int | None) -> None:
    """Progress that nobody asked for."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that was taken: its name, where it is, and what it says of itself."""

    name: str
    where: str
    manifest: Manifest


async def take(
    settings: Settings,
    place: Place,
    *,
    results: bool,
    dump: bool = False,
    on_progress: OnProgress = _nobody_watches,
) -> Taken:
    """Put a backup into `place`: complete and on disk when this returns, or not there at all.

    `dump`: rather a dump than a copy of the server's files; of an external database, always.
    Raises what starting the database raises, `ProgramFailed`, `PlaceUnusable`.
    """
    if results and settings.results is not None:
        raise PlaceUnusable(
            f"The results are in {settings.results}, not in the data directory: back up without "
            "--results. The bucket keeps them by itself."
        )
    try:
        with place.draft() as draft:
            copied = await _copy_database(settings, draft / DATABASE, on_progress, dump=dump)
            _copy_key(settings.data_dir / KEPT_KEY, draft / SIGNING_KEY)
            _copy_key(settings.data_dir / CHECKPOINT_KEY, draft / CHECKPOINT_KEY)
            images = None
            if results:
                images = await asyncio.to_thread(
                    _copy_results, settings.data_dir, draft, on_progress
                )
            made = await asyncio.to_thread(_seal, draft, copied, images, on_progress)
            on_progress(PUTTING, 0, None)
            name = name_of(made.begun_at)
            where = await asyncio.to_thread(place.publish, draft, name)
    except OSError as error:
        raise PlaceUnusable(f"The backup could not be made: {error}.") from error
    return Taken(name, where, made)


def prune(settings: Settings, place: Place, taken: Taken, keep: int) -> list[str]:
    """Delete all but the newest `keep` backups; their names.

    And of the WAL archive, what none of those that stay is followed by. Raises `PlaceUnusable`,
    `DamagedBackup` if one that stays cannot say which WAL it needs: then all WAL stays.
    """
    try:
        deleted = place.names()[:-keep]
        for name in deleted:
            place.delete(name)
        if settings.wal_archive is not None and taken.manifest.wal is not None:
            kept = [place.manifest(name) for name in place.names()]
            identifier = taken.manifest.system_identifier
            needed = [
                made.wal for made in kept if made.wal and made.system_identifier == identifier
            ]
            oldest = min((*needed, taken.manifest.wal), key=lambda wal: position(wal.start))
            WalArchive(settings.wal_archive, identifier).prune(oldest)
    except OSError as error:
        raise PlaceUnusable(f"Older backups could not be deleted: {error}.") from error
    return deleted


async def _copy_database(
    settings: Settings, directory: Path, on_progress: OnProgress, *, dump: bool
) -> Copied:
    if settings.database_url is not None:
        return await dumps.take(settings.database_url.get_secret_value(), directory)
    postgres = EmbeddedPostgres(settings.data_dir)
    await postgres.start(create=False)
    try:
        if dump:
            return await dumps.take(postgres.admin_url, directory)
        return await base_backup.take(
            postgres.admin_url,
            directory,
            lambda done, expected: on_progress(COPYING, done, expected),
        )
    finally:
        await postgres.stop()


def _copy_key(kept: Path, copy: Path) -> None:
    """Where a setting has the key there need not be one here."""
    try:
        key = kept.read_bytes()
    except FileNotFoundError:
        return
    with open(copy, "xb", opener=open_private) as file:
        file.write(key)


def _copy_results(data_dir: Path, draft: Path, on_progress: OnProgress) -> int:
    """How many images were copied. Those that are deleted meanwhile have expired."""
    count = size = 0
    with (
        open(draft / RESULTS, "xb", opener=open_private) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in _images(data_dir / IMAGES):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as image:
                entry = archive.gettarinfo(arcname=f"{path.parent.name}/{path.name}", fileobj=image)
                archive.addfile(entry, image)
                count, size = count + 1, size + entry.size
                on_progress(KEEPING, size, None)
    return count


def _images(directory: Path) -> Iterator[Path]:
    # A draft's name begins with a dot.
    return (path for path in directory.glob("*/*") if not path.name.startswith("."))


def _seal(draft: Path, copied: Copied, results: int | None, on_progress: OnProgress) -> Manifest:
    for path in (path for path in draft.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    read = 0

    def on_bytes(more: int) -> None:
        nonlocal read
        read += more
        on_progress(READING, read, None)

    return manifest.write(
        draft,
        Manifest(
            format=FORMAT,
            kind="physical" if copied.wal else "logical",
            storecredit=storecredit.__version__,
            schema=copied.schema,
            postgres=copied.postgres,
            system_identifier=copied.system_identifier,
            begun_at=copied.begun_at,
            ended_at=copied.ended_at,
            wal=copied.wal,
            results=results,
            files=manifest.describe(draft, on_bytes),
        ),
    )
