"""A real PgBouncer before the tests' server.

Without one its tests are skipped, and say so; with STORECREDIT_TEST_CLIENTS=required they fail.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from storecredit.postgres.database_url import PORT, DatabaseUrl
from tests.free_ports import free_port
from tests.web.real_clients import program

START_SECONDS_MAX = 30.0
PARAMETERS = (
    "role,search_path,enable_seqscan,enable_bitmapscan,jit,default_transaction_isolation,"
    "client_min_messages"
)
"""What the service asks for at the start of a session."""


@dataclass(frozen=True, slots=True)
class PgBouncer:
    """One that can be stopped and started again; `settings` go into its configuration."""

    directory: Path
    server_url: str
    port: int
    settings: dict[str, object]

    def url(self, login: str) -> str:
        """The database of the server's URL, by PgBouncer, for somebody in `login`."""
        database = DatabaseUrl.read(self.server_url).servers[0]["database"]
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    def with_settings(self, **settings: object) -> "PgBouncer":
        """The same place, set up otherwise."""
        return replace(self, settings=self.settings | settings)

    def configuration(self, options: str) -> str:
        """What it reads at its start; `options` are the databases'."""
        (place,) = DatabaseUrl.read(self.server_url).servers
        host, port = place["host"], place.get("port", PORT)
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": self.directory / "logins",
            "logfile": self.directory / "log",
            "user": self._user() if os.geteuid() == 0 else None,
        } | self.settings
        lines = (f"{name} = {value}" for name, value in settings.items() if value is not None)
        database = f"* = host={host} port={port} {options}"
        return "\n".join(("[databases]", database, "[pgbouncer]", *lines, ""))

    def _user(self) -> str:
        """As root it does not run. Who owns the server's socket may go there, nobody else."""
        host = DatabaseUrl.read(self.server_url).servers[0]["host"]
        return Path(host).owner() if host.startswith("/") else "nobody"

    @asynccontextmanager
    async def running(self, *logins: str, options: str = "") -> AsyncIterator["PgBouncer"]:
        """It runs, and lets these roles in."""
        (self.directory / "logins").write_text("".join(f'"{login}" ""\n' for login in logins))
        (self.directory / "ini").write_text(self.configuration(options))
        if os.geteuid() == 0:
            shutil.chown(self.directory, self._user())
        process = await asyncio.create_subprocess_exec(
            program("pgbouncer"),
            "--quiet",
            str(self.directory / "ini"),
            stdin=asyncio.subprocess.DEVNULL,
        )
        try:
            await self._listens(process)
            yield self
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()

    async def _listens(self, process: asyncio.subprocess.Process) -> None:
        async with asyncio.timeout(START_SECONDS_MAX):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionError:
                    log = self.directory / "log"
                    told = log.read_text() if log.exists() else ""
                    assert process.returncode is None, told
                    await asyncio.sleep(0.01)
                else:
                    writer.close()
                    return


@contextmanager
def pgbouncer(server_url: str, **settings: object) -> Iterator[PgBouncer]:
    """One that is not running yet, with a directory of its own."""
    # Not pytest's tmp_path, whose parents are shut to the user it runs as.
    directory = Path(tempfile.mkdtemp(prefix="storecredit-test-"))
    yield PgBouncer(directory, server_url, free_port(), settings)
    shutil.rmtree(directory)


def owner_of(server_url: str) -> str:
    """The role that the tests' server URL logs in as."""
    return urlsplit(server_url).username or "postgres"
