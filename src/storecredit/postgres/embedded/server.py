"""The server of a cluster, from the first look for one to the last process gone.

Hides how a server is found, launched, waited for and stopped, crash recovery and the leftovers of a
killed one included. All of it is for the holder of the cluster's start lock; who uses the server,
and for how long, is the matter of `EmbeddedPostgres`.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import psutil

from storecredit.postgres.embedded.cluster import PORT, SUPERUSER, Cluster, lives
from storecredit.postgres.embedded.system_user import (
    COMMAND_TIMEOUT_SECONDS,
    Account,
    EmbeddedPostgresError,
)
from storecredit.telemetry import get_logger

INITDB_DATABASE = "postgres"

POLL_SECONDS = 0.02
CONNECT_TIMEOUT_SECONDS = 30.0
START_TIMEOUT_SECONDS = 300.0
"""Crash recovery may have to read `max_wal_size` of WAL."""
ORPHANS_TIMEOUT_SECONDS = 60.0
"""For the backends of a killed postmaster to end; no other server may use their files before."""
STOP_TIMEOUT_SECONDS = 60.0

log = get_logger("postgres.server")


class Server:
    """The server of `cluster`, whose `database` is made if it is missing."""

    def __init__(self, cluster: Cluster, database: str) -> None:
        self._cluster = cluster
        self._database = database
        self.socket_dir: Path | None = None
        """After `bring_up`, where its socket is."""
        self._launched: int | None = None

    def url(self, role: str) -> str:
        """The database's URL for a role; after `bring_up`."""
        if self.socket_dir is None:
            raise EmbeddedPostgresError("The embedded PostgreSQL has not been started.")
        # The port is named lest a PGPORT in the environment lead elsewhere.
        host = quote(str(self.socket_dir), safe="")
        return f"postgresql://{role}@/{self._database}?host={host}&port={PORT}"

    def pid(self) -> int | None:
        """The living postmaster's process id; None if there is none."""
        process = self._cluster.postmaster()
        return None if process is None else process.pid

    async def bring_up(self, account: Account) -> None:
        """Join the server, or launch it; returns when it takes connections.

        Raises EmbeddedPostgresError. A server that only takes too long goes on with its recovery.
        """
        self.socket_dir = await asyncio.to_thread(self._cluster.find_socket_dir, account)
        self._launched = None
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                await self._launch_until_it_answers(account, self.socket_dir)
        except asyncpg.PostgresError as error:
            raise self._cluster.failure(f"refuses the service: {error}") from error
        except TimeoutError as error:
            raise self._cluster.failure(
                f"takes no connections after {START_TIMEOUT_SECONDS:.0f} s; if it is still "
                "recovering from a crash, it goes on doing so: start again later"
            ) from error
        log.info("postgres_ready", pid=self.pid(), launched=self._launched is not None)

    async def shut_down(self) -> None:
        """Fast, else immediate shutdown; after the latter the next start recovers from the WAL."""
        process = self._cluster.postmaster() or self._cluster.process(self._launched)
        if process is not None:
            await self._stop(process)

    async def end(self) -> None:
        """Shut down, and see every process gone: one that has only begun, and a killed one's."""
        give_up = time.monotonic() + ORPHANS_TIMEOUT_SECONDS
        await self.shut_down()
        while orphans := await asyncio.to_thread(self._cluster.processes):
            if time.monotonic() > give_up:
                raise self._still_used_by(orphans)
            await asyncio.sleep(POLL_SECONDS)
            await self.shut_down()

    async def _stop(self, process: psutil.Process) -> None:
        for order in (signal.SIGINT, signal.SIGQUIT):
            give_up = time.monotonic() + STOP_TIMEOUT_SECONDS
            while lives(process) and time.monotonic() < give_up:
                # Again and again: a postmaster that has only just begun may miss the first.
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(order)
                await asyncio.sleep(POLL_SECONDS)
        if lives(process):
            raise self._cluster.failure(f"(process {process.pid}) does not stop")
        log.info("postgres_stopped", pid=process.pid)

    async def _launch_until_it_answers(self, account: Account, socket_dir: Path) -> None:
        while not await self._answers(socket_dir):
            if self._launched is not None and self._cluster.process(self._launched) is None:
                raise self._cluster.failure("did not start")
            if self._launched is None and self.pid() is None:
                await to_the_end(self._launch, account, socket_dir)
            await asyncio.sleep(POLL_SECONDS)

    def _launch(self, account: Account, socket_dir: Path) -> None:
        give_up = time.monotonic() + ORPHANS_TIMEOUT_SECONDS
        while orphans := self._cluster.processes():
            if time.monotonic() > give_up:
                raise self._still_used_by(orphans)
            time.sleep(POLL_SECONDS)
        self._cluster.retire_stale_files(socket_dir)
        self._launched = self._cluster.launch(account, socket_dir)

    def _still_used_by(self, orphans: list[psutil.Process]) -> EmbeddedPostgresError:
        numbers = ", ".join(str(process.pid) for process in orphans)
        return EmbeddedPostgresError(
            f"Processes of a killed PostgreSQL still use {self._cluster.path}: {numbers}. Nothing "
            "is lost; end them (SIGQUIT) and start again."
        )

    async def _answers(self, socket_dir: Path) -> bool:
        """Whether a server takes connections; waits while one says that it is about to.

        Makes the database if it is missing: a kill may have come between server and database.
        """
        while True:
            try:
                connection = await _connect(socket_dir, self._database)
            except asyncpg.CannotConnectNowError:
                await asyncio.sleep(POLL_SECONDS)
            except asyncpg.InvalidCatalogNameError:
                await self._create_database(socket_dir)
            except asyncpg.TooManyConnectionsError:
                return True
            except (OSError, asyncpg.PostgresConnectionError):
                return False
            else:
                await connection.close()
                return True

    async def _create_database(self, socket_dir: Path) -> None:
        connection = await _connect(socket_dir, INITDB_DATABASE)
        made_meanwhile = (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError)
        try:
            # A killed starter's statement may still be at work on the server.
            with contextlib.suppress(*made_meanwhile):
                await connection.execute(f"CREATE DATABASE {self._database}")
        finally:
            await connection.close()


async def _connect(socket_dir: Path, database: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(
        host=str(socket_dir),
        port=PORT,
        user=SUPERUSER,
        database=database,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=COMMAND_TIMEOUT_SECONDS,
    )


async def to_the_end(work: Callable[..., None], *arguments: Any) -> None:
    """Run `work` in a thread; on cancellation wait for it before obeying, lest it run unwatched."""
    thread = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])
        raise
