"""`storecredit serve` and `worker`: started, used as their output says, stopped."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from tests.e2e.conftest import (
    WAIT_MAX_SECONDS,
    Serving,
    Storecredit,
    processes_naming,
    standing_still,
    until,
)
from tests.e2e.page_commands import run, running
from tests.process_ends import has_ended

TOKEN = "operator"
PASTED_LINE_MAX = 100
MANY_COLOURS = 1000
DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mNUq+hjwAaY"
    "GHCAwSkBAO6oATye9rWzAAAAAElFTkSuQmCC"
)


def printed_by(serving: Serving) -> str:
    """What `--demo` prints, once it has printed all of it."""
    until(lambda: "STORECREDIT_BLOCKED_TERMS" in serving.output, "the demo is printed")
    return serving.output


def key_in(output: str) -> str:
    (key,) = set(re.findall(r"sc_live_\w{36}", output))
    return str(key)


def pasted(output: str, directory: Path, shell: str) -> list[list[dict[str, Any]]]:
    """The data of the API's answers, step by step, when a shell is given the printed lines."""
    (lines,) = re.findall(
        r"^API=.*^curl [^\n]*transactions[^\n]*$", output, re.DOTALL | re.MULTILINE
    )
    assert max(map(len, lines.splitlines())) <= PASTED_LINE_MAX
    done = subprocess.run(
        [shell],
        input=lines,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=WAIT_MAX_SECONDS,
        check=True,
    )
    assert done.stderr == ""
    before, *steps = re.split(r"^[1-4]\. .*:$", done.stdout, flags=re.MULTILINE)
    assert before == ""
    return [
        [json.loads(line)["data"] for line in step.splitlines() if line.startswith("{")]
        for step in steps
    ]


@pytest.mark.parametrize(
    "shell, variables, word",
    [
        ("bash", {}, "forbidden"),
        ("sh", {"STORECREDIT_BLOCKED_TERMS": "it's over, gone"}, "it's over"),
    ],
)
def test_the_demo_lines_work_when_pasted(
    storecredit: Storecredit, shell: str, variables: dict[str, str], word: str
) -> None:
    output = printed_by(storecredit.serve("--demo", **variables))
    assert f'its word "{word}"' in output

    created, read, balances, blocked = pasted(output, storecredit.directory, shell)

    assert [each["balance"] for each in created] == [99]
    assert read[-1]["status"] == "completed"
    with Image.open(storecredit.directory / "result.png") as image:
        image.load()
        assert image.size == (900, 1200)
        assert image.getcolors(MANY_COLOURS) is None, "a picture, not flat squares"
    assert balances == [{"balance": 99, "total_purchased": 100, "total_spent": 1}]
    taken, *_, ended, balance, ledger = blocked
    assert taken["balance"] == 98
    assert (ended["status"], ended["error_code"]) == ("failed", "MODERATION_BLOCKED")
    assert ended["credits_refunded"] == 1
    assert balance["balance"] == 99
    movements = [(each["type"], each["request_id"]) for each in ledger["items"]]
    assert movements == [("refund", taken["request_id"]), ("deduction", taken["request_id"])]


def test_a_second_start_keeps_the_data_and_says_how_to_get_another_key(
    new_storecredit: Storecredit,
) -> None:
    storecredit = new_storecredit
    first = storecredit.serve("--demo")
    key = key_in(printed_by(first))
    assert first.stop() == 0

    second = storecredit.serve("--demo")

    until(lambda: "storecredit key create" in second.log_path.read_text(), "a remark")
    (command,) = re.findall("storecredit (key create .*)", second.log_path.read_text())
    another = key_in(storecredit(*command.split()).output)
    assert second.output == ""
    for each in (key, another):
        answer = httpx.get(
            f"{second.url}/api/v1/credits/balance", headers={"Authorization": f"Bearer {each}"}
        )
        assert answer.json()["data"]["balance"] == 100
    assert len(storecredit("store", "list", "--json").json()["items"]) == 1


