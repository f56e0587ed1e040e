"""Who calls the service while its database moves, and what of it must be in the ledger."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg
import httpx

from storecredit.ledger.owners import Owner
from tests.crash.load import Account, Load, load_on
from tests.crash.waiting import until_true
from tests.e2e.conftest import Serving, Storecredit
from tests.postgres.replication.nodes import WAIT_MAX_SECONDS, Node

CREDITS: Final = 10_000
CREATE: Final = "/api/v1/generation/create"
BODY: Final = {"image_urls": ["https://images.example/a.png"]}
# An answer comes soon, also where it is 503.
BRIEF_WAITS: Final = {"STORECREDIT_COMMIT_DEADLINE_SECONDS": "1"}


async def served(ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """Ask until the answer is another than "not now"; that answer."""
    answers: list[httpx.Response] = []

    async def is_served() -> bool:
        answers.append(await ask())
        return answers[-1].status_code != httpx.codes.SERVICE_UNAVAILABLE

    await until_true(is_served, "it is served", WAIT_MAX_SECONDS, lambda: answers[-1].text)
    return answers[-1]


@dataclass(frozen=True, slots=True)
class Shop:
    """A store with a key, and credits for all that is asked."""

    store_id: UUID
    api_key: str

    async def create(self, client: httpx.AsyncClient, request_id: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.api_key}", "X-Request-Id": request_id}
        return await client.post(CREATE, headers=headers, json=BODY)

    async def answered(self, client: httpx.AsyncClient, request_id: str) -> httpx.Response:
        """Ask until the answer is another than "not now"; that answer."""
        return await served(lambda: self.create(client, request_id))

    def load(self, client: httpx.AsyncClient) -> Load:
        """Its clients, each of whom sends a request again until it is acknowledged."""
        return Load(client, [Account(Owner.store(self.store_id), self.api_key, CREDITS)], "7")

    @asynccontextmanager
    async def asking(self, serving: Serving) -> AsyncIterator[Load]:
        """Clients at work. No answer but 201, 200 and 503 with Retry-After is right."""
        async with load_on([serving.url], self.load) as load:
            yield load

    async def assert_in_ledger(self, node: Node, load: Load) -> None:
        """What was acknowledged is on this server, and nothing is there twice."""
        connection = await asyncpg.connect(node.url)
        try:
            rows = await connection.fetch(
                """SELECT m.request_id, m.session_id FROM storecredit.movements m
                   JOIN storecredit.accounts a USING (account_id)
                   WHERE m.type = 'deduction' AND a.owner_id = $1""",
                self.store_id,
            )
        finally:
            await connection.close()
        taken = [row["request_id"] for row in rows]
        assert len(taken) == len(set(taken))
        sessions = {row["request_id"]: {row["session_id"]} for row in rows}
        assert load.acknowledged
        for asked in load.acknowledged:
            assert sessions.get(asked.request_id) == asked.session_ids, asked


def assert_refused_for_now(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.json()["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert int(answer.headers["retry-after"]) >= 1


def assert_verified(command: Storecredit, url: str) -> None:
    report = command("verify", "--json", "--database-url", url).json()
    assert report["clean"] is True
    assert report["movements"] > 0
