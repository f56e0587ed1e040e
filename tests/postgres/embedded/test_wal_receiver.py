"""The WAL archive: one program receives it, goes on where it was, and tells of every gap."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest
from structlog.testing import capture_logs

from storecredit.postgres.embedded import cluster
from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from storecredit.postgres.programs.base_backup import WalRange
from storecredit.postgres.programs.wal_archive import WalArchive
from storecredit.postgres.programs.wal_receiver import SLOT, WalReceiver
from tests.crash.waiting import until, until_true

IS_ACTIVE = "SELECT active FROM pg_replication_slots WHERE slot_name = $1"
DROP_SLOT = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active"
SYSTEM_IDENTIFIER = "SELECT system_identifier::text FROM pg_control_system()"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "archive"
    yield path
    for program in programs(path):
        program.kill()


@pytest.fixture
async def admin(postgres: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres.admin_url)
    yield connection
    with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        await connection.execute(DROP_SLOT)
    await connection.close()


def programs(archive: Path) -> list[psutil.Process]:
    """What receives into this archive."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            receives = str(archive) in " ".join(process.cmdline())
            if process.name() == "pg_receivewal" and receives and cluster.lives(process):
                found.append(process)
    return found


@asynccontextmanager
async def receiving(
    postgres: EmbeddedPostgres, data_dir: Path, archive: Path
) -> AsyncIterator[None]:
    """As a process that uses the database, whose end leaves the program alone."""
    receiver = WalReceiver(data_dir, postgres.admin_url, archive)
    task = asyncio.create_task(receiver.keep_receiving())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def await_receiver(archive: Path, admin: asyncpg.Connection) -> None:
    """Wait until a program receives."""

    async def is_active() -> bool:
        # A slot is active for a moment, too, while it is made.
        return programs(archive) != [] and bool(await admin.fetchval(IS_ACTIVE, SLOT))

    await until_true(is_active, "the archive is received", 20, str)


async def end(archive: Path, admin: asyncpg.Connection) -> None:
    """Nobody receives any more."""
    for program in programs(archive):
        program.kill()

    async def is_free() -> bool:
        return programs(archive) == [] and not await admin.fetchval(IS_ACTIVE, SLOT)

    await until_true(is_free, "nobody receives", 20, str)


async def archived(admin: asyncpg.Connection, archive: Path) -> WalArchive:
    return WalArchive(archive, await admin.fetchval(SYSTEM_IDENTIFIER))


async def test_one_program_receives_for_all_and_outlives_who_started_it(
    postgres: EmbeddedPostgres, data_dir: Path, archive: Path, admin: asyncpg.Connection
) -> None:
    async with receiving(postgres, data_dir, archive), receiving(postgres, data_dir, archive):
        await await_receiver(archive, admin)
        (program,) = programs(archive)
    assert programs(archive) == [program]
    async with receiving(postgres, data_dir, archive):
        assert programs(archive) == [program]
    found = await archived(admin, archive)
    written = await admin.fetchval("SELECT pg_walfile_name(pg_current_wal_lsn())")
    await admin.close()

    await postgres.stop()
    # The server has waited for what it received, and not for its end.
    await until(lambda: not cluster.lives(program), "it ends with the server", 20, str)
    newest = found.newest(1)
    assert newest is not None
    assert newest.name >= written


async def test_wal_that_the_server_gave_up_is_told_as_a_gap_and_what_follows_is_kept_apart(
    monkeypatch: pytest.MonkeyPatch, data_dir: Path, archive: Path
) -> None:
    for name in ("max_slot_wal_keep_size", "max_wal_size", "min_wal_size"):
        monkeypatch.setitem(cluster.SERVER_SETTINGS, name, "32MB")
    postgres = EmbeddedPostgres(data_dir)
    await postgres.start()
    admin = await asyncpg.connect(postgres.admin_url)
    try:
        async with receiving(postgres, data_dir, archive):
            await await_receiver(archive, admin)
        await end(archive, admin)
        for _ in range(5):
            await admin.execute("SELECT pg_logical_emit_message(false, 'a', 'b')")
            await admin.execute("SELECT pg_switch_wal()")
        await admin.execute("CHECKPOINT")
        with capture_logs() as logs:
            async with receiving(postgres, data_dir, archive):
                await await_receiver(archive, admin)
        found = await archived(admin, archive)
    finally:
        await admin.execute(DROP_SLOT)
        await admin.close()
        await postgres.stop()
    assert [line["event"] for line in logs] == ["wal_archive_gap", "wal_archive_received"]
    assert [folder.name for folder in found.folders(1)] == ["1", "1.1"]
    replay = found.replay(WalRange(1, "0/1000028", "0/1000100"), 1)
    assert replay.gap is not None


async def test_the_archive_of_another_server_is_not_gone_on_with(
    postgres: EmbeddedPostgres, data_dir: Path, archive: Path, admin: asyncpg.Connection
) -> None:
    found = await archived(admin, archive)
    ahead = found.directory / "1" / "0000000100000000000000FF"
    ahead.parent.mkdir(parents=True)
    ahead.touch()
    for _ in ("it is ahead of this server", "nor once this server has gone further"):
        with capture_logs() as logs:
            async with receiving(postgres, data_dir, archive):
                await until(lambda: logs != [], "it is told", 20, str)
        (told,) = logs
        assert told["event"] == "wal_archive_interrupted"
        assert "was begun by another server" in told["reason"]
        ahead.rename(ahead.with_name("000000010000000000000001"))
        ahead = ahead.with_name("000000010000000000000001")
    assert programs(archive) == []
    assert await admin.fetchval("SELECT count(*) FROM pg_replication_slots") == 0


async def test_an_archive_that_is_away_is_told_and_gone_on_with_when_it_is_back(
    postgres: EmbeddedPostgres, data_dir: Path, archive: Path, admin: asyncpg.Connection
) -> None:
    archive.write_text("no directory")
    with capture_logs() as logs:
        async with receiving(postgres, data_dir, archive):
            await until(lambda: logs != [], "it is told", 20, str)
            archive.unlink()
            await await_receiver(archive, admin)
    events = [line["event"] for line in logs]
    assert events[0] == "wal_archive_interrupted"
    assert events[-1] == "wal_archive_received", logs
