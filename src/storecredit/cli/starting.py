"""The start of `serve` and `worker`: the service is loaded and its database waited for.

Whoever asks meanwhile is told so: over HTTP, in the log, on a terminal.
"""

import asyncio
import contextlib
import socket
import sys
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Final

from storecredit.cli.database import note_the_wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import ModuleType

    from storecredit.postgres.opening import Wait
    from storecredit.postgres.pool import Database
    from storecredit.settings import Settings

STARTING_SECONDS: Final = 1.0
"""A start takes so long as a rule; who asks later than that is told to ask again."""


@asynccontextmanager
async def loaded(
    settings: "Settings",
    stop: asyncio.Event,
    listening: "Sequence[socket.socket]",
    *,
    migrate_external: bool = False,
    quiet_seconds: float = STARTING_SECONDS,
) -> "AsyncIterator[tuple[ModuleType, Database]]":
    """The service's module, loaded while the database starts, and the database.

    A new database is made by other processes, for the most part: both can be waited for at once.
    Who asks meanwhile on one of the sockets is answered, once `quiet_seconds` are over.
    """
    from storecredit.postgres.opening import open_database

    loading = asyncio.create_task(asyncio.to_thread(import_module, "storecredit.service"))
    starting = asyncio.create_task(_answer_starting(loading, listening, quiet_seconds))
    try:
        async with open_database(
            settings, migrate_external=migrate_external, wait=_wait(settings, stop)
        ) as database:
            await _end(starting)
            yield await loading, database
    finally:
        await _end(starting)


async def _answer_starting(
    loading: "asyncio.Task[ModuleType]",
    listening: "Sequence[socket.socket]",
    quiet_seconds: float,
) -> None:
    """A start that takes no longer than others is waited for by whoever asks."""
    await asyncio.sleep(quiet_seconds)
    await answering(await asyncio.shield(loading), listening, quiet_seconds=0)


async def answering(
    service: "ModuleType",
    listening: "Sequence[socket.socket]",
    *,
    quiet_seconds: float = STARTING_SECONDS,
) -> None:
    """After a while tell whoever asks that the service starts, until cancelled."""
    await asyncio.sleep(quiet_seconds)
    if listening:
        await service.answer_starting(listening)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _wait(settings: "Settings", stop: asyncio.Event) -> "Wait":
    """How long the service waits for a database that is away, and how it says so."""
    from storecredit import telemetry
    from storecredit.postgres.opening import Wait

    log = telemetry.get_logger("cli.running")
    seconds = settings.database_wait_seconds

    def tell(reason: str) -> None:
        if settings.parent_pid is not None:
            # The process that started this one has the operator's ear.
            log.info("database_awaited", reason=reason, wait_seconds=seconds)
            return
        log.warning("database_awaited", reason=reason, wait_seconds=seconds)
        if sys.stderr.isatty():
            note_the_wait(seconds, reason)

    return Wait(tell, seconds, stop)