def test_the_commands_for_another_key_and_store_can_be_pasted_where_no_path_leads_to_them(
    tmp_path: Path, environment: dict[str, str], port: int
) -> None:
    there = environment | {"PATH": os.defpath}
    elsewhere = {name: each for name, each in there.items() if "STORECREDIT" not in name}
    run(f"{sys.executable} -m storecredit demo", there, tmp_path)

    serve = f"{sys.executable} -m storecredit serve --demo --port {port}"
    with running(serve, there, tmp_path / "log", tmp_path) as log:
        until(lambda: "For another demo store" in log.read_text(), "a remark")
        commands = re.findall(r"^For another [\w ]+: +(.+)$", log.read_text(), re.MULTILINE)
        key, store = [run(command, elsewhere, tmp_path) for command in commands]

    assert "sc_live_" in key
    assert f"API=http://127.0.0.1:{port}/api/v1\n" in store


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_api_worker_and_postgresql(
    storecredit: Storecredit, how: signal.Signals
) -> None:
    serving = storecredit.serve()
    assert httpx.get(f"{serving.url}/health/ready").status_code == 200
    assert processes_naming(storecredit.data_dir)

    assert serving.stop(how) == 0

    assert processes_naming(storecredit.data_dir) == []
    assert not (storecredit.data_dir / "postgres" / "postmaster.pid").exists()
    assert serving.output == ""
    assert [line["event"] for line in serving.log if line["level"] != "info"] in (
        [],
        ["directory_made_passable"],  # as root
    )


def test_a_signal_during_the_start_ends_it_too(new_storecredit: Storecredit) -> None:
    serving = new_storecredit.start("serve", "--port", 0)
    until((new_storecredit.data_dir / "postgres.start.lock").exists, "it makes the database")
    assert serving.stop(signal.SIGTERM) == 0
    assert processes_naming(new_storecredit.data_dir) == []


def test_a_worker_of_its_own_runs_what_the_api_queues(storecredit: Storecredit) -> None:
    serving = storecredit.serve("--no-worker", STORECREDIT_ADMIN_TOKEN=TOKEN)
    key = serving.made_store(TOKEN, tier="unlimited", credits=1)["api_key"]
    client = httpx.Client(base_url=serving.url, headers={"Authorization": f"Bearer {key}"})
    created = client.post("/api/v1/generation/create", json={"image_urls": [DOT]}).json()
    path = f"/api/v1/generation/{created['data']['session_id']}"
    assert client.get(path).json()["data"]["status"] == "queued"

    worker = storecredit.start("worker")

    until(lambda: client.get(path).json()["data"]["status"] == "completed", "it is completed")
    client.close()
    assert serving.stop() == 0
    assert processes_naming(storecredit.data_dir), "the worker still uses PostgreSQL"
    assert worker.stop() == 0
    assert processes_naming(storecredit.data_dir) == []


def api_processes(serving: Serving) -> list[psutil.Process]:
    """The further processes of a service."""
    children = psutil.Process(serving.process.pid).children()
    return [child for child in children if "serve" in child.cmdline()]


def await_all(serving: Serving, count: int) -> list[psutil.Process]:
    """The further processes, once all processes serve."""
    until(lambda: len(serving.events("serving")) >= count, f"{count} processes serve")
    return api_processes(serving)


def test_several_processes_answer_on_one_address_and_end_together(
    storecredit: Storecredit,
) -> None:
    serving = storecredit.serve("--processes", 3)
    first, second = await_all(serving, 3)
    (warning,) = serving.events("rate_limits_counted_per_process")
    assert warning["processes"] == 3

    # Whoever is left alone with the socket answers.
    parent = psutil.Process(serving.process.pid)
    for suspended in ((parent, first), (parent, second), (first, second)):
        with standing_still(suspended):
            assert httpx.get(f"{serving.url}/health/live").status_code == 200

    first.kill()
    await_all(serving, 4)
    (died,) = serving.events("process_died")
    assert died["pid"] == first.pid
    assert {child.pid for child in api_processes(serving)} != {first.pid, second.pid}

    children = api_processes(serving)
    assert len(children) == 2
    assert serving.stop(signal.SIGTERM) == 0
    assert all(map(has_ended, children))
    assert processes_naming(storecredit.data_dir) == []


def test_processes_whose_parent_is_killed_end_by_themselves(storecredit: Storecredit) -> None:
    serving = storecredit.serve("--processes", 2)
    (child,) = await_all(serving, 2)
    metrics = Path(child.environ()["STORECREDIT_METRICS_DIR"])
    assert metrics.is_dir()

    serving.process.kill()

    until(lambda: has_ended(child), "the child has ended")
    until(lambda: not processes_naming(storecredit.data_dir), "PostgreSQL has ended with it")
    assert serving.events("parent_gone")
    assert not metrics.exists()
