"""A database that is not there yet is waited for, by the real commands as processes."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import httpx
import psutil
import pytest

from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from tests.e2e.conftest import (
    COMMAND,
    WAIT_MAX_SECONDS,
    Serving,
    Storecredit,
    until,
)
from tests.free_ports import free_port
from tests.postgres.commits import Line
from tests.process_ends import has_ended

T = TypeVar("T")
NOBODY = "postgresql://open:sesame@127.0.0.1:1/store"
"""Where no server listens."""
LONG = {"STORECREDIT_DATABASE_WAIT_SECONDS": "3600"}


async def apart(act: Callable[[], T]) -> T:
    """What `act` returns, while this process goes on passing a line's bytes on."""
    return await asyncio.to_thread(act)


@pytest.fixture
async def stopped(prepared_data_dir: Path, tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A real server that is not running; what it was migrated to is there once it starts."""
    data_dir = tmp_path / "elsewhere"
    subprocess.run(["cp", "-a", prepared_data_dir, data_dir], check=True)
    postgres = EmbeddedPostgres(data_dir)
    await postgres.start(create=False)
    await postgres.stop()
    yield postgres
    await postgres.stop()


@pytest.fixture
async def line(database_url: str, tmp_path: Path) -> Line:
    """A way to the tests' server that is not open yet."""
    directory = tmp_path / "line"
    directory.mkdir()
    return Line(database_url, directory)


async def test_a_service_that_is_there_before_its_database_waits_and_says_so(
    new_storecredit: Storecredit, stopped: EmbeddedPostgres, port: int
) -> None:
    where = {"STORECREDIT_DATABASE_URL": stopped.app_url} | LONG
    serving = new_storecredit.start("serve", "--port", port, **where)
    metrics = {"STORECREDIT_METRICS_ADDRESS": f"127.0.0.1:{free_port()}"}
    working = new_storecredit.start("worker", **where, **metrics)
    for each in (serving, working):
        told = each.await_event("database_awaited")
        assert told["level"] == "warning"
        assert told["wait_seconds"] == 3600
        assert "PostgreSQL is not available" in told["reason"]

    # What a load balancer and a client see meanwhile: an answer.
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_MAX_SECONDS) as client:
        assert client.get("/health/live").json() == {"data": {"status": "ok"}, "error": None}
        for answer in (
            client.get("/health/ready"),
            client.head("/health/ready"),
            client.get(f"http://{metrics['STORECREDIT_METRICS_ADDRESS']}/metrics"),
            client.post("/api/v1/generation/create", json={"image_urls": ["x" * 100_000]}),
        ):
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "1"
            assert answer.headers["X-Request-Id"]
        assert answer.json()["error"]["code"] == "SERVICE_UNAVAILABLE"

        await stopped.start(create=False)
        assert serving.await_event("serving")
        assert working.await_event("working")
        assert client.get("/health/ready").status_code == 200
        gauges = client.get(f"http://{metrics['STORECREDIT_METRICS_ADDRESS']}/metrics")
        assert gauges.status_code == 200

    for each in (serving, working):
        assert await apart(each.stop) == 0
        assert len(each.events("database_awaited")) == 1


def test_a_database_that_does_not_come_ends_it_in_one_sentence(
    new_storecredit: Storecredit,
) -> None:
    where = {"STORECREDIT_DATABASE_URL": NOBODY, "STORECREDIT_DATABASE_WAIT_SECONDS": "1.2"}
    # Each waits for itself: side by side.
    service = new_storecredit.start("serve", "--port", 0, "--migrate", **where)
    command = new_storecredit.start("migrate", **where)

    notes = []
    for each, seconds in ((service, "1.2"), (command, "5")):
        assert each.process.wait() == 1
        note, told = each.log_path.read_text().splitlines()
        notes.append(note)
        assert told.startswith("Error: PostgreSQL is not available: ")
        assert told.endswith(
            f"(waited {seconds} s for it). Check that it runs, and that the database URL names it."
        )
        assert "sesame" not in note + told
        assert each.output == ""
    assert len(service.events("database_awaited")) == 1
    assert notes[1].startswith("PostgreSQL is not available: ")
    assert notes[1].endswith(". Waiting for it, up to 5 s.")


def test_a_person_at_a_terminal_is_told_and_a_signal_ends_the_wait(
    new_storecredit: Storecredit,
) -> None:
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [COMMAND, "worker"],
        cwd=new_storecredit.directory,
        env=new_storecredit.environment | LONG | {"STORECREDIT_DATABASE_URL": NOBODY},
        stdin=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    while b". Waiting for it, up to 3600 s.\r\n" not in said:
        said += os.read(ours, 1024)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    os.close(ours)
    assert b"\r\nPostgreSQL is not available: " in said


async def test_a_command_is_done_when_the_database_comes_back_in_a_moment(
    new_storecredit: Storecredit, line: Line
) -> None:
    listing = new_storecredit.start("store", "list", STORECREDIT_DATABASE_URL=line.url)
    log = listing.log_path
    await apart(lambda: until(lambda: "Waiting" in log.read_text(), "it waits"))
    async with line.open():
        assert await apart(listing.process.wait) == 0


async def processes(serving: Serving, count: int) -> psutil.Process:
    """The further process, when as many have begun to serve."""
    await apart(lambda: until(lambda: len(serving.events("serving")) >= count, f"{count} serve"))
    (child,) = [
        child
        for child in psutil.Process(serving.process.pid).children()
        if "storecredit" in child.cmdline()
    ]
    return child


@pytest.mark.torture
async def test_further_processes_wait_by_themselves_and_end_with_their_parent(
    new_storecredit: Storecredit, line: Line
) -> None:
    where = {"STORECREDIT_DATABASE_URL": line.url} | LONG
    async with line.open():
        serving = await apart(lambda: new_storecredit.serve("--processes", 2, **where))
        child = await processes(serving, 2)
        line.is_away = True
        child.kill()
        told = await apart(lambda: serving.await_event("database_awaited"))
        assert told["level"] == "info"
        line.is_away = False
        child = await processes(serving, 3)

        line.is_away = True
        child.kill()
        again = "the next one waits"
        await apart(lambda: until(lambda: len(serving.events("database_awaited")) == 2, again))
        (child,) = psutil.Process(serving.process.pid).children()
        serving.process.kill()
        await apart(lambda: until(lambda: has_ended(child), "the child has ended"))
