"""The installed `storecredit` command, run as processes of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.e2e.paddle_process import Paddle, paddle_process
from tests.e2e.page_commands import BIN
from tests.e2e.seller import Seller
from tests.e2e.shell_command import shell_command
from tests.forked_command import ForkedCommand
from tests.free_ports import free_port

COMMAND = Path(sys.executable).with_name("storecredit")
WAIT_MAX_SECONDS = 60.0
POLL_SECONDS = 0.02


def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    give_up = time.monotonic() + WAIT_MAX_SECONDS
    while not is_so():
        assert time.monotonic() < give_up, f"not so after {WAIT_MAX_SECONDS:.0f} s: {what}"
        time.sleep(POLL_SECONDS)


def processes_naming(words: Path | str) -> list[psutil.Process]:
    """Every living process with this among its arguments: a data directory's PostgreSQL."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(words) in " ".join(process.cmdline()):
                found.append(process)
    return found


@contextmanager
def standing_still(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """SIGSTOP for as long as the block lasts, from when they do stand still.

    One that is only about to can still accept a connection, which then waits until it goes on.
    """
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        for process in processes:
            until(partial(_stands_still, process), f"process {process.pid} stands still")
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def _stands_still(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_STOPPED)


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    status: int
    output: str
    errors: str

    def json(self) -> Any:
        assert self.status == 0, self
        return json.loads(self.output)

    def sentence(self, status: int = 1) -> str:
        """The one sentence of a command that failed as expected."""
        assert self.status == status, self
        assert self.output == ""
        assert "Traceback" not in self.errors
        told = [line for line in self.errors.splitlines() if not line.startswith("{")]
        assert len(told) == 1, self.errors
        assert told[0].startswith("Error: ")
        return told[0]


@dataclass(slots=True)
class Serving:
    """A command that runs until it is stopped."""

    process: ForkedCommand
    output_path: Path
    log_path: Path

    @property
    def output(self) -> str:
        return self.output_path.read_text()

    @property
    def log(self) -> list[dict[str, Any]]:
        lines = self.log_path.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.log if line["event"] == name]

    def await_event(self, name: str) -> dict[str, Any]:
        def come_or_over() -> bool:
            return bool(self.events(name)) or self.process.poll() is not None

        until(come_or_over, f"{name} in the log")
        assert self.events(name), self.log_path.read_text()
        return self.events(name)[0]

    @property
    def url(self) -> str:
        return str(self.await_event("serving")["address"])

    @property
    def port(self) -> str:
        return str(urlsplit(self.url).port)

    def made_store(self, token: str, **wanted: object) -> dict[str, Any]:
        """A store with its first key, made over HTTP by the operator."""
        answer = httpx.post(
            f"{self.url}/api/admin/stores",
            json={"name": "Hats", "shop_domain": "hats.example"} | wanted,
            headers={"Authorization": f"Bearer {token}"},
        )
        made: dict[str, Any] = answer.raise_for_status().json()["data"]
        return made

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Its exit status, once it has ended."""
        self.process.send_signal(how)
        return self.process.wait(WAIT_MAX_SECONDS)


@dataclass(slots=True)
class Storecredit:
    """Runs the command in a directory of its own, `data` being the data directory there."""

    directory: Path
    environment: dict[str, str]
    started: list[Serving] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    def __call__(self, *arguments: object, **variables: str) -> Done:
        """Run a command to its end."""
        begun = self.start(*arguments, **variables)
        status = begun.process.wait(WAIT_MAX_SECONDS)
        return Done(status, begun.output, begun.log_path.read_text())

    def start(self, *arguments: object, **variables: str) -> Serving:
        """Start a command that goes on; it is ended with the test."""
        number = next(self.numbers)
        output_path = self.directory / f"output-{number}"
        log_path = self.directory / f"log-{number}"
        process = ForkedCommand(
            list(map(str, arguments)),
            self.directory,
            self.environment | variables,
            output=output_path,
            errors=log_path,
        )
        self.started.append(Serving(process, output_path, log_path))
        return self.started[-1]

    def serve(self, *arguments: object, **variables: str) -> Serving:
        """Start `serve` on a free port, and wait until it serves."""
        serving = self.start("serve", "--port", 0, *arguments, **variables)
        serving.await_event("serving")
        return serving

    def end_all(self) -> None:
        """Nothing a test started outlives it, PostgreSQL included."""
        for serving in self.started:
            if serving.process.poll() is None:
                serving.process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    serving.process.wait(WAIT_MAX_SECONDS)
                serving.process.kill()
        for orphan in processes_naming(self.data_dir):
            with suppress(psutil.Error):
                orphan.kill()


def copy_data_dir(data_dir: Path, to: Path) -> None:
    """A data directory of which nobody's PostgreSQL runs."""
    # It keeps the owner, who must be the one that PostgreSQL runs as.
    subprocess.run(["cp", "-a", data_dir, to], check=True)


