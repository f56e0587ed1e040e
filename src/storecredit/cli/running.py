"""`storecredit serve` and `worker`: what runs the service."""

import asyncio
import contextlib
import difflib
import gc
import os
import socket
import sys
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

import storecredit
from storecredit.cli import output
from storecredit.cli.database import rooms
from storecredit.cli.demo import BLOCKED_TERM, make_first_store, url_of
from storecredit.cli.options import (
    DatabaseUrl,
    DataDir,
    actor_of,
    settings_of,
    variable_of,
)
from storecredit.cli.rounds import Rounds
from storecredit.cli.starting import STARTING_SECONDS, answering, loaded
from storecredit.data_files.served_at import note_address

if TYPE_CHECKING:
    from storecredit.service import Service
    from storecredit.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Put this module's commands into the command line."""
    for command in (serve, worker):
        app.command(command.__name__)(command)


def serve(
    host: Annotated[
        str | None, typer.Option("--host", help="Address to serve on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="0 takes a free one.", show_default="8080")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Serve only; `storecredit worker` runs elsewhere.")
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option("--processes", help="Processes that share the address.", show_default="1"),
    ] = None,
    migrate: Annotated[
        bool,
        typer.Option(
            "--migrate", help="Migrate an external database first; the own one always is."
        ),
    ] = False,
    demo: Annotated[
        bool, typer.Option("--demo", help="Where there are no stores, make one and show it.")
    ] = False,
) -> None:
    """Run the HTTP API, the worker and, unless told otherwise, PostgreSQL, until Ctrl-C."""
    settings = settings_of(
        host=host,
        port=port,
        data_dir=data_dir,
        database_url=database_url,
        worker=False if no_worker else None,
        processes=processes,
    )
    if demo and not settings.blocked_terms:
        settings = settings.model_copy(update={"blocked_terms": (BLOCKED_TERM,)})
    _run(settings, _serve(settings, migrate_external=migrate, demo=demo))


