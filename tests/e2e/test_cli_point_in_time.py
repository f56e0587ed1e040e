"""`storecredit restore --to`: a moment between backup and now, by the archive of the WAL."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import Storecredit, processes_naming, storecredit_in, until
from tests.e2e.steady_creates import Client, Create, new_client

TOKEN = "operator"
CREDITS = 100_000


@dataclass(frozen=True, slots=True)
class History:
    """What a service with an archive did: a backup, creates, a moment, creates."""

    storecredit: Storecredit
    archive: Path
    key: str
    creates: list[Create]
    moment: datetime

    @property
    def before(self) -> list[Create]:
        return [create for create in self.creates if create.answered_at <= self.moment]

    @property
    def after(self) -> list[Create]:
        return [create for create in self.creates if create.sent_at > self.moment]

    def restored(self, data_dir: str, *options: str) -> Any:
        """What the newest backup came to in a data directory, with the archive."""
        return self.run("restore", "backups", "--data-dir", data_dir, *options, "--json").json()

    def run(self, *arguments: str) -> Any:
        return self.storecredit(*arguments, STORECREDIT_WAL_ARCHIVE=str(self.archive))


def receivers(archive: Path) -> list[psutil.Process]:
    """The programs that receive into this archive."""
    return [each for each in processes_naming(archive) if each.name() == "pg_receivewal"]


@pytest.fixture(scope="module")
def history(prepared_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    directory = tmp_path_factory.mktemp("history")
    archive = directory / "the archive"
    with storecredit_in(directory, prepared_data_dir) as storecredit:
        where = {"STORECREDIT_WAL_ARCHIVE": str(archive)}
        serving = storecredit.serve(STORECREDIT_ADMIN_TOKEN=TOKEN, **where)
        serving.await_event("wal_archive_received")
        client = new_client(serving, TOKEN, CREDITS)
        with client.creating():
            client.await_more(5)
            assert storecredit("backup", "backups", **where).status == 0
            client.await_more(10)
            moment = datetime.now(UTC)
            client.await_more(10)
            # What comes while nobody receives is received later.
            (receiver,) = receivers(archive)
            receiver.kill()
            until(lambda: len(serving.events("wal_archive_received")) > 1, "it goes on")
            client.await_more(5)
        assert serving.stop() == 0
        assert receivers(archive) == []
        yield History(storecredit, archive, client.key, client.done, moment)


def test_it_has_what_was_acknowledged_before_the_moment_and_nothing_that_was_sent_after(
    history: History,
) -> None:
    restored = history.restored("then", "--to", history.moment.isoformat())
    assert restored["verified"]["clean"]
    assert len(history.before) >= 15
    on_their_way = len(history.creates) - len(history.before) - len(history.after)
    sessions = restored["verified"]["sessions"]
    assert 0 <= sessions - len(history.before) <= on_their_way <= 1

    serving = history.storecredit.serve("--data-dir", "then")
    there = Client(serving.url, history.key)
    known = [there.create(each.request_id).status_code for each in history.before[-3:]]
    unknown = [there.create(each.request_id).status_code for each in history.after[:3]]
    assert serving.stop() == 0
    assert (known, unknown) == ([200] * 3, [201] * 3)


def test_it_goes_to_the_last_acknowledged_create_if_nothing_else_is_said(
    history: History,
) -> None:
    restored = history.restored("end")
    assert restored["verified"]["clean"]
    assert restored["verified"]["sessions"] == len(history.creates)


def test_a_moment_that_cannot_be_reached_is_refused(history: History) -> None:
    for moment, told in {
        "2099-01-01": "The WAL archive does not go beyond 2099-01-01",
        "2020-01-01": "Every backup in ",
    }.items():
        refused = history.run("restore", "backups", "--data-dir", "no", "--to", moment)
        assert told in refused.sentence()
        assert not (history.storecredit.directory / "no" / "postgres").exists()


def test_what_is_no_moment_and_a_moment_without_an_archive_are_refused(history: History) -> None:
    run = history.storecredit
    told = run("restore", "backups", "--data-dir", "no", "--to", "yesterday").sentence(status=2)
    assert "--to is a moment like 2026-11-30T05:00:00Z" in told
    told = run("restore", "backups", "--data-dir", "no", "--to", "2099-01-01").sentence()
    assert "Only a WAL archive leads beyond the moment of a backup" in told


def test_a_restored_database_goes_on_as_a_timeline_and_one_of_several_must_be_chosen(
    history: History,
) -> None:
    make = ("store", "create", "--name", "Later", "--shop-domain", "l.example", "--json")
    history.restored("second", "--to", history.moment.isoformat())
    store_id = history.run(*make, "--data-dir", "second").json()["store_id"]

    refused = history.run("restore", "backups", "--data-dir", "no").sentence()
    assert "has the timelines 1, 2: each restored database begins one" in refused
    first = history.restored("first-line", "--timeline", "1")
    assert first["verified"]["sessions"] == len(history.creates)
    second = history.restored("second-line", "--timeline", "2")
    assert second["verified"]["stores"] == 2
    shown = history.run("store", "list", "--json", "--data-dir", "second-line").json()
    assert store_id in [each["store_id"] for each in shown["items"]]
