"""Every command in the README does what the README says: the blocks are run as they stand.

What a reader is told to replace is replaced here: the key, the address, the database.
"""

import asyncio
import json
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest

from tests.e2e.page_commands import BIN, ROOT, Page, as_installed, key_in, run, running

README = Page("README.md")


@pytest.fixture
def commands() -> str:
    """Each starts from nothing here."""
    return f"{BIN}{os.pathsep}{os.environ['PATH']}"


def test_make_run_serves_a_demo_store_and_the_examples_answer_as_shown(
    tmp_path: Path, environment: dict[str, str], port: int
) -> None:
    with running(as_installed(README.block("make run")), environment, tmp_path / "log") as log:
        key = key_in(log)
        address = f"127.0.0.1:{port}"

        def adapted(text: str) -> str:
            return text.replace("sc_live_…", key).replace("127.0.0.1:8080", address)

        create = adapted(README.block("KEY="))
        first = run(create, environment, tmp_path)
        assert first.startswith("HTTP/1.1 201 ")
        assert '"credits_charged":1,"balance":99}' in first
        again = run(create, environment, tmp_path)
        assert again.startswith("HTTP/1.1 200 ")
        assert "idempotent-replayed: true" in again.lower()
        assert re.findall("session_id.*?,", again) == re.findall("session_id.*?,", first)
        spends = f"KEY={key}\n" + adapted(
            README.block("curl -s http://127.0.0.1:8080/api/v1/credits/spend")
        )
        taken, given_back = README.blocks("json")[1].splitlines()
        assert run(spends, environment, tmp_path).splitlines() == [taken, given_back]
        again = run(spends, environment, tmp_path)
        assert again.splitlines() == [taken.replace('":94', '":96'), given_back]
        reads = f"KEY={key}\n" + adapted(
            README.block("curl -s http://127.0.0.1:8080/api/v1/credits/balance")
        )
        shown = run(reads, environment, tmp_path)
        assert README.blocks("json")[2].strip() in shown
        assert "deduction,1,99,order-1001" in shown
        assert "deduction,5,94,call-2001" in shown
        assert "refund,2,96,refund-2001" in shown
        operate = run(README.block('export PATH="$PWD/.venv/bin'), environment, tmp_path)
        assert "Hats & Co" in operate
    assert not (tmp_path / "data" / "postgres" / "postmaster.pid").exists()


def test_make_test_is_the_make_target_that_runs_every_test() -> None:
    planned = subprocess.run(
        ["make", "--dry-run", *README.block("make test").split()[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pytest" in planned.stdout


def test_the_admin_token_switches_the_operators_api_on(
    tmp_path: Path, environment: dict[str, str], port: int
) -> None:
    with running(README.block("STORECREDIT_ADMIN_TOKEN"), environment, tmp_path / "log", tmp_path):
        asked = README.block("curl -s http://127.0.0.1:8080/api/admin")
        answer = run(asked.replace("127.0.0.1:8080", f"127.0.0.1:{port}"), environment, tmp_path)
        assert json.loads(answer) == {"data": {"items": [], "next_cursor": None}, "error": None}


def test_your_own_postgresql_is_migrated_and_served(
    tmp_path: Path, environment: dict[str, str], server_url: str, port: int
) -> None:
    name = f"readme_{port}"
    asyncio.run(_execute(server_url, f"CREATE DATABASE {name} TEMPLATE template0"))
    try:
        url = urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
        commands = re.sub(
            r"postgresql://owner\S+", f"'{url}'", README.block("export STORECREDIT_DATABASE")
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
    with running(
        README.block("export STORECREDIT_GENERATOR"), environment, tmp_path / "log", tmp_path
    ):
        assert httpx.get(f"http://127.0.0.1:{port}/health/live").status_code == 200


def test_every_block_of_commands_is_run_by_one_of_these_tests() -> None:
    assert [text.split()[0:2] for text in README.blocks()] == [
        ["make", "run"],
        ["make", "test"],
        ["KEY=sc_live_…", "curl"],
        ["curl", "-s"],
        ["curl", "-s"],
        ["export", 'PATH="$PWD/.venv/bin:$PATH"'],
        ["STORECREDIT_ADMIN_TOKEN=choose-a-long-one", "storecredit"],
        ["curl", "-s"],
        [
            "export",
            "STORECREDIT_DATABASE_URL=postgresql://owner:password@db.example:5432/storecredit",
        ],
        ["export", "STORECREDIT_GENERATOR=http"],
    ]