def worker(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Run queued generations, without the HTTP API, until Ctrl-C."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    _run(settings, _work(settings))


def _run(settings: "Settings", main: Coroutine[None, None, None]) -> None:
    import uvloop

    from storecredit import processes, telemetry
    from storecredit.postgres.opening import OpeningStopped

    processes.hold_signals()
    telemetry.configure(settings.log_format, settings.log_level)
    if settings.parent_pid is None:
        _warn_of_unknown_variables()
    with contextlib.suppress(OpeningStopped):
        uvloop.run(main)


def _warn_of_unknown_variables() -> None:
    """A misspelt variable sets nothing: name it and the nearest that there is, never its value."""
    from storecredit import telemetry
    from storecredit.settings import Settings

    log = telemetry.get_logger("cli.running")
    prefix, known = variable_of(""), Settings.model_fields
    for name in sorted(os.environ):
        # The settings are read in capitals or small letters alike.
        plain = name.upper()
        field = plain.removeprefix(prefix).lower()
        if plain.startswith(prefix) and not field.startswith("test_") and field not in known:
            nearest = [variable_of(near) for near in difflib.get_close_matches(field, known, n=1)]
            log.warning("setting_unknown", variable=name, nearest=nearest[0] if nearest else None)


async def _serve(settings: "Settings", *, migrate_external: bool, demo: bool) -> None:
    from storecredit import processes

    with processes.counting_together(settings) as together:
        await _serve_one(together, migrate_external=migrate_external, demo=demo)


async def _serve_one(settings: "Settings", *, migrate_external: bool, demo: bool) -> None:
    from storecredit import processes, systemd

    stop = asyncio.Event()
    processes.stop_on_signals(stop)
    handed_over = processes.handed_over()
    listening = handed_over or _own_address(settings)
    metrics_listening = processes.listen_for_metrics(settings)
    beside: list[asyncio.Task[None]] = []
    if settings.parent_pid is not None:
        tied = processes.stop_with_parent(settings.parent_pid, stop)
        beside.append(asyncio.create_task(tied))

    def on_ready(running: "Service", rounds: Rounds) -> None:
        rounds.ready()
        # What is loaded by now stays until the end: no cycles are looked for in it. To look once
        # more before takes as long as a tenth of all of the start.
        gc.freeze()
        systemd.tell_ready()
        if settings.parent_pid is None and rounds.number == 1 and not stop.is_set():
            task = asyncio.create_task(_beside(running, settings, listening, stop, demo=demo))
            task.add_done_callback(lambda task: _stop_if_broken(task, stop))
            beside.append(task)

    # Where several processes share the address, the one that others wait for answers meanwhile.
    starting = [listening] if settings.parent_pid is None else []
    starting += [metrics_listening] if metrics_listening else []
    opening = loaded(
        settings,
        stop,
        starting,
        migrate_external=migrate_external,
        # Another process may serve on the same socket: who asks is better left to it for a while.
        quiet_seconds=settings.commit_deadline_seconds if handed_over else STARTING_SECONDS,
    )
    try:
        async with opening as (service, database):
            rounds = Rounds(
                database,
                stop,
                (listening, metrics_listening),
                # It is as busy as one whose database is away for a moment: most need not ask again.
                partial(
                    answering, service, starting, quiet_seconds=settings.commit_deadline_seconds
                ),
            )
            await rounds.run(
                lambda over: service.serve(
                    settings,
                    database,
                    listening.dup(),
                    over,
                    metrics_listening=metrics_listening and metrics_listening.dup(),
                    on_ready=partial(on_ready, rounds=rounds),
                )
            )
    finally:
        stop.set()
        await asyncio.gather(*beside)


def _own_address(settings: "Settings") -> socket.socket:
    """The address in the settings; of a further process its parent's."""
    from storecredit import processes

    if settings.listen_fd is None:
        return processes.listen(settings)
    return processes.inherited(settings.listen_fd)


async def _beside(
    running: "Service",
    settings: "Settings",
    listening: socket.socket,
    stop: asyncio.Event,
    *,
    demo: bool,
) -> None:
    """What a serving process does beside serving: say where, show the demo, tend further ones."""
    from storecredit import processes

    url = url_of(*listening.getsockname()[:2])
    note_address(settings.data_dir, url)
    _print_banner(settings, url)
    if demo or sys.stderr.isatty():
        await _print_way_in(running, settings, url)
    if demo:
        database = running.parts.database
        await make_first_store(rooms(database, settings), url, settings)
    await processes.keep_running(settings, listening, stop)


async def _print_way_in(running: "Service", settings: "Settings", url: str) -> None:
    """A link to the console, for whoever started the service and sees what it prints."""
    from storecredit.cli.console import address_of
    from storecredit.postgres.errors import DatabaseUnavailable

    try:
        link = await running.parts.operator.sign_ins.console_link(actor_of(None))
    except DatabaseUnavailable:
        # A standby takes no writes; the service serves what it can all the same.
        return
    output.note(
        f"Console: {address_of(settings.public_url or url, link)}\n"
        "The link signs in once, within 15 minutes; `storecredit console` prints another.\n"
    )


def _stop_if_broken(task: asyncio.Task[None], stop: asyncio.Event) -> None:
    if not task.cancelled() and task.exception() is not None:
        stop.set()


async def _work(settings: "Settings") -> None:
    from storecredit import processes, systemd

    stop = asyncio.Event()
    processes.stop_on_signals(stop)
    metrics_listening = processes.listen_for_metrics(settings)
    starting = [metrics_listening] if metrics_listening else []
    async with loaded(settings, stop, starting) as (service, database):
        rounds = Rounds(database, stop, starting, partial(answering, service, starting))

        def on_ready() -> None:
            rounds.ready()
            systemd.tell_ready()

        await rounds.run(
            lambda over: service.work(
                settings,
                database,
                over,
                metrics_listening=metrics_listening and metrics_listening.dup(),
                on_ready=on_ready,
            )
        )


def _print_banner(settings: "Settings", url: str) -> None:
    """Where it serves and where the data is, for people: only on a terminal."""
    if not sys.stderr.isatty():
        return
    images = settings.results or settings.data_dir.resolve()
    where = f"embedded PostgreSQL in {settings.data_dir.resolve()}"
    if settings.database_url is not None:
        from storecredit.postgres.database_url import DatabaseUrl

        # Never the URL itself: it may hold a password.
        hosts = DatabaseUrl.read(settings.database_url.get_secret_value()).hosts
        host = ", ".join(hosts) or "this machine"
        where = f"PostgreSQL on {host}"
    if settings.database_url is not None or settings.results is not None:
        where += f"; result images in {images}"
    output.note(
        f"storecredit {storecredit.__version__} serves on {url}, documented at {url}/api/docs\n"
        f"Data: {where}\n"
        "Ctrl-C stops it; what has been begun is finished first.\n"
    )