@contextmanager
def storecredit_in(directory: Path, data_dir: Path | None = None) -> Iterator[Storecredit]:
    """The command without settings but its defaults, on a copy of `data_dir`."""
    environment = {name: value for name, value in os.environ.items() if "STORECREDIT" not in name}
    # Wide enough for any sentence: what is tested is what it says, not where a line ends.
    command = Storecredit(directory, environment | {"COLUMNS": "200"})
    if data_dir is not None:
        copy_data_dir(data_dir, command.data_dir)
    try:
        yield command
    finally:
        command.end_all()


@pytest.fixture
def new_storecredit(tmp_path: Path) -> Iterator[Storecredit]:
    """The command where there is no data directory yet."""
    with storecredit_in(tmp_path) as command:
        yield command


@pytest.fixture(scope="session")
def prepared_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated data directory without stores, to copy: making one anew takes a while."""
    with storecredit_in(tmp_path_factory.mktemp("prepared")) as command:
        assert command("migrate").status == 0
        return command.data_dir


@pytest.fixture
def storecredit(tmp_path: Path, prepared_data_dir: Path) -> Iterator[Storecredit]:
    """The command, on a data directory of the test's own, where there are no stores."""
    with storecredit_in(tmp_path, prepared_data_dir) as command:
        yield command


@pytest.fixture(scope="module")
def paddle() -> Iterator[Paddle]:
    """Paddle, which tells nobody what happens."""
    with paddle_process() as running:
        yield running


@pytest.fixture
def seller(new_storecredit: Storecredit, database_url: str, paddle: Paddle) -> Seller:
    made = new_storecredit(
        *("store", "create", "--name", "Hats", "--shop-domain", "hats.example", "--json"),
        *("--database-url", database_url),
    ).json()
    return Seller(new_storecredit, database_url, made["store_id"], paddle)


@pytest.fixture
def port() -> int:
    """A port that is free."""
    return free_port()


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The PATH of a reader's shell: our commands, `storecredit` being forked for it."""
    with shell_command(tmp_path_factory.mktemp("commands")) as forked:
        yield os.pathsep.join(map(str, (forked, BIN, os.environ["PATH"])))


@pytest.fixture
def environment(tmp_path: Path, port: int, commands: str) -> dict[str, str]:
    """What a reader's shell has: the commands, and here a data directory and port of its own."""
    # Nor what the make that runs these tests was given: a reader's make has nothing to inherit.
    foreign = ("STORECREDIT", "MAKE", "MFLAGS", "ARGS")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return clean | {
        "PATH": commands,
        "STORECREDIT_DATA_DIR": str(tmp_path / "data"),
        "STORECREDIT_PORT": str(port),
        "PYTHONWARNINGS": "default",
    }


@pytest.fixture
def database_made_before(tmp_path: Path, prepared_data_dir: Path) -> None:
    """Saves the `environment` the second that making a database takes; `test_readme.py` sees it."""
    copy_data_dir(prepared_data_dir, tmp_path / "data")
