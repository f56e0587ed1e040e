"""The client programs that come with PostgreSQL (pg_basebackup, psql …), and how to run them.

Hides where they are, how they learn what to connect to, and what they print. Promises that no
password stands in their arguments, which everyone on a machine can read; that nothing of this
process's own environment reaches them but what the database URL leaves to PG* variables; and that
none of them outlives the one who waits for it.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from storecredit.postgres.database_url import DatabaseUrl
from storecredit.postgres.embedded.cluster import POSTGRES_BIN
from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.servers import read_url

SAID_MAX_BYTES: Final = 4096
SAID_MAX_LINES: Final = 3
READ_MAX_BYTES: Final = 4096
STOP_SECONDS: Final = 5.0
"""For a program that is told to stop to do so; then it is killed."""

_ENVIRONMENT: Final = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_PROGRESS: Final = re.compile(rb"(\d+)/(\d+) kB")
"""What pg_basebackup prints with --progress: done and expected."""

# What a database URL may say for the driver, by the variable that says it to libpq.
# https://www.postgresql.org/docs/18/libpq-envars.html
_VARIABLES: Final = {
    **{name: f"PG{name.upper()}" for name in ("sslmode", "sslnegotiation", "sslcert", "sslkey")},
    **{name: f"PG{name.upper()}" for name in ("sslrootcert", "sslcrl", "passfile", "service")},
    **{name: f"PG{name.upper()}" for name in ("krbsrvname", "gsslib")},
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
}

OnProgress = Callable[[int, int], None]
"""Called with what is done and what is expected, both in bytes."""


class ProgramFailed(Exception):
    """A client program did not do what it was to do; the message is for people."""


def program(name: str) -> str:
    """Where a client program is."""
    return str(POSTGRES_BIN / name)


def variables_of(url: str, **settings: str) -> dict[str, str]:
    """What libpq is to be told of a database URL, as environment variables.

    `settings` are more that the session is to begin with. What the URL does not say, this process's
    own PG* variables may, as they do for the driver. Raises DatabaseMisconfigured.
    """
    target = read_url(url)
    first = target.servers[0]
    said = {
        "PGHOST": ",".join(target.hosts),
        "PGPORT": ",".join(str(each["port"]) for each in target.servers if "port" in each),
        "PGUSER": first.get("user", ""),
        "PGPASSWORD": first.get("password", ""),
        "PGDATABASE": first.get("database", ""),
        "PGCONNECT_TIMEOUT": str(target.connect_seconds),
        **_session(target, settings),
    }
    for name, value in parse_qsl(urlsplit(first.get("dsn", "")).query):
        if name not in _VARIABLES:
            raise DatabaseMisconfigured(
                f"PostgreSQL's client programs cannot be told {name} by a variable: leave it out "
                "of the database URL for this command."
            )
        said[_VARIABLES[name]] = value
    # A service's host would go before the one that the URL names.
    never = {"PGOPTIONS", "PGTARGETSESSIONATTRS", *(("PGSERVICE",) if target.hosts else ())}
    left = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PG") and name not in never
    }
    return left | {name: value for name, value in said.items() if value}


def _session(target: DatabaseUrl, settings: Mapping[str, str]) -> dict[str, str]:
    wanted = {**target.server_settings, **settings}
    name, options = wanted.pop("application_name", ""), wanted.pop("options", "")
    words = [options, *(f"-c {key}={_escaped(value)}" for key, value in wanted.items())]
    several = "primary" if len(target.servers) > 1 else ""
    return {
        "PGAPPNAME": name,
        "PGOPTIONS": " ".join(filter(None, words)),
        "PGTARGETSESSIONATTRS": "read-write" if target.must_be_writable else several,
    }


def _escaped(value: str) -> str:
    """A backslash before what would end a word of PGOPTIONS."""
    return re.sub(r"([\\\s])", r"\\\1", value)


async def started(
    name: str, *arguments: str | Path, variables: Mapping[str, str] = _NOTHING
) -> asyncio.subprocess.Process:
    """A program, all of whose streams are pipes; whoever starts it is to `stop` it.

    What it makes is for this user alone.
    """
    return await asyncio.create_subprocess_exec(
        program(name),
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_ENVIRONMENT | dict(variables),
        # Out of reach of Ctrl-C: whoever waits for it ends it.
        start_new_session=True,
        umask=0o077,
    )


async def run(
    name: str,
    *arguments: str | Path,
    variables: Mapping[str, str],
    on_progress: OnProgress | None = None,
) -> None:
    """Run a program, that says nothing but remarks, to its end.

    Raises `ProgramFailed` with its last words. If the caller is cancelled, it is stopped first.
    """
    process = await started(name, *arguments, variables=variables)
    try:
        said = await _follow(process, on_progress)
        status = await process.wait()
    finally:
        await stop(process)
    if status != 0:
        raise ProgramFailed(f"{name} failed: {last_words(said) or f'exit status {status}'}")


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


def last_words(said: bytes) -> str:
    """The reason that a program gave, if it gave one."""
    lines = re.split(r"[\r\n]+", said.decode(errors="replace").strip())
    # Warnings and counts are no reason; the programs begin a reason with their own name.
    told = [line for line in lines if "error: " in line.lower() or "fatal: " in line.lower()]
    return " ".join((told or lines)[-SAID_MAX_LINES:]).strip()
