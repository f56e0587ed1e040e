"""The service as an operator deploys it: processes on one data directory, and a generator.

Whoever asks is half stores, half end users, and each user bears the id of a store.
"""

import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any
from uuid import UUID

import httpx
import msgspec

from storecredit.ledger.owners import Owner
from tests.crash.audit import (
    assert_books_hold,
    assert_nothing_half_done,
    books_of,
    drained,
)
from tests.crash.generator_stand_in import Generator
from tests.crash.load import Account, Load, load_on
from tests.crash.processes import Processes, RunningProcess
from tests.web.users import JWT_SECRET, token_of

STORES = 3
OPENING_CREDITS = 100_000
TOKEN_SECONDS = 24 * 3600
ADMIN_TOKEN = "operator-of-the-crash-tests"
OPERATOR = {"Authorization": f"Bearer {ADMIN_TOKEN}"}

# Everything that waits waits briefly, so that what a crash leaves behind is soon picked up.
BRIEF_WAITS = {
    "STORECREDIT_COMMIT_DEADLINE_SECONDS": "0.5",
    "STORECREDIT_GENERATION_TIMEOUT_SECONDS": "1",
    "STORECREDIT_GENERATOR_ATTEMPTS": "3",
    "STORECREDIT_GENERATOR_BACKOFF_SECONDS": "0.05",
    "STORECREDIT_SWEEP_INTERVAL_SECONDS": "0.3",
    "STORECREDIT_WORKER_CONCURRENCY": "32",
    "STORECREDIT_WORKER_HEARTBEAT_TIMEOUT_SECONDS": "1",
}


class Deployment:
    """Starts the service's processes, makes accounts, sends load, and looks into the books."""

    def __init__(
        self,
        processes: Processes,
        generator: Generator,
        seed: str,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`settings` as environment, beside the usual ones."""
        self.processes = processes
        self.generator = generator
        self.accounts: list[Account] = []
        self._seed = seed
        self._environment = BRIEF_WAITS | {
            "STORECREDIT_ADMIN_TOKEN": ADMIN_TOKEN,
            "STORECREDIT_JWT_SECRET": JWT_SECRET,
            "STORECREDIT_STARTER_CREDITS": str(OPENING_CREDITS),
            "STORECREDIT_GENERATOR": "http",
            "STORECREDIT_GENERATOR_URL": generator.url,
            "STORECREDIT_LOG_FORMAT": "json",
            **settings,
        }

    async def serve(self, *options: str, **settings: str) -> RunningProcess:
        """`storecredit serve` on a free port; the first one makes the accounts.

        `settings` by their names, in place of the usual ones.
        """
        return await self._served(options, settings, None)

    async def serve_on(
        self, listening: socket.socket, *options: str, **settings: str
    ) -> RunningProcess:
        """The same, on a socket that is passed on to it as systemd does."""
        return await self._served(options, settings, listening)

    async def _served(
        self, options: Sequence[str], settings: Mapping[str, str], listening: socket.socket | None
    ) -> RunningProcess:
        process = await self._start(
            "serve", "--port", "0", *options, settings=settings, listening=listening
        )
        if not self.accounts:
            stores = [await _make_store(process.url, place) for place in range(STORES)]
            self.accounts = [*stores, *(_namesake(store) for store in stores)]
        return process

    def launch(self) -> RunningProcess:
        """`storecredit serve`, without waiting for it to serve."""
        return self.processes.launch("serve", "--port", "0", environment=self._environment)

    async def work(self, **settings: str) -> RunningProcess:
        """`storecredit worker`."""
        return await self._start("worker", settings=settings)

    async def _start(
        self,
        command: str,
        *options: str,
        settings: Mapping[str, str],
        listening: socket.socket | None = None,
    ) -> RunningProcess:
        changed = {f"STORECREDIT_{name.upper()}": value for name, value in settings.items()}
        return await self.processes.start(
            command, *options, environment=self._environment | changed, listening=listening
        )

    async def create(self, service: RunningProcess, account: Account, request_id: str) -> UUID:
        """One request for a generation; its session."""
        async with httpx.AsyncClient(base_url=service.url) as client:
            answer = await client.post(
                "/api/v1/generation/create",
                headers={
                    "Authorization": f"Bearer {account.secret}",
                    "X-Request-Id": request_id,
                },
                json={"image_urls": ["https://images.example/a.png"]},
            )
        assert answer.status_code == 201, answer.text
        return UUID(answer.json()["data"]["session_id"])

    @asynccontextmanager
    async def load(self, *doors: RunningProcess) -> AsyncIterator[Load]:
        """Clients that keep asking these processes, until the block ends or says stop."""
        try:
            async with load_on([door.url for door in doors], self._new_load) as load:
                yield load
        except AssertionError as failure:
            failure.add_note(self.processes.log_tails())
            raise

    def _new_load(self, client: httpx.AsyncClient) -> Load:
        """Whoever asks; a deployment that sells has others."""
        return Load(client, self.accounts, self._seed)

    async def assert_all_is_well(self, load: Load) -> None:
        """Let the service drain, and judge every row."""
        async with books_of(self.processes.data_dir) as books:
            await drained(books)
            await assert_books_hold(books, load, self.generator, self.processes.data_dir)

    async def assert_nothing_half_done(self) -> None:
        """Nothing runs, and nothing was broken off when it stopped."""
        await assert_nothing_half_done(self.processes.data_dir, self.generator)

    async def assert_verified(self, service: RunningProcess, *, generations: bool = True) -> None:
        """The operator's `GET /api/admin/verify` finds nothing wrong, and looked at something."""
        async with httpx.AsyncClient(base_url=service.url) as operator:
            answer = await operator.get("/api/admin/verify", headers=OPERATOR)
        assert answer.status_code == 200, answer.text
        _assert_clean(answer.json()["data"], generations)

    async def assert_verified_by_command(self, *options: str, generations: bool = True) -> None:
        """`storecredit verify` finds nothing wrong, and looked at something."""
        status, output = await self.processes.run(
            "verify", "--json", *options, environment=self._environment
        )
        assert status == 0, output.decode()
        _assert_clean(msgspec.json.decode(output), generations)


def _assert_clean(report: dict[str, Any], generations: bool) -> None:
    """`generations`: whether there were any to look at."""
    assert report["clean"] is True, report
    assert report["movements"] > 0
    assert (report["sessions"] > 0) is generations


async def _make_store(url: str, place: int) -> Account:
    async with httpx.AsyncClient(base_url=url) as operator:
        answer = await operator.post(
            "/api/admin/stores",
            headers=OPERATOR,
            json={
                "name": f"Shop {place}",
                "shop_domain": f"shop-{place}.example",
                "tier": "unlimited",
                "credits": OPENING_CREDITS,
            },
        )
    assert answer.status_code == 201, answer.text
    made = answer.json()["data"]
    return Account(Owner.store(UUID(made["store_id"])), made["api_key"], OPENING_CREDITS)


def _namesake(store: Account) -> Account:
    """An end user with the store's id, who signs in when it first asks for anything."""
    token = token_of(store.owner.id, exp=int(time.time()) + TOKEN_SECONDS)
    return Account(Owner.user(store.owner.id), token, OPENING_CREDITS)
