"""What is not as it was backed up is told before anything of it is used."""

import hashlib
import json
import tarfile
from pathlib import Path

import msgspec
import pytest

from storecredit.backups import manifest
from storecredit.backups.names import NoSuchBackup
from storecredit.backups.restoring import CannotRestore, Restored, restore
from storecredit.postgres.programs.base_backup import DamagedBackup
from storecredit.postgres.programs.recovery import Target
from storecredit.settings import Settings
from tests.backups.conftest import RESULT

FILES = [
    *("manifest.json", "signing.key", "checkpoint.key", "results.tar"),
    *("database/base.tar.gz", "database/pg_wal.tar.gz", "database/backup_manifest"),
]


async def restored(backup: Path, directory: Path) -> Restored:
    settings = Settings(data_dir=directory / "restored")
    return await restore(str(backup), settings, Target(), lambda *_: None)


async def refusal(backup: Path, directory: Path, kind: type[Exception] = DamagedBackup) -> str:
    """What is said of a backup that is not restored."""
    with pytest.raises(kind) as refused:
        await restored(backup, directory)
    assert not (directory / "restored" / "postgres").exists()
    return str(refused.value)


def sealed_anew(backup: Path) -> None:
    """Somebody who changes a backup may well write its manifest anew."""
    made = manifest.read(backup)
    (backup / "manifest.json").unlink()
    manifest.write(backup, msgspec.structs.replace(made, files=manifest.describe(backup)))


async def test_a_whole_backup_is_restored_with_keys_and_results(
    backup: Path, whole: Path, tmp_path: Path
) -> None:
    await restored(backup, tmp_path)
    there = tmp_path / "restored"
    assert (there / "signing.key").read_bytes() == (backup / "signing.key").read_bytes()
    assert (there / "checkpoint.key").read_bytes() == (backup / "checkpoint.key").read_bytes()
    image = there / "results" / RESULT
    assert image.read_bytes() == b"an image"
    assert image.stat().st_mtime == 1_700_000_000, "it expires when it would have"
    assert sorted(path.name for path in there.glob("*")) == [
        *("checkpoint.key", "postgres", "postgres.start.lock", "postgres.users.lock"),
        *("results", "signing.key"),
    ]


def test_the_files_are_all_that_a_backup_has(whole: Path) -> None:
    found = {str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file()}
    assert found == set(FILES)


@pytest.mark.parametrize("name", FILES)
async def test_a_flipped_bit_anywhere_is_noticed(backup: Path, tmp_path: Path, name: str) -> None:
    content = bytearray((backup / name).read_bytes())
    content[len(content) // 2] ^= 1
    (backup / name).write_bytes(content)
    assert name in await refusal(backup, tmp_path)


@pytest.mark.parametrize("name", FILES[1:])
async def test_a_missing_file_is_noticed(backup: Path, tmp_path: Path, name: str) -> None:
    (backup / name).unlink()
    assert f"{name} is missing" in await refusal(backup, tmp_path)


async def test_a_backup_that_was_cut_off_is_none(backup: Path, tmp_path: Path) -> None:
    (backup / "manifest.json").unlink()
    said = await refusal(backup, tmp_path, NoSuchBackup)
    assert f"There is no backup in {backup}" in said


async def test_a_manifest_is_not_believed_if_it_was_changed(backup: Path, tmp_path: Path) -> None:
    said = json.loads((backup / "manifest.json").read_text())
    said["begun_at"] = "2020-01-01T00:00:00Z"
    (backup / "manifest.json").write_text(json.dumps(said))
    assert "it is not as it was written" in await refusal(backup, tmp_path)


async def test_a_backup_of_a_newer_form_is_told_as_such(backup: Path, tmp_path: Path) -> None:
    (backup / "manifest.json").write_text('{"format": 2, "all": "else"}')
    assert "made by a newer storecredit" in await refusal(backup, tmp_path)


async def test_files_of_another_major_version_are_not_started(backup: Path, tmp_path: Path) -> None:
    made = manifest.read(backup)
    (backup / "manifest.json").unlink()
    manifest.write(backup, msgspec.structs.replace(made, postgres="17.6"))
    said = await refusal(backup, tmp_path, CannotRestore)
    assert "has the files of PostgreSQL 17" in said


async def test_a_file_that_the_server_did_not_send_is_noticed_by_the_servers_own_manifest(
    backup: Path, tmp_path: Path
) -> None:
    archive, files = backup / "database" / "base.tar.gz", tmp_path / "files"
    with tarfile.open(archive) as packed:
        packed.extractall(files, filter="data")
    (files / "PG_VERSION").write_text("18 \n")
    with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
        packed.add(files, arcname=".")
    sealed_anew(backup)
    assert "PG_VERSION is not the one that was backed up" in await refusal(backup, tmp_path)


async def test_the_servers_manifest_proves_itself(backup: Path, tmp_path: Path) -> None:
    path = backup / "database" / "backup_manifest"
    wrong = hashlib.sha256(b"another version").hexdigest()
    said = json.loads(path.read_text())
    said["Files"][0]["Checksum"] = wrong
    path.write_text(json.dumps(said))
    sealed_anew(backup)
    assert "backup_manifest is not as the server wrote it" in await refusal(backup, tmp_path)


async def test_a_signing_key_that_is_another_one_is_not_replaced(
    backup: Path, tmp_path: Path
) -> None:
    key = tmp_path / "restored" / "signing.key"
    key.parent.mkdir()
    key.write_bytes(b"x" * 32)
    said = await refusal(backup, tmp_path, CannotRestore)
    assert said == (
        f"{key} is another key than the backup's, and nothing was changed: move it away."
    )
    assert key.read_bytes() == b"x" * 32


async def test_a_checkpoint_key_that_is_there_stays_since_it_may_be_newer(
    backup: Path, tmp_path: Path
) -> None:
    key = tmp_path / "restored" / "checkpoint.key"
    key.parent.mkdir()
    key.write_text(f"private {'00' * 32}\n")
    await restored(backup, tmp_path)
    assert key.read_text() == f"private {'00' * 32}\n"
