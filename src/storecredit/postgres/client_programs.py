"""The client programs that come with PostgreSQL (pg_basebackup, psql …), and how to run them.

Hides where they are, how they learn what to connect to, and what they print. Promises that no
password stands in their arguments, which everyone on a machine can read; that nothing of this
process's own PG* variables reaches them; and that none of them outlives the one who waits for it.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from storecredit.postgres.cluster import POSTGRES_BIN

SAID_MAX_BYTES: Final = 4096
SAID_MAX_LINES: Final = 3
READ_MAX_BYTES: Final = 4096
STOP_SECONDS: Final = 5.0
"""For a program that is told to stop to do so; then it is killed."""

_PROGRESS: Final = re.compile(rb"(\d+)/(\d+) kB")
"""What pg_basebackup prints with --progress: done and expected."""

OnProgress = Callable[[int, int], None]
"""Called with what is done and what is expected, both in bytes."""


class ProgramFailed(Exception):
    """A client program did not do what it was to do; the message is for people."""


def program(name: str) -> str:
    """Where a client program is."""
    return str(POSTGRES_BIN / name)


def connection_variables(url: str) -> dict[str, str]:
    """What libpq is to be told of the embedded server's URL, as environment variables.

    https://www.postgresql.org/docs/18/libpq-envars.html
    """
    parts = urlsplit(url)
    said = parse_qs(parts.query)
    return {
        "PGHOST": said["host"][0],
        "PGPORT": said["port"][0],
        "PGUSER": unquote(parts.username or ""),
        "PGDATABASE": unquote(parts.path[1:]),
        "PGAPPNAME": "storecredit",
    }


async def run(
    name: str,
    *arguments: str | Path,
    variables: Mapping[str, str],
    on_progress: OnProgress | None = None,
) -> None:
    """Run a program to its end; what it makes is for this user alone.

    Raises `ProgramFailed` with its last words. If the caller is cancelled, it is stopped first.
    """
    process = await asyncio.create_subprocess_exec(
        program(name),
        *map(str, arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath} | dict(variables),
        # Out of reach of Ctrl-C: whoever waits for it ends it.
        start_new_session=True,
        umask=0o077,
    )
    try:
        said = await _follow(process, on_progress)
        status = await process.wait()
    finally:
        await stop(process)
    if status != 0:
        raise ProgramFailed(f"{name} failed: {_last_words(said) or f'exit status {status}'}")


async def stop(process: asyncio.subprocess.Process) -> None:
    """End a program, if it has not ended by itself."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _follow(process: asyncio.subprocess.Process, on_progress: OnProgress | None) -> bytes:
    """Read what a program says until it has said all; the end of it."""
    if process.stderr is None:
        raise AssertionError("its standard error is a pipe")
    said = b""
    while read := await process.stderr.read(READ_MAX_BYTES):
        said = (said + read)[-SAID_MAX_BYTES:]
        if on_progress is not None and (counted := _PROGRESS.findall(said)):
            done, expected = counted[-1]
            on_progress(int(done) * 1024, int(expected) * 1024)
    return said


def _last_words(said: bytes) -> str:
    lines = re.split(r"[\r\n]+", said.decode(errors="replace").strip())
    # Warnings and counts are no reason; the programs begin a reason with their own name.
    told = [line for line in lines if ": error: " in line or ": fatal: " in line.lower()]
    return " ".join((told or lines)[-SAID_MAX_LINES:]).strip()
