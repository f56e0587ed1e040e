"""Keeps the WAL archive of the embedded server up to date: pg_receivewal, whoever starts it.

Hides the program, the replication slot and who of several processes runs it. Promises that the
server keeps WAL until the archive has it on disk, but no more than `max_slot_wal_keep_size`, so
that an archive that is away never fills the server's disk; that an archive is continued only by
the server that began it; and that whatever keeps it from being complete is logged.

Who holds `postgres.archive.lock` receives. The program inherits the lock, so that it is held for as
long as the program runs, also when the process that started it is killed; it ends with the server,
which on an orderly stop waits until all has been received.
"""

import asyncio
import contextlib
import fcntl
import os
import subprocess
from pathlib import Path
from typing import Final

import asyncpg
import psutil

from storecredit.postgres.embedded.cluster import LAUNCH_SCRIPT, lives, open_private
from storecredit.postgres.errors import DatabaseError, translated
from storecredit.postgres.pacing import backoff
from storecredit.postgres.programs.client_programs import program, variables_of
from storecredit.postgres.programs.wal_archive import (
    SEGMENT_BYTES,
    ArchiveUnusable,
    WalArchive,
    position,
)
from storecredit.postgres.servers import Connection, connect
from storecredit.telemetry import get_logger

SLOT: Final = "storecredit_archive"
LOCK: Final = "postgres.archive.lock"
LOG: Final = "postgres.archive.log"
LOG_TAIL_BYTES: Final = 500
POLL_SECONDS: Final = 1.0
PAUSE_MAX_SECONDS: Final = 30.0

log = get_logger("postgres.wal_receiver")


class WalReceiver:
    """Receives the WAL of the server in `data_dir` into `archive`, while `keep_receiving` runs."""

    def __init__(self, data_dir: Path, admin_url: str, archive: Path) -> None:
        self._data_dir = data_dir.resolve()
        self._admin_url = admin_url
        self._archive = archive

    async def keep_receiving(self) -> None:
        """See to it that the archive is received, by this process or another, until cancelled.

        The program goes on after that, until the server stops.
        """
        failures = 0
        while True:
            lock = os.open(self._data_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if _try_lock(lock):
                    failures = await self._receive(lock, failures)
            finally:
                os.close(lock)
            await asyncio.sleep(backoff(POLL_SECONDS, max(failures, 1), PAUSE_MAX_SECONDS))

    async def _receive(self, lock: int, failures: int) -> int:
        """Run the program until it ends; how often in a row it failed."""
        try:
            folder = await self._folder()
            process = self._launch(folder, lock)
            log.info("wal_archive_received", folder=str(folder))
            while process is not None and lives(process):
                await asyncio.sleep(POLL_SECONDS)
                failures = 0
            reason = await asyncio.to_thread(self._last_words)
        except (DatabaseError, ArchiveUnusable, asyncpg.PostgresError, OSError) as error:
            reason = str(error)
        failures += 1
        log.error("wal_archive_interrupted", reason=reason, failures=failures)
        return failures

    async def _folder(self) -> Path:
        """Where the server's WAL goes on, with a slot from which it does."""
        connection = await connect(self._admin_url, as_app=False)
        try:
            with translated():
                return await self._continued(connection)
        finally:
            await connection.close()

    async def _continued(self, connection: Connection) -> Path:
        server = await connection.fetchrow(
            """SELECT (SELECT system_identifier::text FROM pg_control_system()) AS identifier,
                      (SELECT timeline_id FROM pg_control_checkpoint()) AS timeline,
                      pg_current_wal_lsn()::text AS written,
                      (SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1) AS slot""",
            SLOT,
        )
        if server is None:
            raise AssertionError("a SELECT without FROM has a row")
        archive = WalArchive(self._archive, server["identifier"])
        folders, newest = archive.folders(server["timeline"]), archive.newest(server["timeline"])
        is_ahead = newest and newest.number > position(server["written"]) // SEGMENT_BYTES
        if is_ahead:
            await drop_slot(connection)
        if newest and (is_ahead or server["slot"] is None):
            raise ArchiveUnusable(
                f"{folders[-1]} was begun by another server, or by this one before its files were "
                "put back by other means than `storecredit restore`: name a new directory in "
                "STORECREDIT_WAL_ARCHIVE, and take a backup"
            )
        is_lost = server["slot"] == "lost"
        if is_lost:
            log.error("wal_archive_gap", folder=str(folders[-1:]), advice="take a backup")
            await drop_slot(connection)
        folder = folders[-1] if folders and not is_lost else archive.next_folder(server["timeline"])
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if is_lost or server["slot"] is None:
            await make_slot(connection)
        return folder

    def _launch(self, folder: Path, lock: int) -> psutil.Process | None:
        with open(self._data_dir / LOG, "wb", opener=open_private) as said:
            shell = subprocess.run(  # noqa: S603 - no outsider's word is part of it
                [
                    *("/bin/sh", "-c", LAUNCH_SCRIPT, "sh", program("pg_receivewal")),
                    *("--directory", str(folder), "--slot", SLOT, "--no-loop", "--no-password"),
                ],
                check=True,
                cwd="/",
                env={"LC_ALL": "C", "PATH": os.defpath} | variables_of(self._admin_url),
                pass_fds=[lock],
                start_new_session=True,
                stdout=subprocess.PIPE,
                stderr=said,
                umask=0o077,
            )
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(int(shell.stdout))
        return None

    def _last_words(self) -> str:
        with (self._data_dir / LOG).open("rb") as said:
            said.seek(0, os.SEEK_END)
            said.seek(max(0, said.tell() - LOG_TAIL_BYTES))
            return said.read().decode(errors="replace").strip()


async def make_slot(connection: Connection) -> None:
    """Have the server keep its WAL from now on, until it has been archived."""
    await connection.execute("SELECT pg_create_physical_replication_slot($1, true)", SLOT)


async def drop_slot(connection: Connection) -> None:
    """Have the server keep no WAL for the archive."""
    await connection.execute(
        """SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
           WHERE slot_name = $1""",
        SLOT,
    )


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
