"""How `serve` takes signals that come more than once."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import httpx
import psutil
import pytest

from stand_ins.http_server import Answer, stand_in
from storecredit.processes import IMPATIENCE_SECONDS
from tests.crash.waiting import until
from tests.free_ports import free_port
from tests.image_files import data_url, picture

WAIT_MAX_SECONDS = 60.0
TOKEN = "operator-token-for-tests"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def start(port: int) -> Iterator["Start"]:
    starter = Start(port)
    yield starter
    starter.end()


class Start:
    """Starts `serve` with a generator at an address, and ends what is left of it."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.data_dir = Path(mkdtemp(prefix="storecredit-test-"))
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    async def __call__(
        self, generator_url: str, log: int | None = None
    ) -> "subprocess.Popen[bytes]":
        environment = {name: value for name, value in os.environ.items() if "CREDIT" not in name}
        environment |= {
            "STORECREDIT_GENERATOR": "http",
            "STORECREDIT_GENERATOR_URL": generator_url,
            "STORECREDIT_ADMIN_TOKEN": TOKEN,
        }
        where = ("--port", str(self.port), "--data-dir", str(self.data_dir))
        self.process = process = subprocess.Popen(
            [sys.executable, "-m", "storecredit", "serve", *where],
            env=environment,
            stderr=log,
            start_new_session=True,
        )
        async with httpx.AsyncClient() as client, asyncio.timeout(WAIT_MAX_SECONDS):
            while process.poll() is None:
                try:
                    if (await client.get(f"{self.address}/health/ready")).is_success:
                        return process
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        raise AssertionError("it did not start")

    def servers(self) -> list[psutil.Process]:
        """The PostgreSQL processes of the data directory."""
        return [
            process
            for process in psutil.process_iter(["name", "cmdline"])
            if str(self.data_dir) in " ".join(process.info["cmdline"] or ())
            and process.info["name"] == "postgres"
        ]

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for server in self.servers():
            server.kill()


async def begin_a_generation(address: str) -> None:
    """Make a store, and ask for a generation that its worker has begun when this returns."""
    async with httpx.AsyncClient(base_url=address) as client:
        store = await client.post(
            "/api/admin/stores",
            headers={"Authorization": f"Bearer {TOKEN}"},
            json={"name": "Shop", "shop_domain": "shop.example", "tier": "unlimited", "credits": 1},
        )
        headers = {"Authorization": f"Bearer {store.json()['data']['api_key']}"}
        body = {"image_urls": [data_url(picture())]}
        created = await client.post("/api/v1/generation/create", headers=headers, json=body)
        path = f"/api/v1/generation/{created.json()['data']['session_id']}"
        async with asyncio.timeout(WAIT_MAX_SECONDS):
            while True:
                answer = await client.get(path, headers=headers)
                if answer.json()["data"]["status"] != "queued":
                    return
                await asyncio.sleep(0.05)


async def exit_status(process: "subprocess.Popen[bytes]") -> int:
    return await asyncio.to_thread(process.wait, WAIT_MAX_SECONDS)


async def test_one_ctrl_c_that_arrives_twice_is_one(start: Start) -> None:
    process = await start("http://127.0.0.1:9/generate")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    apart = time.monotonic() - began
    # Of a machine that stood still in between they are two.
    assert await exit_status(process) == 0 or apart >= IMPATIENCE_SECONDS
    assert start.servers() == []


async def test_ctrl_c_again_a_moment_later_cuts_off_what_was_waited_for(
    start: Start, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    async with stand_in(Answer(length=10, hang=True)) as generator:
        with said.open("wb") as log:
            process = await start(generator.url("/generate"), log=log.fileno())
        await begin_a_generation(start.address)
        process.send_signal(signal.SIGINT)
        # The moment begins when the service has heard the first.
        heard = '"event":"stopping"'
        await until(lambda: heard in said.read_text(), heard, WAIT_MAX_SECONDS, said.read_text)
        await asyncio.sleep(IMPATIENCE_SECONDS)
        assert process.poll() is None, "it waits for the generation it has begun"
        process.send_signal(signal.SIGINT)
        assert await exit_status(process) == 130
    assert start.servers() == []


async def test_it_serves_and_stops_although_nobody_reads_its_log_any_more(start: Start) -> None:
    process = await start("http://127.0.0.1:9/generate", log=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.close()
    await begin_a_generation(start.address)
    process.send_signal(signal.SIGTERM)
    assert await exit_status(process) == 0
    assert start.servers() == []
