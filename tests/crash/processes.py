"""The real processes of the service, started, killed, paused and stopped by tests.

Promises that nothing outlives a test, however it ends: every process started here, and the
embedded PostgreSQL of the data directory, are ended by their numbers in `end_all`.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import psutil

import stand_ins
from storecredit.postgres.embedded.embedded_postgres import APP_ROLE, EmbeddedPostgres
from tests.crash.waiting import until
from tests.forked_command import ForkedCommand
from tests.process_ends import left_after

START_MAX_SECONDS = 60.0
STOP_MAX_SECONDS = 60.0
END_MAX_SECONDS = 20.0
NOWHERE = Path(os.devnull)
LOG_TAILS = 4
LOG_TAIL_LINES = 30
LOG_LINE_MAX = 1000

READY = {"serve": "serving", "worker": "working"}
"""The event that each command logs once it does its work."""


Process = ForkedCommand | subprocess.Popen[bytes]


class RunningProcess:
    """One `storecredit` process, and what it logs."""

    def __init__(self, command: str, process: Process, log_path: Path) -> None:
        self.command = command
        self.pid = process.pid
        self._process = process
        self._log_path = log_path

    @property
    def url(self) -> str:
        """Where it serves."""
        return str(self.events("serving")[0]["address"])

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one event, oldest first."""
        # A line under way, or one that is not of the service (a trace), is none of them.
        marked = f'"event":"{name}"'.encode()
        lines = self._log_path.read_bytes().split(b"\n")[:-1]
        return [msgspec.json.decode(line) for line in lines if marked in line]

    def log_tail(self) -> str:
        """The end of its log, for a failure's message."""
        return f"--- {self.command} (process {self.pid}) logged last:\n{_tail(self._log_path)}"

    def lives(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._process.kill()
        self._process.wait(END_MAX_SECONDS)

    def pause(self) -> None:
        """SIGSTOP: it stands still, and its connections with it."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    async def stop(self) -> int:
        """SIGTERM; its exit status once it has drained."""
        self._process.terminate()
        await until(
            lambda: not self.lives(), f"{self.command} stops", STOP_MAX_SECONDS, self.log_tail
        )
        return self.exit_status()

    def exit_status(self) -> int:
        """Of a process that has ended; negative: the signal that killed it."""
        return self._process.wait(END_MAX_SECONDS)


class Processes:
    """Everything that runs on one data directory during one test."""

    def __init__(self, directory: Path) -> None:
        self.data_dir = directory / "data"
        self._directory = directory
        self._started: list[RunningProcess] = []

    async def start(
        self,
        command: str,
        *options: str,
        environment: Mapping[str, str],
        listening: socket.socket | None = None,
    ) -> RunningProcess:
        """Start `storecredit <command>`; returns when it is at work."""
        process = self.launch(command, *options, environment=environment, listening=listening)
        await until(
            lambda: bool(process.events(READY[command])) or not process.lives(),
            f"{command} starts",
            START_MAX_SECONDS,
            process.log_tail,
        )
        assert process.lives(), f"{command} ended at once\n{process.log_tail()}"
        return process

    def launch(
        self,
        *command: str,
        environment: Mapping[str, str],
        output: Path = NOWHERE,
        listening: socket.socket | None = None,
    ) -> RunningProcess:
        """Start a process and wait for nothing; `listening` is passed on to it by systemd's way."""
        log_path = self._log_path(command[0])
        given = {"STORECREDIT_DATA_DIR": str(self.data_dir)} | dict(environment)
        process = ForkedCommand(
            command,
            self._directory,
            _inherited() | given,
            output=output,
            errors=log_path,
            listening=listening,
        )
        return self._begun(command[0], process, log_path)

    def launch_outside(
        self,
        module: str,
        *options: str,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[RunningProcess, Path]:
        """Start a module by itself, as an interpreter of its own; where its output goes."""
        output = self._directory / f"output-{len(self._started)}"
        log_path = self._log_path(module)
        paths = [str(Path(stand_ins.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        with output.open("wb") as stdout, log_path.open("wb") as log:
            popen = subprocess.Popen(
                [sys.executable, "-m", module, *options],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=log,
                cwd=self._directory,
                env=_inherited() | {"PYTHONPATH": os.pathsep.join(paths)} | dict(environment),
                start_new_session=True,
            )
        return self._begun(module, popen, log_path), output

    def _log_path(self, name: str) -> Path:
        return self._directory / f"{len(self._started)}-{name}.log"

    def _begun(self, name: str, process: Process, log_path: Path) -> RunningProcess:
        self._started.append(RunningProcess(name, process, log_path))
        return self._started[-1]

    async def run(self, *command: str, environment: Mapping[str, str]) -> tuple[int, bytes]:
        """Run a command that ends by itself: its exit status and standard output."""
        output = self._directory / f"output-{len(self._started)}"
        process = self.launch(*command, environment=environment, output=output)
        await until(
            lambda: not process.lives(), f"{command[0]} ends", STOP_MAX_SECONDS, process.log_tail
        )
        return process.exit_status(), output.read_bytes()

    async def postmaster(self) -> psutil.Process:
        """The embedded PostgreSQL of the data directory; waits for one that is coming back."""
        await until(
            lambda: self._postmaster() is not None,
            "PostgreSQL runs",
            START_MAX_SECONDS,
            self.log_tails,
        )
        postmaster = self._postmaster()
        assert postmaster is not None, "PostgreSQL died unasked"
        return postmaster

    async def backends(self) -> list[psutil.Process]:
        """PostgreSQL's processes that serve the application, one per connection; at least one."""
        await until(
            lambda: self._backends() != [],
            "the service is connected to PostgreSQL",
            START_MAX_SECONDS,
            self.log_tails,
        )
        return self._backends()

    def _postmaster(self) -> psutil.Process | None:
        pid = EmbeddedPostgres(self.data_dir).pid()
        with contextlib.suppress(psutil.NoSuchProcess):
            return None if pid is None else psutil.Process(pid)
        return None

    def _backends(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            postmaster = self._postmaster()
            children = [] if postmaster is None else postmaster.children()
            return [child for child in children if f": {APP_ROLE} " in " ".join(child.cmdline())]
        return []

    def left_running(self) -> list[str]:
        """What still runs on the data directory, by its command line."""
        postmaster = self._postmaster()
        server = [] if postmaster is None else [f"PostgreSQL (process {postmaster.pid})"]
        started = [process.command for process in self._started if process.lives()]
        return started + [" ".join(process.info["cmdline"]) for process in self._further()] + server

    def log_tails(self) -> str:
        """The ends of the last logs."""
        server_log = self.data_dir / "postgres.log"
        tails = [process.log_tail() for process in self._started[-LOG_TAILS:]]
        if server_log.exists():
            tails.append(f"--- PostgreSQL logged last:\n{_tail(server_log)}")
        return "\n".join(tails)

    def logs(self) -> bytes:
        """All that was ever logged here, PostgreSQL's log too."""
        paths = [*self._directory.glob("*.log"), self.data_dir / "postgres.log"]
        return b"\n".join(path.read_bytes() for path in paths)

    def end_all(self) -> None:
        """End whatever still runs. The service first, which would start PostgreSQL again."""
        for started in self._started:
            started.kill()
        for process in self._further():
            process.kill()
        postmaster = self._postmaster()
        if postmaster is not None:
            family = [postmaster, *postmaster.children()]
            postmaster.send_signal(signal.SIGQUIT)
            left_after(family, END_MAX_SECONDS)
        for late in self._working_on_files():
            late.kill()

    def _further(self) -> list[psutil.Process]:
        """Every living process that was given the data directory by another one."""
        given = ("STORECREDIT_DATA_DIR", str(self.data_dir))
        return [
            process
            for process in psutil.process_iter(["cmdline", "environ"])
            # Of a process that is ending there is neither.
            if process.info["cmdline"] and given in (process.info["environ"] or {}).items()
        ]

    def _working_on_files(self) -> list[psutil.Process]:
        """Every living process of PostgreSQL with a path in the data directory for an argument."""
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(word.startswith(f"{self.data_dir}/") for word in process.info["cmdline"] or ())
        ]


def _inherited() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if not name.startswith("STORECREDIT_")
    }


def _tail(log_path: Path) -> str:
    """The last lines, less those that every request writes."""
    lines = log_path.read_text(errors="replace").splitlines()
    told = [line[:LOG_LINE_MAX] for line in lines if '"event":"request"' not in line]
    return "\n".join(told[-LOG_TAIL_LINES:])
