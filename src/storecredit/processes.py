"""The address of a service and the processes on it: how they listen, and are told to stop.

Further API processes serve on the address of the first one, which is their parent. Hides how they
are started, tended and stopped. Promises that they accept from the parent's own
listening socket; that one that dies is started again, with pauses that double while it dies young;
that they end, in good order, when the parent stops; and that they do so by themselves when the
parent is gone without a word.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storecredit import systemd, telemetry
from storecredit.postgres.pacing import backoff, every
from storecredit.settings import Settings

STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
BACKLOG: Final = 2048
IMPATIENCE_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.2
RESTART_PAUSE_FIRST_SECONDS: Final = 1.0
RESTART_PAUSE_MAX_SECONDS: Final = 30.0
STEADY_SECONDS: Final = 60.0
"""Who lived that long did not die young: the next pause is the first one again."""
STOP_TIMEOUT_SECONDS: Final = 60.0
"""Longer than a process takes to answer what it has accepted; then it is killed.

Beside the time in which its connections may bring more.
"""

log = telemetry.get_logger("processes")


class CannotListen(Exception):
    """The address is taken or not ours; the message is one sentence for the operator."""


def handed_over() -> socket.socket | None:
    """The socket that systemd listens on, and passed on to be served; None: it passed none.

    Raises CannotListen.
    """
    passed = systemd.passed_sockets()
    if not passed:
        return None
    if len(passed) > 1 or passed[0].family not in {socket.AF_INET, socket.AF_INET6}:
        raise CannotListen(
            f"systemd passed {len(passed)} sockets on, and the service takes one, of TCP: let one "
            "line in the socket unit begin with ListenStream=, with a port or an address and port."
        )
    return passed[0]


def listen(settings: Settings) -> socket.socket:
    """Take the address to serve on, before anything else is started. Raises CannotListen."""
    return listen_on(settings.host, settings.port, "--port")


def listen_for_metrics(settings: Settings) -> socket.socket | None:
    """Take the address of `/metrics` alone; None: it has none, or another process took it.

    Raises CannotListen.
    """
    if settings.metrics_address is None or settings.parent_pid is not None:
        return None
    host, _, port = settings.metrics_address.rpartition(":")
    return listen_on(host.strip("[]"), int(port), "STORECREDIT_METRICS_ADDRESS")


def listen_on(host: str, port: int, setting: str) -> socket.socket:
    """Take that address; `setting` names it to the operator. Raises CannotListen.

    The socket does not block. Whether it does is one thing for all processes that share it, and to
    duplicate one that does (`socket.dup`) makes it block for all of them: a loop that accepts from
    it would stand still until the next connection, and answer nobody meanwhile.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        # A host that is not found has a number of its own, which is not the system's.
        reason = (
            error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        )
        raise CannotListen(
            f"Cannot listen on {host} port {port}: {reason}. Choose another with {setting}."
        ) from error
    listening.settimeout(0)
    return listening


@contextlib.contextmanager
def counting_together(settings: Settings) -> Iterator[Settings]:
    """The settings with a directory, for as long as it lasts, where all processes count together.

    A new one, so nothing of processes that are gone is in it. One process alone needs none. If the
    parent, who made it, is gone without a word, its children remove it.
    """
    if settings.processes > 1:
        with tempfile.TemporaryDirectory(prefix="storecredit-metrics-") as directory:
            yield settings.model_copy(update={"metrics_dir": Path(directory)})
        return
    try:
        yield settings
    finally:
        if settings.metrics_dir is not None and os.getppid() != settings.parent_pid:
            # Who is still at its last requests has its files open.
            shutil.rmtree(settings.metrics_dir, ignore_errors=True)


def inherited(listen_fd: int) -> socket.socket:
    """The listening socket that the parent passed on, by its descriptor."""
    listening = socket.socket(fileno=listen_fd)
    listening.set_inheritable(False)
    listening.settimeout(0)
    return listening


