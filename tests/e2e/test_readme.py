"""Every command in the README does what the README says: the blocks are run as they stand.

What a reader is told to replace is replaced here: the key, the address, the database.
"""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
BIN = Path(sys.executable).parent
START_MAX_SECONDS = 60
RUN_MAX_SECONDS = 60


def block(first_words: str) -> str:
    """The README's one block of commands that begins so."""
    found: list[str] = [text for text in BLOCKS if text.startswith(first_words)]
    assert len(found) == 1
    return found[0]


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
        return number


@pytest.fixture
def environment(tmp_path: Path, port: int) -> dict[str, str]:
    # Nor what the make that runs these tests was given: a reader's make has nothing to inherit.
    foreign = ("STORECREDIT", "MAKE", "MFLAGS", "ARGS")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return clean | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "STORECREDIT_DATA_DIR": str(tmp_path / "data"),
        "STORECREDIT_PORT": str(port),
        "PYTHONWARNINGS": "default",
    }


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
    while time.monotonic() < give_up and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health/ready").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"it did not start:\n{log_path.read_text()}")


def run(commands: str, environment: dict[str, str], cwd: Path) -> str:
    """Run a block as a reader would, in one shell that stops at the first failure."""
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


def test_make_run_serves_a_demo_store_and_the_examples_answer_as_shown(
    tmp_path: Path, environment: dict[str, str], port: int
) -> None:
    # The set-up itself is what `.ci/run` does before any test; here the installed command serves.
    make_run = block("make run").replace(
        "make run", f"make run BIN={BIN} --old-file=.venv/.runtime-installed"
    )
    with running(make_run, environment, tmp_path / "log") as log:
        key = key_in(log)
        address = f"127.0.0.1:{port}"

        def adapted(text: str) -> str:
            return text.replace("sc_live_…", key).replace("127.0.0.1:8080", address)

        create = adapted(block("KEY="))
        first = run(create, environment, tmp_path)
        assert '"credits_charged":1' in first
        assert '"balance":99' in first
        assert run(create, environment, tmp_path) != ""
        reads = f"KEY={key}\n" + adapted(block("curl -s http://127.0.0.1:8080/api/v1/credits"))
        shown = run(reads, environment, tmp_path)
        assert '{"data":{"balance":99,"total_purchased":100,"total_spent":1},"error":null}' in shown
        assert "deduction,1,99,order-1001" in shown
        operate = run(block('export PATH="$PWD/.venv/bin'), environment, tmp_path)
        assert "Hats & Co" in operate
    assert not (tmp_path / "data" / "postgres" / "postmaster.pid").exists()


def test_make_test_is_the_make_target_that_runs_every_test() -> None:
    planned = subprocess.run(
        ["make", "--dry-run", *block("make test").split()[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pytest" in planned.stdout


def test_the_admin_token_switches_the_operators_api_on(
    tmp_path: Path, environment: dict[str, str], port: int
) -> None:
    with running(block("STORECREDIT_ADMIN_TOKEN"), environment, tmp_path / "log", tmp_path):
        answer = httpx.get(
            f"http://127.0.0.1:{port}/api/admin/stores",
            headers={"Authorization": "Bearer choose-a-long-one"},
        )
        assert answer.json() == {"data": {"items": [], "next_cursor": None}, "error": None}


def test_your_own_postgresql_is_migrated_and_served(
    tmp_path: Path, environment: dict[str, str], server_url: str, port: int
) -> None:
    name = f"readme_{port}"
    asyncio.run(_execute(server_url, f"CREATE DATABASE {name} TEMPLATE template0"))
    try:
        url = urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
        commands = re.sub(
            r"postgresql://owner\S+", f"'{url}'", block("export STORECREDIT_DATABASE")
        )
        with running(commands, environment, tmp_path / "log", tmp_path):
            assert httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
        assert not (tmp_path / "data" / "postgres").exists()
    finally:
        asyncio.run(_execute(server_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def test_your_own_generator_is_taken_over_from_the_environment(
    tmp_path: Path, environment: dict[str, str], port: int
) -> None:
    with running(block("export STORECREDIT_GENERATOR"), environment, tmp_path / "log", tmp_path):
        assert httpx.get(f"http://127.0.0.1:{port}/health/live").status_code == 200


def test_every_block_of_commands_is_run_by_one_of_these_tests() -> None:
    assert [text.split()[0:2] for text in BLOCKS] == [
        ["make", "run"],
        ["make", "test"],
        ["KEY=sc_live_…", "curl"],
        ["curl", "-s"],
        ["export", 'PATH="$PWD/.venv/bin:$PATH"'],
        ["STORECREDIT_ADMIN_TOKEN=choose-a-long-one", "storecredit"],
        [
            "export",
            "STORECREDIT_DATABASE_URL=postgresql://owner:password@db.example:5432/storecredit",
        ],
        ["export", "STORECREDIT_GENERATOR=http"],
    ]
