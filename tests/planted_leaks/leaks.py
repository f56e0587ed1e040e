"""Tests that each have a process of ours log a secret, or not; run by `unit/test_log_watch.py`."""

import logging
import subprocess
import sys
from io import StringIO
from pathlib import Path

import httpx
import pytest
import structlog

from storecredit import telemetry
from tests.forked_command import ForkedCommand

KEY = "sc_live_" + 36 * "7"
PROMPT = "a hat for the swordfish ball"
LOGS = f"import sys; print('{KEY}', file=sys.stderr)"
PRINTS = f"print('{KEY}')"


def says(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def asked(body: object = None, **headers: str) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers={"set-cookie": "a=b"}))
    with httpx.Client(transport=transport) as client:
        client.post("http://a.test/", json=body, headers=headers)


def test_leak_by_a_log_that_nobody_set_up() -> None:
    structlog.get_logger().warning("refused", key=KEY)


def test_leak_by_a_log_as_the_service_sets_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    telemetry.configure("json", "info", StringIO())
    telemetry.get_logger("web").warning("refused", error="no person@buyer.example here")
    structlog.reset_defaults()


def test_leak_by_the_log_of_a_library() -> None:
    logging.getLogger("uvicorn").error("cannot ask https://shop.example/portrait.png?x=1")


def test_leak_of_a_prompt_that_was_sent() -> None:
    asked({"prompt": PROMPT})
    structlog.get_logger().info("blocked", words=PROMPT)


def test_leak_of_a_token_that_was_sent() -> None:
    asked(authorization="Bearer the-operators-own")
    structlog.get_logger().info("refused", token="the-operators-own")


def test_leak_into_a_file(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        subprocess.run(says(LOGS), stderr=log, check=True)


def test_leak_into_a_pipe() -> None:
    subprocess.run(says(LOGS), capture_output=True, check=True)


def test_leak_into_what_pytest_keeps() -> None:
    subprocess.run(says(LOGS), check=True)


def test_leak_beside_what_is_printed(tmp_path: Path) -> None:
    line = f"""print('{{"event":"refused","level":"info","error":"{KEY}"}}')"""
    with (tmp_path / "log").open("wb") as log:
        subprocess.run(says(line), stdout=log, stderr=log, check=True)


def test_leak_of_an_address_in_the_log_of_a_process(tmp_path: Path) -> None:
    line = """print('{"event":"refused","level":"info","error":"no person@buyer.example"}')"""
    with (tmp_path / "log").open("wb") as log:
        subprocess.run(says(f"import sys; sys.stdout = sys.stderr; {line}"), stderr=log, check=True)


def test_leak_by_a_command_whose_log_is_written_anew(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    for arguments in ([f"https://shop.example/{KEY}.png"], ["--version"]):
        ForkedCommand(arguments, tmp_path, {}, output=tmp_path / "output", errors=errors).wait()


def test_sound_what_is_printed_is_no_log(tmp_path: Path) -> None:
    asked({"prompt": PROMPT}, authorization="Bearer the-operators-own")
    subprocess.run(says(PRINTS), capture_output=True, check=True)
    with (tmp_path / "log").open("wb") as log:
        subprocess.run(says(PRINTS), stdout=log, stderr=log, check=True)


def test_sound_what_a_command_says_to_whoever_called_it() -> None:
    words = "No person@buyer.example. Console: http://a.test/console/sign-in/0123456789abcdef"
    program = says(f"import sys; print('{words}', file=sys.stderr)")
    subprocess.run(program, capture_output=True, check=True)


def test_sound_the_id_of_a_request_is_its_senders() -> None:
    structlog.get_logger().info("request", request_id="person@buyer.example")


def test_sound_what_another_test_has_sent() -> None:
    structlog.get_logger().info("refused", error=f"{PROMPT}, the-operators-own")