def hold_signals() -> None:
    """Keep what `stop_on_signals` hears until it listens; to be called before the loop is made.

    One that comes while uvloop 0.23.0 makes and starts its loop is lost, and the service goes on.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)


def stop_on_signals(stop: asyncio.Event) -> None:
    """Ctrl-C or SIGTERM stops in good order; Ctrl-C again, a moment later, no longer waits.

    Waits for what? The attempts under way: these are cut off and picked up later. All else is
    stopped in the same order, PostgreSQL last. To be called by the main task, which is cancelled.
    """
    loop = asyncio.get_running_loop()
    main = asyncio.current_task(loop)
    begun_at: float | None = None

    def begin_to_stop(received: signal.Signals) -> None:
        nonlocal begun_at
        if begun_at is None:
            begun_at = loop.time()
            stop.set()
            log.info("stopping", signal=received.name)
        # One Ctrl-C may arrive twice, from the terminal and from a parent that passes it on.
        elif received is signal.SIGINT and loop.time() - begun_at >= IMPATIENCE_SECONDS and main:
            main.cancel()
            log.warning("stopping_at_once")

    for received in STOPPING:
        loop.add_signal_handler(received, begin_to_stop, received)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


async def stop_with_parent(parent_pid: int, stop: asyncio.Event) -> None:
    """Set `stop` once the parent is gone: an orphan is given another parent (wait(2))."""

    async def look() -> None:
        if os.getppid() != parent_pid:
            stop.set()
            log.warning("parent_gone", parent_pid=parent_pid)

    await every(POLL_SECONDS, stop, look)


async def keep_running(settings: Settings, listening: socket.socket, stop: asyncio.Event) -> None:
    """Run all processes but this one until `stop` is set; returns when they have ended."""
    if settings.processes == 1:
        return
    if settings.redis_url is None:
        log.warning(
            "rate_limits_counted_per_process",
            processes=settings.processes,
            advice="a store may call up to so many times its limits; set STORECREDIT_REDIS_URL",
        )
    children = [_Child(settings, listening, number) for number in range(1, settings.processes)]

    async def tend() -> None:
        for child in children:
            child.tend()

    try:
        await every(POLL_SECONDS, stop, tend)
    finally:
        await _end(children, settings.connection_drain_seconds + STOP_TIMEOUT_SECONDS)


async def _end(children: "list[_Child]", timeout_seconds: float) -> None:
    for child in children:
        child.terminate()
    give_up = time.monotonic() + timeout_seconds
    for child in children:
        # An event cannot tell: waiting for a process without a thread for each is asking again.
        while child.lives() and time.monotonic() < give_up:  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
        child.kill()


@dataclass(slots=True)
class _Child:
    """One further process, and the ones that take its place."""

    settings: Settings
    listening: socket.socket
    number: int
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    next_start_at: float = 0.0
    deaths: int = 0
    """In a row, each young but the first."""

    def tend(self) -> None:
        """Start it if it is due, and notice if it died."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.next_start_at:
                self.started_at = now
                self.process = _start(self.settings, self.listening, self.number)
            return
        status = self.process.poll()
        if status is None:
            return
        self.deaths = 1 if now - self.started_at >= STEADY_SECONDS else self.deaths + 1
        seconds = backoff(RESTART_PAUSE_FIRST_SECONDS, self.deaths, RESTART_PAUSE_MAX_SECONDS)
        log.error(
            "process_died", pid=self.process.pid, exit_status=status, next_start_seconds=seconds
        )
        self.process = None
        self.next_start_at = now + seconds

    def lives(self) -> bool:
        """Whether it has not ended."""
        return self.process is not None and self.process.poll() is None

    def terminate(self) -> None:
        """Ask it to stop in good order."""
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        """End it if it still lives. Nothing is lost: what was not committed was not promised."""
        if self.process is not None and self.lives():
            log.error("process_killed", pid=self.process.pid)
            self.process.kill()
            self.process.wait()


def _start(settings: Settings, listening: socket.socket, number: int) -> "subprocess.Popen[bytes]":
    """A process in a session of its own: Ctrl-C reaches the parent, which tells it to stop."""
    descriptor = listening.fileno()
    environment = os.environ | {
        "STORECREDIT_DATA_DIR": str(settings.data_dir),
        "STORECREDIT_LISTEN_FD": str(descriptor),
        "STORECREDIT_PARENT_PID": str(os.getpid()),
        "STORECREDIT_PROCESS_NUMBER": str(number),
        "STORECREDIT_METRICS_DIR": str(settings.metrics_dir),
    }
    if settings.database_url is not None:
        # Not as a flag: everyone on the machine can read those, and it may hold a password.
        environment["STORECREDIT_DATABASE_URL"] = settings.database_url.get_secret_value()
    command = ("-P", "-m", "storecredit", "serve", "--no-worker", "--processes", "1")
    # All of the command is written here, which is what S603 asks to be sure of.
    return subprocess.Popen(  # noqa: S603
        (sys.executable, *command),
        env=environment,
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
