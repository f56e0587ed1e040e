"""What the tests of the embedded PostgreSQL share: its processes, and a service that uses it."""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil

from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres

WAIT_MAX_SECONDS = 60.0

# A service in a process of its own: says what it found, stops when its input ends.
SERVICE = """
import asyncio, sys
from pathlib import Path
from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres

async def main():
    postgres = EmbeddedPostgres(Path(sys.argv[1]))
    await postgres.start()
    print(postgres.pid(), file=sys.stderr, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await postgres.stop()

asyncio.run(main())
"""


def new_directory() -> Path:
    # Not pytest's tmp_path, whose parent pytest shuts again for every user but its own.
    return Path(tempfile.mkdtemp(prefix="storecredit-test-")).resolve()


def servers(data_dir: Path) -> list[psutil.Process]:
    """Every postmaster of this data directory."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "postgres" and str(data_dir / "postgres") in process.cmdline():
                found.append(process)
    return found


def kill_servers(data_dir: Path) -> None:
    for server in servers(data_dir):
        server.kill()


def running(postgres: EmbeddedPostgres) -> psutil.Process:
    pid = postgres.pid()
    assert pid is not None
    return psutil.Process(pid)


def socket_dir(postgres: EmbeddedPostgres) -> Path:
    return Path(parse_qs(urlsplit(postgres.admin_url).query)["host"][0])


async def ask(postgres: EmbeddedPostgres, query: str) -> Any:
    connection = await asyncpg.connect(postgres.admin_url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        # Another process makes it true, which sends no event.
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@dataclass(frozen=True, slots=True)
class Service:
    """A child process that uses the cluster."""

    process: asyncio.subprocess.Process
    postmaster_pid: int

    @classmethod
    async def start(cls, data_dir: Path) -> "Service":
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SERVICE, str(data_dir)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        async with asyncio.timeout(WAIT_MAX_SECONDS):
            return cls(process, int(await process.stderr.readline()))

    async def stop(self) -> None:
        await self.process.communicate(b"")
        assert self.process.returncode == 0

    async def kill(self) -> None:
        self.process.kill()
        await self.process.communicate()
