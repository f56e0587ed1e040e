"""Counting instructions: what is sent in bursts, how counts are read, and the table of them."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from benchmarks.instructions.__main__ import COUNT, PARTS, parsed, table
from benchmarks.instructions.bursts import answered, bursts
from benchmarks.instructions.one_side import CALLED, IDLE, WHAT
from benchmarks.instructions.valgrind import Counted, total_in
from benchmarks.processes import PYTHON, await_answer, free_port, started
from benchmarks.results import NotMeasured
from benchmarks.service_under_test import ASGI, EMPTY_PATH, LITESTAR

DUMP = "version: 1\nevents: Ir\nsummary: 4711\n\nfn=(1)\n0 4711\ntotals: 4711\n"


@pytest.mark.parametrize(
    "dump, total",
    [
        (DUMP, 4711),
        ("version: 1\nevents: Ir\n\nfn=(1)\n0 47", None),
        ("", None),
    ],
)
def test_a_dump_says_its_total_once_it_is_written(dump: str, total: int | None) -> None:
    assert total_in(dump) == total


def test_all_that_have_ended_are_summed_up(tmp_path: Path) -> None:
    (tmp_path / "dump.1").write_text(DUMP)
    (tmp_path / "dump.2").write_text(DUMP)
    (tmp_path / "dump.3").write_text("")
    assert Counted(tmp_path).dumped() == 2 * 4711


def test_a_ratio_is_of_the_same_round() -> None:
    this = {("F1", "Python"): [200.0, 330.0, 400.0], (IDLE, "Python"): [10.0]}
    other = {("F1", "Python"): [100.0, 300.0, 400.0], (IDLE, "Python"): [10.0]}
    *_, create, idle = table(this, other).splitlines()
    assert create == f"| {WHAT['F1']} | Python | 330 | 300 | 1.1000 | 1.0000 – 2.0000 |"
    assert idle.startswith(f"| {WHAT[IDLE]} |")


def test_each_kind_of_work_is_told_what_it_is() -> None:
    assert {*CALLED, IDLE} == set(WHAT)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 0\r\n\r\n",
    ],
)
def test_an_answer_is_read_to_its_end(answer: bytes) -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(answer)
        assert answered(here) == answer


@pytest.mark.parametrize("answer", [b"HTTP/1.1 201 Created\r\n\r\n", b"HTTP/1.1 201 Cre", b""])
def test_an_answer_that_breaks_off_is_none(answer: bytes) -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(answer)
        there.shutdown(socket.SHUT_WR)
        with pytest.raises(NotMeasured):
            answered(here)


@contextmanager
def empty(kind: str, directory: Path) -> Iterator[tuple[int, int]]:
    """A server that does nothing: its process, and its port."""
    port = free_port()
    command = [PYTHON, "-m", "benchmarks.baselines.empty", kind, str(port)]
    with started(command, directory / "log") as process:
        await_answer(f"http://127.0.0.1:{port}{EMPTY_PATH}", process, directory / "log")
        yield process.pid, port


def test_a_burst_is_answered_and_leaves_the_server_running(tmp_path: Path) -> None:
    with empty(ASGI, tmp_path) as (pid, port):
        with bursts(pid, port, 8) as sending:
            sending.create(["a key"] * 20)
            sending.balance(["a key"] * 3)
        assert psutil.Process(pid).status() != psutil.STATUS_STOPPED


def test_an_answer_that_is_no_success_is_no_measurement(tmp_path: Path) -> None:
    with empty(LITESTAR, tmp_path) as (pid, port):
        with bursts(pid, port, 2) as sending, pytest.raises(NotMeasured, match="no success"):
            sending.create(["a key"])
        assert psutil.Process(pid).status() != psutil.STATUS_STOPPED


def test_the_command_takes_a_build_and_counts_both_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parsed([str(tmp_path)])
    assert "no checkout with a .venv" in capsys.readouterr().err
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    (tmp_path / "benchmarks").mkdir()
    options = parsed([str(tmp_path)])
    assert (options.other, options.count, options.parts) == (tmp_path, COUNT, PARTS)
    with pytest.raises(SystemExit):
        parsed([str(tmp_path), "--count", "63"])
