"""Runs psql on a database, with this process's terminal."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence

from storecredit.postgres.programs.client_programs import program, variables_of
from storecredit.postgres.servers import APP_ROLE, bucket_schema, search_path

SIGNALLED = 128
"""As a shell counts a program that a signal has ended."""


async def run_psql(url: str, arguments: Sequence[str], *, read_only: bool, bucket: int = 0) -> int:
    """Run psql to its end; its exit status. It finds a bucket's tables without a schema's name.

    `read_only`: as the service's role, and every transaction is, until one says otherwise.
    """
    settings = {"search_path": search_path(bucket_schema(bucket))}
    if read_only:
        settings |= {"role": APP_ROLE, "default_transaction_read_only": "on"}
    own = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    with _interrupts_left_to_it():
        process = await asyncio.create_subprocess_exec(
            _psql(),
            *arguments,
            env=own | variables_of(url, **settings),
        )
        status = await process.wait()
    return status if status >= 0 else SIGNALLED - status


def _psql() -> str:
    """The one that comes along cannot edit a line: for a person, an installed one goes first."""
    installed = shutil.which("psql") if sys.stdin.isatty() else None
    return installed or program("psql")


@contextlib.contextmanager
def _interrupts_left_to_it() -> Iterator[None]:
    """Ctrl-C cancels a statement in psql, and ends nothing here."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
