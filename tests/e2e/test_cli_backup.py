"""`storecredit backup` while the service works, and `storecredit restore` of what it made."""

import shutil
import signal
import stat
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import COMMAND, Storecredit, until
from tests.e2e.steady_creates import Client, new_client

TOKEN = "operator"
CREDITS = 100_000


def test_a_backup_taken_while_creates_run_has_all_that_was_acknowledged_before_it(
    storecredit: Storecredit,
) -> None:
    serving = storecredit.serve(STORECREDIT_ADMIN_TOKEN=TOKEN)
    client = new_client(serving, TOKEN, CREDITS)
    with client.creating():
        client.await_more(10)
        link = client.result_link(client.done[0].session_id)
        before = len(client.done)
        taken = storecredit("backup", "backups", "--results", "--json").json()
        after = len(client.done)
        client.await_more(10)
    image = httpx.get(serving.url + link).raise_for_status().content
    assert serving.stop() == 0
    assert (taken["signing_key"], taken["kind"]) == (True, "physical")
    assert taken["results"] >= 1

    restored = storecredit("restore", "backups", "--data-dir", "restored", "--json").json()
    assert restored["name"] == taken["name"]
    assert restored["verified"]["clean"]
    sessions = restored["verified"]["sessions"]
    assert before <= sessions <= after + 1

    again = storecredit.serve("--data-dir", "restored")
    there = Client(again.url, client.key)
    assert there.balance() == CREDITS - sessions
    assert httpx.get(again.url + link).content == image
    for create in client.done[:before]:
        answer = there.create(create.request_id)
        assert answer.status_code == 200, "it was acknowledged, and is a replay"
        assert answer.json()["data"]["session_id"] == create.session_id
    forgotten = there.create(client.done[-1].request_id)
    assert forgotten.status_code == 201
    assert there.balance() == CREDITS - sessions - 1
    assert storecredit("verify", "--data-dir", "restored").status == 0
    assert again.stop() == 0


@pytest.fixture(scope="module")
def backups(prepared_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with one backup, taken while no service ran."""
    directory = tmp_path_factory.mktemp("place") / "backups"
    taken = subprocess.run(
        [COMMAND, "backup", directory, "--data-dir", prepared_data_dir],
        capture_output=True,
        text=True,
        check=True,
    )
    assert taken.stdout.startswith(f"Backed up to {directory}/storecredit-")
    assert "without a signing key and no result images" in taken.stdout
    assert "keep it as private" in taken.stderr
    return directory


def test_nobody_else_may_read_a_backup(backups: Path) -> None:
    (backup,) = backups.glob("storecredit-*")
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [backup, *backup.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_no_database_is_restored_over(storecredit: Storecredit, backups: Path) -> None:
    before = (storecredit.data_dir / "postgres" / "postgresql.conf").stat()
    told = storecredit("restore", backups).sentence()
    assert "data has a database, and nothing was changed" in told
    assert (storecredit.data_dir / "postgres" / "postgresql.conf").stat() == before


def test_a_database_in_use_is_left_alone(storecredit: Storecredit, backups: Path) -> None:
    serving = storecredit.serve()
    told = storecredit("restore", backups).sentence()
    assert "is in use, and nothing was changed: stop the service" in told
    assert serving.stop() == 0


def test_a_restore_that_is_killed_leaves_no_database_and_can_be_run_again(
    new_storecredit: Storecredit, backups: Path
) -> None:
    restoring = new_storecredit.start("restore", backups)

    def has_begun() -> bool:
        left = new_storecredit.data_dir.glob("postgres.new-*/postgres/base")
        return any(left) or restoring.process.poll() is not None

    until(has_begun, "it unpacks the database")
    assert restoring.stop(signal.SIGKILL) == -signal.SIGKILL
    assert not (new_storecredit.data_dir / "postgres").exists()

    again = new_storecredit("restore", backups, "--json").json()
    assert again["verified"]["clean"]
    assert not any(new_storecredit.data_dir.glob("postgres.new-*"))


def test_what_a_killed_backup_left_is_no_backup_and_is_removed_by_the_next(
    storecredit: Storecredit, backups: Path
) -> None:
    (whole,) = backups.glob("storecredit-*")
    place = storecredit.directory / "place"
    shutil.copytree(whole, place / ".new-0123456789abcdef")
    shutil.copytree(whole, place / whole.name)
    (place / whole.name / "manifest.json").unlink()

    told = storecredit("restore", "place").sentence()
    assert "There is no backup in" in told
    taken = storecredit("backup", "place", "--json").json()
    assert not (place / ".new-0123456789abcdef").exists()
    assert (Path(taken["where"]) / "manifest.json").exists()


def test_older_backups_are_deleted_where_so_many_are_to_be_kept(
    storecredit: Storecredit, backups: Path
) -> None:
    (oldest,) = backups.glob("storecredit-*")
    place = storecredit.directory / "place"
    shutil.copytree(oldest, place / oldest.name)
    second = storecredit("backup", "place", "--json").json()
    third = storecredit("backup", "place", "--keep", 2, "--json").json()
    assert third["deleted"] == [oldest.name]
    assert sorted(path.name for path in place.glob("storecredit-*")) == [
        second["name"],
        third["name"],
    ]


def test_where_there_is_no_database_none_is_backed_up(new_storecredit: Storecredit) -> None:
    told = new_storecredit("backup", "backups").sentence()
    assert "There is no database in" in told
    assert not list((new_storecredit.directory / "backups").glob("storecredit-*"))
