"""Every command in docs/backup.md does what the page says, on a service that works meanwhile.

The blocks are run as they stand. What a reader is told to replace is replaced here: directories,
the bucket and its keys, the database's URL, the moment.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import httpx
import psutil
import pytest

from stand_ins.http_server import stand_in
from stand_ins.s3 import ACCESS_KEY, BUCKET, S3, SECRET_KEY
from tests.e2e.conftest import processes_naming, until
from tests.e2e.page_commands import Page, run, running
from tests.e2e.steady_creates import Client, Create

PAGE = Page("docs/backup.md")
TOKEN = "operator"
CREDITS = 1000


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody at a shell who does what the page says."""

    directory: Path
    environment: dict[str, str]

    @property
    def archive(self) -> Path:
        return self.directory / "the archive"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.environment['STORECREDIT_PORT']}"

    def does(
        self,
        first_words: str,
        replaced: Mapping[str, str] = MappingProxyType({}),
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> str:
        """What a block prints; `more` is set besides in the shell's environment."""
        commands = PAGE.block(first_words)
        for old, new in replaced.items():
            assert old in commands
            commands = commands.replace(old, new)
        return run(commands, {**self.environment, **more}, self.directory)


@dataclass(frozen=True, slots=True)
class History:
    """What was asked for before and after a moment, of a service that was backed up before it."""

    client: Client
    moment: datetime

    @property
    def before(self) -> list[Create]:
        return [create for create in self.client.done if create.answered_at <= self.moment]

    @property
    def after(self) -> list[Create]:
        return [create for create in self.client.done if create.sent_at > self.moment]


@pytest.fixture
def reader(tmp_path: Path, environment: dict[str, str]) -> Reader:
    token = {"STORECREDIT_ADMIN_TOKEN": TOKEN}
    return Reader(tmp_path, environment | token)


def receivers(archive: Path) -> list[psutil.Process]:
    """The programs that receive into this archive."""
    return [each for each in processes_naming(archive) if each.name() == "pg_receivewal"]


def made_history(reader: Reader) -> History:
    """Creates one after the other, a backup, a moment; and the archive's program is killed."""
    made = httpx.post(
        f"{reader.url}/api/admin/stores",
        json={"name": "Hats", "shop_domain": "h.example", "tier": "unlimited", "credits": CREDITS},
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    client = Client(reader.url, made.raise_for_status().json()["data"]["api_key"])
    with client.creating():
        client.await_more(5)
        said = reader.does("storecredit backup backups")
        assert said.startswith(f"Backed up to {reader.directory}/backups/storecredit-")
        client.await_more(5)
        moment = datetime.now(UTC)
        client.await_more(5)
        (receiver,) = receivers(reader.archive)
        receiver.kill()
        client.await_more(5)
        assert "Hats" in reader.does("storecredit psql")
        # Another one takes its place, and has all of it when the server stops.
        until(lambda: is_received(reader), "it is received again")
        client.await_more(1)
    return History(client, moment)


def is_received(reader: Reader) -> bool:
    """Whether the server has somebody to send its WAL to."""
    asked = "storecredit psql --admin -tAc 'SELECT count(*) FROM pg_stat_replication'"
    return run(asked, reader.environment, reader.directory).strip() == "1"


def restored_to_the_moment(reader: Reader, history: History) -> None:
    to = PAGE.block("storecredit restore backups --data-dir restored --to")
    archived = {"STORECREDIT_WAL_ARCHIVE": str(reader.archive)}
    said = reader.does(to, {"2026-11-30T05:00:00Z": history.moment.isoformat()}, archived)
    assert "with the signing key, without result images" in said
    keys = [reader.directory / name / "signing.key" for name in ("data", "restored")]
    assert keys[0].read_bytes() == keys[1].read_bytes()
    assert "All of it agrees." in said

    there = {"STORECREDIT_DATA_DIR": str(reader.directory / "restored")}
    log = reader.directory / "restored.log"
    with running("storecredit serve", reader.environment | there, log, reader.directory):
        on_its_way = len(history.client.done) - len(history.before) - len(history.after)
        generations = CREDITS - history.client.balance()
        assert 0 <= generations - len(history.before) <= on_its_way <= 1
        known = [history.client.create(each.request_id) for each in history.before]
        assert {answer.status_code for answer in known} == {200}
        assert [answer.json()["data"]["session_id"] for answer in known] == [
            create.session_id for create in history.before
        ]
        unknown = history.client.create(history.after[0].request_id)
        assert unknown.status_code == 201
        run("storecredit verify", reader.environment | there, reader.directory)


@pytest.mark.usefixtures("database_made_before")
def test_a_moment_is_restored_with_what_was_acknowledged_before_it_and_nothing_sent_after(
    reader: Reader,
) -> None:
    serve = PAGE.block("export STORECREDIT_WAL_ARCHIVE")
    serve = serve.replace("/mnt/elsewhere/wal", f"'{reader.archive}'")
    log = reader.directory / "log"
    with running(serve, reader.environment, log, reader.directory):
        until(lambda: "wal_archive_received" in log.read_text(), "it is received")
        history = made_history(reader)
    assert receivers(reader.archive) == []
    restored_to_the_moment(reader, history)

    (reader.directory / "restored").rename(reader.directory / "to-the-moment")
    archived = {"STORECREDIT_WAL_ARCHIVE": str(reader.archive)}
    said = reader.does("storecredit restore backups --data-dir restored\n", more=archived)
    assert "It has all that the WAL archive has" in said
    assert f"generation sessions: {len(history.client.done)}." in said


@pytest.mark.usefixtures("database_made_before")
async def test_backups_are_kept_in_s3_and_a_dump_moves_the_database(
    reader: Reader, empty_url: str
) -> None:
    run("storecredit demo", reader.environment, reader.directory)
    theirs = {
        "bucket/prefix": f"{BUCKET}/daily",
        "KEY_ID=…": f"KEY_ID={ACCESS_KEY}",
        "ACCESS_KEY=…": f"ACCESS_KEY={SECRET_KEY}",
    }
    async with stand_in(S3()) as server:
        endpoint = {"AWS_ENDPOINT_URL": server.url("")}
        said = await asyncio.to_thread(reader.does, "export AWS_ACCESS_KEY_ID", theirs, endpoint)
    assert f"Backed up to s3://{BUCKET}/daily/storecredit-" in said
    assert "Stores: 1, movements: 1, " in said
    assert "All of it agrees." in said

    theirs = {"postgresql://owner@127.0.0.1:5432/empty": f"'{empty_url}'"}
    said = reader.does("storecredit backup dumps", theirs)
    assert "(logical) into the external database" in said
    assert "Stores: 1, movements: 1, " in said
    assert "All of it agrees." in said


def test_every_block_of_commands_is_run_by_one_of_these_tests() -> None:
    assert [text.split()[0:3] for text in PAGE.blocks()] == [
        ["storecredit", "backup", "backups"],
        ["storecredit", "restore", "backups"],
        ["export", "AWS_ACCESS_KEY_ID=…", "AWS_SECRET_ACCESS_KEY=…"],
        ["storecredit", "backup", "dumps"],
        ["export", "STORECREDIT_WAL_ARCHIVE=/mnt/elsewhere/wal", "storecredit"],
        ["storecredit", "restore", "backups"],
        ["storecredit", "psql", "-c"],
    ]
