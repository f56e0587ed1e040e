"""A reader of our pages: takes the blocks of commands from them, and runs them as they stand."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.log_watch import WATCH

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
START_MAX_SECONDS = 60
RUN_MAX_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the documentation."""

    path: str

    @property
    def text(self) -> str:
        return (ROOT / self.path).read_text(encoding="utf-8")

    def blocks(self, language: str = "sh") -> list[str]:
        """Its blocks in that language, in order."""
        return re.findall(rf"^```{language}\n(.*?)^```", self.text, re.DOTALL | re.MULTILINE)

    def block(self, first_words: str) -> str:
        """Its one block of commands that begins so."""
        found = [text for text in self.blocks() if text.startswith(first_words)]
        assert len(found) == 1, f"{self.path}: {len(found)} blocks begin {first_words!r}"
        return found[0]

    def block_of(self, language: str) -> str:
        """Its one block in that language."""
        [found] = self.blocks(language)
        return found


def as_installed(make: str) -> str:
    """A `make` that is to use the commands that are being tested.

    The set-up itself is what `.ci/run` does before any test.
    """
    return re.sub(r"make \w+", rf"\g<0> BIN={BIN} --old-file=.venv/.runtime-installed", make)


@contextmanager
def running(
    command: str, environment: dict[str, str], log_path: Path, cwd: Path = ROOT
) -> Iterator[Path]:
    """A command that serves, from when it is ready until Ctrl-C has ended it in good order."""
    with log_path.open("w") as log:
        process = subprocess.Popen(
            ["bash", "-ec", command],
            env=environment,
            cwd=cwd,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        _await_ready(process, environment["STORECREDIT_PORT"], log_path)
        yield log_path
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=RUN_MAX_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def _await_ready(process: "subprocess.Popen[bytes]", port: str, log_path: Path) -> None:
    give_up = time.monotonic() + START_MAX_SECONDS
    # One client for all of it: each loads every certificate authority there is.
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        while time.monotonic() < give_up and process.poll() is None:
            try:
                if client.get("/health/ready").is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
    raise AssertionError(f"it did not start:\n{log_path.read_text()}")


def run(commands: str, environment: dict[str, str], cwd: Path) -> str:
    """Run a block as a reader would, in one shell that stops at the first failure."""
    WATCH.remembered.sent(commands)
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", commands],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=RUN_MAX_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def key_in(log_path: Path) -> str:
    """The API key that the service printed, once it has."""
    give_up = time.monotonic() + START_MAX_SECONDS
    while time.monotonic() < give_up:
        if found := re.search(r"sc_live_[0-9A-Za-z]{36}", log_path.read_text()):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"no key was printed:\n{log_path.read_text()}")
