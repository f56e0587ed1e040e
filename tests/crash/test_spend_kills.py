"""SIGKILL again and again while credits are spent, one by one and in batches, and given back.

Every client sends the same request until it is answered. In the end each store has what the answers
say, and each request stands in the ledger once.
"""

import asyncio
from random import Random

import httpx
import pytest

from storecredit.web.http.paths import encoded_request
from tests.crash.deployment import Deployment
from tests.crash.load import CLIENT_TIMEOUT_SECONDS, Account
from tests.crash.patient_client import PatientClient, Request
from tests.crash.processes import RunningProcess
from tests.web.spends import BATCH, SPEND, item

pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]

CLIENTS = 12
DEATHS = 12
ALIVE_MAX_SECONDS = 1.5
BATCH_SIZE = 50


class Spender:
    """One client of a store, and what it was told that was taken and given back."""

    def __init__(self, client: PatientClient, account: Account, name: str, seed: str) -> None:
        self.account = account
        self.balance_change = 0
        self.requests: list[str] = []
        self._client = client
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
        data = await self._client.acknowledged(
            Request(SPEND, self.account.secret, {"amount": amount}, spend_id)
        )
        assert data["amount"] == amount
        self.balance_change -= amount
        left = amount
        for _ in range(self._random.randint(0, 2)):
            part = self._random.randint(1, left)
            path = f"{SPEND}/{encoded_request(spend_id)}/refund"
            given = await self._client.acknowledged(
                Request(path, self.account.secret, {"amount": part}, self._new_id())
            )
            left -= part
            assert (given["amount"], given["refundable"]) == (part, left)
            self.balance_change += part
            if left == 0:
                return

    async def _spend_many(self) -> None:
        items = [item(self._new_id(), self._random.randint(1, 3)) for _ in range(BATCH_SIZE)]
        data = await self._client.acknowledged(
            Request(BATCH, self.account.secret, {"items": items})
        )
        assert {each["outcome"] for each in data["items"]} <= {"spent", "replayed"}
        assert len({each["outcome"] for each in data["items"]}) == 1, "all of a batch, or nothing"
        self.balance_change -= sum(each["amount"] for each in items)


async def test_what_is_spent_and_given_back_while_the_service_dies_is_what_was_answered(
    deployment: Deployment, seed: str
) -> None:
    service = await deployment.serve("--no-worker")
    stores = [account for account in deployment.accounts if account.owner.kind == "store"]
    random = Random(seed)
    async with httpx.AsyncClient(timeout=CLIENT_TIMEOUT_SECONDS) as http:
        client = PatientClient(http)
        client.url = service.url
        spenders = [
            Spender(client, stores[place % len(stores)], f"client-{place}", seed)
            for place in range(CLIENTS)
        ]
        async with asyncio.TaskGroup() as group:
            for spender in spenders:
                group.create_task(spender.run())
            for _ in range(DEATHS):
                await asyncio.sleep(random.uniform(0.1, ALIVE_MAX_SECONDS))
                service.kill()
                service = await deployment.serve("--no-worker")
                client.url = service.url
            for spender in spenders:
                spender.stop()
        for store in stores:
            own = [spender for spender in spenders if spender.account is store]
            await assert_books_are_as_answered(http, service, store, own)
    await deployment.assert_verified(service, generations=False)
    await deployment.assert_verified_by_command("--every-row", generations=False)


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
