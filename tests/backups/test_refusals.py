"""Where no backup is restored, and that an interrupted one is restored by the next try."""

import shutil
import signal
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from storecredit.backups.names import NoSuchBackup, PlaceUnusable
from storecredit.backups.places import Directory
from storecredit.backups.restoring import CannotRestore, restore
from storecredit.backups.taking import Taken, prune, take
from storecredit.ledger.verify import verify
from storecredit.postgres.embedded.embedded_postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    NoCluster,
)
from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.pool import Database
from storecredit.postgres.programs.recovery import Target
from storecredit.settings import Settings
from tests.postgres.embedded.clusters import new_directory

COMMAND = Path(sys.executable).with_name("storecredit")
WAIT_MAX_SECONDS = 60


async def restored(backup: Path, data_dir: Path, target: Target | None = None) -> None:
    settings = Settings(data_dir=data_dir)
    await restore(str(backup), settings, target or Target(), lambda *_: None)


async def taken_of(directory: Path) -> Path:
    """A backup of the data directory there, as it is now."""
    settings = Settings(data_dir=directory / "data")
    return Path((await take(settings, Directory(directory / "later"), results=False)).where)


async def test_over_a_database_nothing_is_restored(whole: Path, directory: Path) -> None:
    before = (directory / "data" / "postgres" / "PG_VERSION").stat()
    with pytest.raises(CannotRestore, match="has a database, and nothing was changed"):
        await restored(whole, directory / "data")
    assert (directory / "data" / "postgres" / "PG_VERSION").stat() == before


async def test_a_database_in_use_is_left_alone_and_another_is_restored_beside_it(
    whole: Path, directory: Path
) -> None:
    postgres = EmbeddedPostgres(directory / "data")
    await postgres.start()
    try:
        with pytest.raises(EmbeddedPostgresError, match="is in use, and nothing was changed"):
            await restored(whole, directory / "data")
        # Whose socket's lock file, which is in the backup, names a living server.
        await restored(await taken_of(directory), directory / "beside")
    finally:
        await postgres.stop()


async def test_without_an_archive_a_backup_leads_to_its_own_end(
    whole: Path, tmp_path: Path
) -> None:
    for beyond in (Target(to_the_end=True), Target(moment=datetime(2099, 1, 1, tzinfo=UTC))):
        with pytest.raises(CannotRestore, match="Only a WAL archive leads beyond the moment"):
            await restored(whole, tmp_path, beyond)
    assert not (tmp_path / "postgres").exists()


async def test_a_place_without_backups_and_one_of_newer_ones_are_told(
    whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(NoSuchBackup, match="There is no backup in "):
        await restored(tmp_path, tmp_path / "data")
    early = Target(moment=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(NoSuchBackup, match=r"Every backup in .* is newer than 2020-01-01"):
        await restored(whole.parent, tmp_path / "data", early)


async def test_files_of_a_server_go_into_no_other_server(
    whole: Path, tmp_path: Path, database_url: str
) -> None:
    settings = Settings(data_dir=tmp_path / "data", database_url=SecretStr(database_url))
    with pytest.raises(CannotRestore, match="move the database by `storecredit backup --dump`"):
        await restore(str(whole), settings, Target(), lambda *_: None)
    assert not (tmp_path / "data").exists()


async def test_a_dump_goes_into_a_data_directory_too_and_over_nothing_of_ours(
    database_url: str, tmp_path: Path
) -> None:
    external = Settings(data_dir=tmp_path / "none", database_url=SecretStr(database_url))
    taken = await take(external, Directory(tmp_path / "dumps"), results=False)
    assert (taken.manifest.kind, taken.manifest.wal) == ("logical", None)
    with pytest.raises(DatabaseMisconfigured, match="has a schema storecredit, and nothing was"):
        await restore(taken.where, external, Target(), lambda *_: None)
    moment = Target(moment=datetime(2099, 1, 1, tzinfo=UTC))
    with pytest.raises(CannotRestore, match="A dump leads to its own moment only"):
        await restore(taken.where, external, moment, lambda *_: None)

    data_dir = new_directory() / "data"
    await restored(Path(taken.where), data_dir)
    postgres = EmbeddedPostgres(data_dir)
    await postgres.start(create=False)
    database = await Database.open(postgres.app_url)
    assert (await verify(database)).clean
    await database.close()
    await postgres.stop()
    shutil.rmtree(data_dir.parent)


async def test_where_there_is_no_database_none_is_backed_up(tmp_path: Path) -> None:
    place = Directory(tmp_path / "backups")
    with pytest.raises(NoCluster, match="There is no database in"):
        await take(Settings(data_dir=tmp_path / "none"), place, results=False)
    assert place.names() == []
    assert [path.name for path in place.path.iterdir()] == [".lock"]


async def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PlaceUnusable, match="The backup could not be made"):
        await take(Settings(data_dir=tmp_path), Directory(tmp_path / "file"), results=False)


def test_nobody_else_may_read_a_backup(whole: Path) -> None:
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [whole, *whole.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_one_command_at_a_time_puts_a_backup_into_a_place(backup: Path) -> None:
    place = Directory(backup.parent)
    cut_off = shutil.copytree(backup, backup.parent / ".new-0123456789abcdef")
    with place.draft() as draft:
        assert not cut_off.exists(), "what a killed one left is removed"
        second = Directory(backup.parent).draft()
        with pytest.raises(PlaceUnusable, match="is under way: wait"):
            second.__enter__()
    assert not draft.exists()
    assert place.names() == [backup.name]


def test_the_newest_backups_stay(whole: Path, backup: Path) -> None:
    place = Directory(backup.parent)
    older = [f"storecredit-20260{month}01T000000.000Z" for month in (1, 2, 3)]
    for name in older:
        shutil.copytree(backup, backup.parent / name)
    taken = Taken(backup.name, str(backup), place.manifest(backup.name))
    assert prune(Settings(data_dir=whole), place, taken, keep=2) == older[:2]
    assert place.names() == [older[2], backup.name]


def test_a_restore_that_is_killed_leaves_no_database_and_can_be_run_again(
    whole: Path, directory: Path
) -> None:
    data_dir = directory / "interrupted"
    command = [str(COMMAND), "restore", str(whole.parent), "--data-dir", str(data_dir)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as restoring:
        give_up = time.monotonic() + WAIT_MAX_SECONDS
        while not any(data_dir.glob("postgres.new-*/postgres/base")):
            assert time.monotonic() < give_up
            assert restoring.poll() is None
            time.sleep(0.005)
        restoring.send_signal(signal.SIGKILL)
    assert not (data_dir / "postgres").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "All of it agrees." in done.stdout
    assert "docs/backup.md has the list" in done.stderr
    assert not any(data_dir.glob("postgres.new-*"))
