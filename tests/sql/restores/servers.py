"""PostgreSQL's own programs, of one version, and servers of theirs that know nothing of us."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from storecredit.postgres.embedded.cluster import POSTGRES_BIN, POSTGRES_VERSION
from storecredit.postgres.embedded.system_user import Account
from tests.free_ports import free_port

SUPERUSER: Final = "postgres"
# Loopback only, and thrown away: no passwords, and no waiting for the disk.
INITDB_OPTIONS: Final = (
    *("--username", SUPERUSER, "--auth=trust", "--no-instructions", "--no-sync"),
    *("--encoding=UTF8", "--locale=C", "--wal-segsize=1"),
)
SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "50",
    "shared_buffers": "16MB",
    "fsync": "off",
    "autovacuum": "off",
}
# Whatever this machine's environment says of another server.
ENVIRONMENT: Final = {"LC_ALL": "C", "PATH": os.defpath}


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of one version of PostgreSQL."""

    directory: Path

    @classmethod
    def of(cls, major: int) -> "Programs":
        """Those of a major version; skips the test where there are none, or fails if told to."""
        directory = POSTGRES_BIN
        if major != POSTGRES_VERSION:
            directory = Path(f"/usr/lib/postgresql/{major}/bin")
        if not (directory / "pg_dump").exists():
            needed = f"needs the programs of PostgreSQL {major} (Debian: postgresql-{major})"
            if os.environ.get("STORECREDIT_TEST_CLIENTS") == "required":
                pytest.fail(needed)
            pytest.skip(needed)
        return cls(directory)

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def dump(self, url: str, to: Path, *options: str) -> Path:
        """Dump a database into one file."""
        self._run("pg_dump", "--dbname", url, "--file", str(to), *options, check=True)
        return to

    def psql(self, url: str, file: Path) -> list[str]:
        """Restore a plain dump as most people do: past every error. The errors."""
        return self._run("psql", "--no-psqlrc", "--quiet", "--dbname", url, "--file", str(file))

    def pg_restore(self, url: str, file: Path, *options: str) -> list[str]:
        """Restore a dump past every error. The errors."""
        return self._run("pg_restore", "--dbname", url, *options, str(file))

    def _run(self, name: str, *arguments: str, check: bool = False) -> list[str]:
        done = subprocess.run(
            [self.path(name), *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
        )
        assert not check or done.returncode == 0, done.stderr
        return [line for line in done.stderr.splitlines() if "ERROR:" in line]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A data directory, and the server on it while it runs."""

    programs: Programs
    directory: Path
    account: Account
    port: int

    @classmethod
    def make(cls, programs: Programs, directory: Path, *options: str) -> "Cluster":
        directory.mkdir()
        account = Account.of(directory)
        cluster = cls(programs, directory, account, free_port())
        for path in (cluster.data, Path(programs.path("initdb"))):
            account.reach(path)
        account.own(directory)
        cluster.run("initdb", *INITDB_OPTIONS, *options, "--pgdata", str(cluster.data))
        return cluster

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def url(self, database: str, login: str = SUPERUSER) -> str:
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def running(self) -> Iterator[None]:
        settings = SETTINGS | {
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        log = str(self.directory / "log")
        self.run("pg_ctl", "start", *self._waiting, "--log", log, "--options", options)
        try:
            yield
        finally:
            self.run("pg_ctl", "stop", *self._waiting, "--mode", "fast")

    def run(self, name: str, *arguments: str) -> None:
        """Run a program as the user that PostgreSQL runs as."""
        try:
            self.account.run(self.programs.path(name), *arguments, capture_output=True)
        except subprocess.CalledProcessError as error:
            said = (error.stdout + error.stderr).decode(errors="replace")
            raise AssertionError(f"{name} failed: {said}") from error

    @property
    def _waiting(self) -> tuple[str, ...]:
        return ("--wait", "--timeout", "60", "--silent", "--pgdata", str(self.data))


async def major_version(url: str) -> int:
    """Of the server of a database."""
    connection = await asyncpg.connect(url)
    try:
        return connection.get_server_version().major
    finally:
        await connection.close()
