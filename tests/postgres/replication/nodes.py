"""A primary and a standby, made of the embedded server's own binaries.

Hides how a server is started, killed, stood still and promoted, and what one keeps as its own:
port and primary stand on its command line, since `pg_rewind` brings the other's files along.
Promises that nothing outlives `end`: every process is ended by its number.
"""

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import psutil

from storecredit.postgres.embedded.cluster import POSTGRES_BIN
from storecredit.postgres.embedded.system_user import Account
from tests.crash.waiting import POLL_SECONDS, until_true
from tests.free_ports import free_port
from tests.process_ends import left_after

DATABASE: Final = "storecredit"
USER: Final = "postgres"
WAIT_MAX_SECONDS: Final = 30.0
END_MAX_SECONDS: Final = 5.0
STANDBY_NAME: Final = "standby"
WAITING_FOR_STANDBY: Final = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

# Loopback only, and thrown away: no passwords, and no waiting for the disk. Small, to be copied.
INITDB_OPTIONS: Final = (
    *("--username", USER, "--auth=trust", "--no-instructions", "--no-sync", "--wal-segsize=1"),
    *("--encoding=UTF8", "--locale=C"),
)
SETTINGS: Final = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 160
shared_buffers = '16MB'
dynamic_shared_memory_type = mmap
fsync = off
autovacuum = off
wal_keep_size = '128MB'
wal_retrieve_retry_interval = '50ms'
"""


@dataclass(slots=True)
class Node:
    """One server: its directory, its port, and whom it follows."""

    directory: Path
    account: Account
    port: int
    follows: "Node | None" = None
    _stood_still: list[psutil.Process] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """A superuser's URL."""
        return url_of(self)

    def start(self) -> None:
        """Returns when it takes connections."""
        if self.follows is not None:
            signal_file = self.data / "standby.signal"
            signal_file.touch()
            os.chown(signal_file, self.account.uid, self.account.gid)
        options = ["-p", str(self.port)]
        if self.follows is not None:
            conninfo = f"host=127.0.0.1 port={self.follows.port} user={USER}"
            options += ["-c", f"primary_conninfo={conninfo} application_name={STANDBY_NAME}"]
        self._pg_ctl("start", "--log", str(self.log_path), "--options", shlex.join(options))

    def stop(self, mode: str = "fast") -> None:
        """`fast`: what was written goes to the standby first. `immediate`: as after a crash."""
        self._pg_ctl("stop", "--mode", mode)

    def kill(self) -> None:
        """SIGKILL to all of its processes at once, as when the machine is gone."""
        self.stand_still()
        for process in self._stood_still:
            process.kill()
        # Until their numbers are free: PostgreSQL takes a zombie for one that runs.
        psutil.wait_procs(self._stood_still, timeout=WAIT_MAX_SECONDS)
        self._stood_still = []

    def stand_still(self) -> None:
        """SIGSTOP to all of its processes: its connections stay, and nobody answers."""
        (postmaster,) = server_processes(self.data)[:1]
        postmaster.suspend()
        self._stood_still = server_processes(self.data)
        for process in self._stood_still:
            process.suspend()

    def go_on(self) -> None:
        """SIGCONT."""
        for process in reversed(self._stood_still):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
        self._stood_still = []

    async def promote(self) -> None:
        """Make a primary of a standby; returns when it is one."""
        assert await self.ask("SELECT pg_promote(true, 30)")
        self.follows = None

    async def make_database(self, name: str) -> None:
        connection = await asyncpg.connect(f"postgresql://{USER}@{self.address}/postgres")
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        finally:
            await connection.close()

    async def ask(self, query: str, *args: object) -> Any:
        """The first column of the first row, by a connection of its own."""
        connection = await asyncpg.connect(self.url, timeout=WAIT_MAX_SECONDS)
        try:
            return await connection.fetchval(query, *args)
        finally:
            # Not closed: a server that stands still, or a busy machine, takes its time for that.
            connection.terminate()

    async def set(self, name: str, value: str) -> None:
        """Change a setting of the server, which takes it up at once."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()

        async def has_it() -> bool:
            return bool(await self.ask("SELECT current_setting($1) = $2", name, value))

        await until_true(has_it, f"{name} is {value!r}", WAIT_MAX_SECONDS, self.log_tail)

    async def until_synchronous(self) -> None:
        """Wait until a commit here waits for a standby that streams."""

        async def is_so() -> bool:
            found = "SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'"
            return bool(await self.ask(found))

        await until_true(is_so, "the standby is synchronous", WAIT_MAX_SECONDS, self.log_tail)

    def follow(self, primary: "Node") -> None:
        """Become the standby of the one that took over, by `pg_rewind`; it stands still no more."""
        self.follows = primary
        self._run(
            *("pg_rewind", "--no-sync", "--target-pgdata", str(self.data)),
            *("--source-server", f"host=127.0.0.1 port={primary.port} user={USER} dbname=postgres"),
        )
        self.start()

    def end(self) -> None:
        """Whatever state it is in: no process and no memory of it is left."""
        self.go_on()
        end_server(self.data)

    @property
    def log_path(self) -> Path:
        return self.directory / "log"

    def log_tail(self) -> str:
        """The end of its log, for a failure's message."""
        lines = (
            self.log_path.read_text(errors="replace").splitlines() if self.log_path.exists() else []
        )
        return f"--- the server on port {self.port} logged last:\n" + "\n".join(lines[-15:])

    def _pg_ctl(self, action: str, *options: str) -> None:
        self._run(
            *("pg_ctl", action, "--wait", "--timeout", "60", "--silent"),
            *("--pgdata", str(self.data), *options),
        )

    def _run(self, program: str, *arguments: str) -> None:
        try:
            self.account.run(
                str(POSTGRES_BIN / program),
                *arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except subprocess.CalledProcessError as error:
            said = (error.stdout + error.stderr).decode(errors="replace")
            raise AssertionError(f"{program} failed: {said}\n{self.log_tail()}") from error


@contextlib.asynccontextmanager
async def waits_cancelled(primary: Node) -> AsyncIterator[None]:
    """Somebody cancels every statement that waits for the standby."""
    admin = await asyncpg.connect(primary.url)

    async def cancel() -> None:
        while True:
            await admin.execute(f"SELECT pg_cancel_backend(pid) {WAITING_FOR_STANDBY}")
            await asyncio.sleep(POLL_SECONDS)

    cancelling = asyncio.create_task(cancel())
    try:
        yield
    finally:
        cancelling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await cancelling
        admin.terminate()


def url_of(*nodes: Node, **parameters: str) -> str:
    """One URL that names these servers in their order."""
    hosts = ",".join(node.address for node in nodes)
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return f"postgresql://{USER}@{hosts}/{DATABASE}" + (f"?{query}" if query else "")


def server_processes(data: Path) -> list[psutil.Process]:
    """The postmaster, then its children; none of a server that is not running."""
    with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess, ValueError):
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        postmaster = psutil.Process(pid)
        if postmaster.name() == "postgres" and str(data) in postmaster.cmdline():
            return [postmaster, *postmaster.children(recursive=True)]
    return []


