"""Under systemd: its own programs check the units, and pass a socket on to the service."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from storecredit.settings import Settings
from tests.crash.systemd_units import SYSTEMD, UNITS, Unit
from tests.e2e.conftest import COMMAND, Storecredit, until
from tests.free_ports import free_port
from tests.web.real_clients import program

READY_SECONDS_MAX = 60.0
EXPOSURE_MAX = 20
"""Of 100, as `systemd-analyze security` weighs what a unit could still do; 96 without any care."""
WHERE_IT_IS = "/srv/storecredit/bin/storecredit"


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as they stand, but for where the program is."""
    directory = tmp_path_factory.mktemp("units")
    for name in UNITS:
        text = (SYSTEMD / name).read_text().replace(WHERE_IT_IS, str(COMMAND))
        (directory / name).write_text(text)
    return directory


def said_of(*arguments: str | Path) -> str:
    """What `systemd-analyze` has to say; nothing means that all is well."""
    done = subprocess.run(
        [program("systemd-analyze"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def test_systemd_finds_nothing_wrong_with_the_units(units: Path) -> None:
    assert said_of("verify", "--man=no", *(units / name for name in UNITS)) == ""


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_a_service_may_do_little(units: Path, name: str) -> None:
    said_of("security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", units / name)


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_sets_what_there_is(name: str) -> None:
    assert set(Unit(name, "1").settings) <= set(Settings.model_fields)


@contextmanager
def activated(
    addresses: list[str], environment: Mapping[str, str], log_path: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """`storecredit serve`, as soon as somebody connects to systemd's program in front of it."""
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [
                program("systemd-socket-activate"),
                *(f"--listen={address}" for address in addresses),
                *(f"--setenv={name}={value}" for name, value in environment.items()),
                *(str(COMMAND), "serve", "--port", "0"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(READY_SECONDS_MAX)


def connected(address: tuple[str, int]) -> socket.socket:
    give_up = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            return socket.create_connection(address)
        except ConnectionRefusedError:
            assert time.monotonic() < give_up
            time.sleep(0.02)


def test_the_service_serves_on_the_socket_it_is_given_and_says_when_it_is_ready(
    storecredit: Storecredit, tmp_path: Path
) -> None:
    address = ("127.0.0.1", free_port())
    told = str(tmp_path / "told")
    environment = {
        "STORECREDIT_DATA_DIR": str(storecredit.data_dir),
        "NOTIFY_SOCKET": told,
        "PATH": os.environ["PATH"],
    }
    log_path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(told)
        systemd.settimeout(READY_SECONDS_MAX)
        with activated([f"{address[0]}:{address[1]}"], environment, log_path):
            with connected(address):
                assert systemd.recv(100) == b"READY=1", log_path.read_text()
            answer = httpx.get(f"http://{address[0]}:{address[1]}/health/ready")
            assert answer.status_code == 200


def test_of_more_than_one_socket_it_says_what_to_do(tmp_path: Path) -> None:
    address = ("127.0.0.1", free_port())
    addresses = [f"{address[0]}:{address[1]}", str(tmp_path / "another")]
    log_path = tmp_path / "log"
    with activated(addresses, {"PATH": os.environ["PATH"]}, log_path) as process:
        with connected(address):
            until(lambda: process.poll() is not None, "it ends")
        assert process.returncode == 1
        last = log_path.read_text().strip().replace("\n", " ")
    assert "systemd passed 2 sockets on" in last
    assert "ListenStream=" in last


def test_what_is_for_another_process_is_not_taken_and_where_nobody_hears_it_the_service_goes_on(
    storecredit: Storecredit, tmp_path: Path
) -> None:
    """A shell that was given a socket hands its environment down to every command."""
    nobody = str(tmp_path / "nobody")
    serving = storecredit.serve(LISTEN_PID="1", LISTEN_FDS="1", NOTIFY_SOCKET=nobody)
    assert serving.await_event("systemd_not_told")
    assert httpx.get(f"{serving.url}/health/ready").status_code == 200


def test_a_worker_says_when_it_is_ready(storecredit: Storecredit, tmp_path: Path) -> None:
    """Here to an abstract address, which is no file."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{tmp_path}")
        systemd.settimeout(READY_SECONDS_MAX)
        storecredit.start("worker", NOTIFY_SOCKET=f"@{tmp_path}")
        assert systemd.recv(100) == b"READY=1"
