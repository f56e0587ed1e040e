"""docs/waiting.md as it stands there: its commands, its answer, its client."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from storecredit.generation.endings import WAIT_MAX_SECONDS
from storecredit.service import Service
from storecredit.web.http.protocol import CONNECTIONS_MAX
from storecredit.web.trpc.router_types import module
from tests.e2e.page_commands import Page, run
from tests.web.conftest import WorkerStarter
from tests.web.doors import StoreClient
from tests.web.node import compiled, run_script, served
from tests.web.users import UserClient
from tests.web.waits import fail, waiting

PAGE = Page("docs/waiting.md")
ADDRESS = "http://127.0.0.1:8080"
"""What the reader of the page replaces."""


async def answer_to(commands: str, port: int, directory: Path, **names: str) -> dict[str, Any]:
    """What a command of the page shows, without its headers."""
    there = commands.replace(ADDRESS, f"http://127.0.0.1:{port}")
    shown = await asyncio.to_thread(run, there, dict(os.environ) | names, directory)
    data: dict[str, Any] = json.loads(shown.rpartition("\n\n")[2].rpartition("\r\n\r\n")[2])["data"]
    return data


async def test_the_commands_answer_as_shown(
    service: Service, store: StoreClient, worker: WorkerStarter, tmp_path: Path
) -> None:
    create, read = PAGE.blocks()
    [shown] = [json.loads(text)["data"] for text in PAGE.blocks("json")]
    async with served(service) as port, worker():
        made = await answer_to(create, port, tmp_path, KEY=store.api_key)
        assert list(made) == list(shown)
        assert list(made["generation"]) == list(shown["generation"])
        same = ("status", "balance", "request_id", "credits_charged")
        assert [made[name] for name in same] == [shown[name] for name in same]
        keys = {"KEY": store.api_key, "SESSION": made["session_id"]}
        again = await answer_to(read, port, tmp_path, **keys)
    assert again | {"result_url": ""} == made["generation"] | {"result_url": ""}


async def test_the_client_compiles_and_is_told(
    service: Service, user: UserClient, tmp_path: Path
) -> None:
    session_id = await user.created()
    [client] = PAGE.blocks("ts")
    async with served(service) as port:
        (tmp_path / "storecredit.d.ts").write_text(module())
        (tmp_path / "told.ts").write_text(client.replace(ADDRESS, f"http://127.0.0.1:{port}"))
        assert await asyncio.to_thread(compiled, tmp_path) == ""
        path = str(tmp_path / "told.js")
        told = asyncio.create_task(run_script("told.mjs", path, user.token, session_id))
        await waiting(service, 1)
        await fail(service, user, session_id)
        assert await told == "No picture.\n"


def test_the_numbers_of_the_page_hold() -> None:
    assert f"at most {WAIT_MAX_SECONDS};" in PAGE.text
    assert f"{CONNECTIONS_MAX // 2:,}" in PAGE.text