def end_server(data: Path) -> None:
    """End it at once, and give back the shared memory of one that was killed before.

    A system has few segments, and one that nobody uses any more stays until it is removed.
    """
    processes = server_processes(data)
    for process in processes[:1]:
        process.send_signal(signal.SIGQUIT)
    for process in left_after(processes, END_MAX_SECONDS):
        process.kill()
    with contextlib.suppress(FileNotFoundError, IndexError):
        # Its key and its id (src/include/utils/pidfile.h).
        segment = (data / "postmaster.pid").read_text().splitlines()[6].split()[1]
        subprocess.run(["ipcrm", "--shmem-id", segment], capture_output=True, check=False)


def make_cluster(directory: Path) -> Node:
    """A server that is not running yet, of a cluster of its own."""
    directory.mkdir()
    account = Account.of(directory)
    node = Node(directory, account, free_port())
    for path in (node.data, POSTGRES_BIN / "initdb"):
        account.reach(path)
    account.own(directory)
    account.run(
        *(str(POSTGRES_BIN / "initdb"), *INITDB_OPTIONS, "--pgdata", str(node.data)),
        capture_output=True,
    )
    with (node.data / "postgresql.conf").open("a") as configuration:
        configuration.write(SETTINGS)
    return node


def copy_of(node: Node, directory: Path, *, follows: Node | None = None) -> Node:
    """A copy of a server at rest, with a port of its own; the directory may be a disk's."""
    directory.mkdir(exist_ok=True)
    node.account.own(directory)
    # Unlike Python's own copying, it keeps the files' owner: the user PostgreSQL runs as.
    subprocess.run(["cp", "-a", str(node.data), str(directory)], check=True)
    return Node(directory, node.account, free_port(), follows)


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary and its standby, both running."""

    primary: Node
    standby: Node

    @classmethod
    def start(cls, base: Node, directory: Path) -> "Pair":
        primary = copy_of(base, directory / "a")
        standby = copy_of(base, directory / "b", follows=primary)
        pair = cls(primary, standby)
        try:
            primary.start()
            standby.start()
        except BaseException:
            pair.end()
            raise
        return pair

    @property
    def nodes(self) -> Sequence[Node]:
        return (self.primary, self.standby)

    async def make_synchronous(self) -> None:
        """From now on no commit of the primary is done before the standby has it."""
        await self.primary.set("synchronous_standby_names", "*")
        await self.primary.until_synchronous()

    def url(self, **parameters: str) -> str:
        """The URL that an operator gives: both servers, the first primary first."""
        return url_of(*self.nodes, **parameters)

    def end(self) -> None:
        for node in self.nodes:
            node.end()
            shutil.rmtree(node.directory, ignore_errors=True)
