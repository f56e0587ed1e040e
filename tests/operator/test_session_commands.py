"""`storecredit session`: archives, finds again, checks; and what it says where it cannot."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.pool import Database
from tests.conftest import connect_as_superuser
from tests.e2e.in_process import InProcess
from tests.sql.ledgers import open_account
from tests.worker.archives import Keeper, generation


async def _long_ago(url: str, directory: Path) -> list[str]:
    """Three generations that ended half a year ago; their ids."""
    admin = await connect_as_superuser(url)
    database = await Database.open(url)
    store = await open_account(admin, OwnerKind.STORE, 10)
    made = [await generation(admin, store, f"r{n}", fails=n == 1) for n in range(3)]
    await Keeper(database, admin, directory).years_pass()
    await database.close()
    await admin.close()
    return [str(each) for each in made]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_what_is_due_is_told_archived_found_and_checked(
    command: InProcess, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run(_long_ago(database_url, tmp_path))
    place = tmp_path / "archive"

    assert "--days" in command("session", "archive").sentence(2)
    told = command("session", "archive", "--days", 90, "--dry-run", "--json").json()
    assert told["sessions"] == 3
    assert told["size_bytes"] > 3 * 100
    assert told["oldest_at"] is not None
    later = command("session", "archive", "--days", 3000, "--dry-run", "--json").json()
    assert later == {"sessions": 0, "size_bytes": 0, "oldest_at": None}
    assert "STORECREDIT_ARCHIVE" in command("session", "archive", "--days", 90).sentence(2)
    assert not place.exists()

    monkeypatch.setenv("STORECREDIT_ARCHIVE", str(place))
    monkeypatch.setenv("STORECREDIT_SESSIONS_KEPT_DAYS", "90")
    assert command("session", "archive", "--json").json() == {"archived": 3}
    assert command("session", "archive", "--json").json() == {"archived": 0}
    assert command("session", "check", "--json").json() == {
        "files": 1,
        "sessions": 3,
        "damaged": [],
    }
    for identifier in (made[1], "r1"):
        (found,) = command("session", "find", identifier, "--json").json()
        assert (found["session_id"], found["request_id"], found["archive"]) == (made[1], "r1", 1)
        assert (found["status"], found["error_code"]) == ("failed", "MODERATION_BLOCKED")
    assert made[0] in command("session", "find", made[0]).output
    assert "no archived generation" in command("session", "find", "r9").sentence()
    assert "File: " in command("request", "show", made[2]).output
    damage_is_told(command, place)


def damage_is_told(command: InProcess, place: Path) -> None:
    """First of a file that was cut off, then of one that is gone."""
    (file,) = place.rglob("*.csv.gz")
    file.write_bytes(file.read_bytes()[:-20])
    assert "another hash" in command("session", "find", "r1").sentence()
    checked = command("session", "check")
    assert checked.status == 1
    assert "another hash" in checked.output
    file.unlink()
    assert "No such file" in command("session", "find", "r1").sentence()
    assert command("session", "check").status == 1


def test_where_nothing_can_be_written_it_is_said_and_nothing_is_removed(
    command: InProcess, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(_long_ago(database_url, tmp_path))
    (tmp_path / "archive").write_text("no directory")
    monkeypatch.setenv("STORECREDIT_ARCHIVE", str(tmp_path / "archive"))
    told = command("session", "archive", "--days", 90).sentence()
    assert "cannot be written" in told
    assert "Nothing of that file was removed." in told
    due = command("session", "archive", "--days", 90, "--dry-run", "--json").json()
    assert due["sessions"] == 3
