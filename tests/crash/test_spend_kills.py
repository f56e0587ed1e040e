"""SIGKILL again and again while credits are spent, one by one and in batches, and given back.

Every client sends the same request until it is answered. In the end each store has what the answers
say, and each request stands in the ledger once.
"""

import asyncio
from random import Random
from typing import Any

import httpx
import pytest

from tests.crash.deployment import Deployment
from tests.crash.load import CLIENT_TIMEOUT_SECONDS, RETRY_WAIT_SECONDS, Account
from tests.crash.processes import RunningProcess
from tests.web.spends import BATCH, SPEND, item

pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]

CLIENTS = 12
DEATHS = 12
ALIVE_MAX_SECONDS = 1.5
BATCH_SIZE = 50
DONE = {200, 201}


class Spender:
    """One client of a store, and what it was told that was taken and given back."""

    def __init__(self, http: httpx.AsyncClient, account: Account, name: str, seed: str) -> None:
        self.account = account
        self.balance_change = 0
        self.requests: list[str] = []
        self.url = ""
        self._http = http
        self._name = name
        self._random = Random(f"{seed} {name}")
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Spend and give back until told to stop; what was begun is finished."""
        while not self._stopping.is_set():
            await (self._spend_many() if self._random.random() < 0.3 else self._spend_one())

    def stop(self) -> None:
        self._stopping.set()

    def _new_id(self) -> str:
        self.requests.append(f"{self._name}/{len(self.requests)}")
        return self.requests[-1]

    async def _spend_one(self) -> None:
        spend_id, amount = self._new_id(), self._random.randint(1, 9)
        data = await self._sent(SPEND, {"amount": amount}, spend_id)
        assert data["amount"] == amount
        self.balance_change -= amount
        left = amount
        for _ in range(self._random.randint(0, 2)):
            part = self._random.randint(1, left)
            path = f"{SPEND}/{spend_id.replace('/', '%2F')}/refund"
            given = await self._sent(path, {"amount": part}, self._new_id())
            left -= part
            assert (given["amount"], given["refundable"]) == (part, left)
            self.balance_change += part
            if left == 0:
                return

    async def _spend_many(self) -> None:
        items = [item(self._new_id(), self._random.randint(1, 3)) for _ in range(BATCH_SIZE)]
        answered = (await self._sent(BATCH, {"items": items}, None))["items"]
        assert {each["outcome"] for each in answered} <= {"spent", "replayed"}
        assert len({each["outcome"] for each in answered}) == 1, "all of a batch, or nothing"
        self.balance_change -= sum(each["amount"] for each in items)

    async def _sent(self, path: str, body: dict[str, Any], request_id: str | None) -> Any:
        """What is answered in the end."""
        headers = {"Authorization": f"Bearer {self.account.secret}"}
        if request_id is not None:
            headers["Idempotency-Key"] = request_id
        while True:
            try:
                answer = await self._http.post(self.url + path, headers=headers, json=body)
            except httpx.TransportError:
                await asyncio.sleep(RETRY_WAIT_SECONDS)
                continue
            if answer.status_code in DONE:
                return answer.json()["data"]
            assert answer.status_code == 503, answer.text
            await asyncio.sleep(RETRY_WAIT_SECONDS)


async def test_what_is_spent_and_given_back_while_the_service_dies_is_what_was_answered(
    deployment: Deployment, seed: str
) -> None:
    service = await deployment.serve("--no-worker")
    stores = [account for account in deployment.accounts if account.owner.kind == "store"]
    random = Random(seed)
    async with httpx.AsyncClient(timeout=CLIENT_TIMEOUT_SECONDS) as http:
        spenders = [
            Spender(http, stores[place % len(stores)], f"client-{place}", seed)
            for place in range(CLIENTS)
        ]

        def meet(process: RunningProcess) -> None:
            for spender in spenders:
                spender.url = process.url

        meet(service)
        async with asyncio.TaskGroup() as group:
            for spender in spenders:
                group.create_task(spender.run())
            for _ in range(DEATHS):
                await asyncio.sleep(random.uniform(0.1, ALIVE_MAX_SECONDS))
                service.kill()
                service = await deployment.serve("--no-worker")
                meet(service)
            for spender in spenders:
                spender.stop()
        for store in stores:
            own = [spender for spender in spenders if spender.account is store]
            await assert_books_are_as_answered(http, service, store, own)


async def assert_books_are_as_answered(
    http: httpx.AsyncClient, service: RunningProcess, store: Account, own: list[Spender]
) -> None:
    headers = {"Authorization": f"Bearer {store.secret}"}
    read = await http.get(f"{service.url}/api/v1/credits/balance", headers=headers)
    balance = read.json()["data"]["balance"]
    assert balance == store.credits + sum(spender.balance_change for spender in own)
    file = await http.get(
        f"{service.url}/api/v1/credits/transactions", headers=headers | {"Accept": "text/csv"}
    )
    header, *lines = file.text.splitlines()
    place = header.split(",").index("request_id")
    found = [line.split(",")[place] for line in lines]
    asked = [request_id for spender in own for request_id in spender.requests]
    assert sorted(set(found) & set(asked)) == sorted(asked)
    assert len(found) == len(asked) + 1, "beside what was asked for, the opening credits"
