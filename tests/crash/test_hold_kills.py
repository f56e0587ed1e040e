"""SIGKILL to the service and to PostgreSQL while credits are held, captured, released and expire.

Clients send each request until it is answered, and the sweep runs all the while. In the end every
answer stands in the tables, each hold has ended at most once and as was told, exactly what follows
from the ledger was told as events, and `storecredit verify` is clean.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Final

import httpx
import pytest

from storecredit.ledger.owners import OwnerKind
from tests.crash.audit import books_of
from tests.crash.deployment import OPENING_CREDITS, Deployment
from tests.crash.hold_audit import (
    all_ends_written,
    assert_answered_as_before,
    assert_ledger_is_as_told,
)
from tests.crash.hold_load import Doors, Holder
from tests.crash.load import CLIENT_TIMEOUT_SECONDS, Account
from tests.crash.patient_client import PatientClient
from tests.crash.processes import RunningProcess
from tests.sql.event_audit import EventAudit

SWEEP_SECONDS: Final = "0.2"
A_WHILE: Final = 40
"""At most so many requests are answered between one death and the next."""
DEATHS_OF_EACH: Final = 4


class Scene:
    """What runs, where the clients find it, and the one source of chance."""

    def __init__(self, deployment: Deployment, client: PatientClient, seed: str) -> None:
        self.random = Random(seed)
        self._deployment = deployment
        self._client = client
        self._service: RunningProcess | None = None

    @property
    def service(self) -> RunningProcess:
        assert self._service is not None
        return self._service

    async def serve(self) -> None:
        """Start the service; in place of the one that was killed."""
        self._service = await self._deployment.serve(
            "--no-worker", sweep_interval_seconds=SWEEP_SECONDS
        )
        self._client.url = self._service.url

    async def kill_service(self) -> None:
        self.service.kill()
        await self.serve()

    async def kill_postgres(self) -> None:
        (await self._deployment.processes.postmaster()).kill()

    async def kill_backend(self) -> None:
        self.random.choice(await self._deployment.processes.backends()).kill()

    async def kill_both(self) -> None:
        await self.kill_postgres()
        await self.kill_service()


Death = Callable[[Scene], Awaitable[None]]
DEATHS: Final = (
    Scene.kill_service,
    Scene.kill_postgres,
    Scene.kill_backend,
    Scene.kill_both,
)


async def _survive(
    deployment: Deployment, seed: str, clients: int, deaths: Sequence[Death]
) -> None:
    """Let clients hold and spend while one after the other dies, and judge every row."""
    async with httpx.AsyncClient(timeout=CLIENT_TIMEOUT_SECONDS) as http:
        client = PatientClient(http)
        scene = Scene(deployment, client, seed)
        await scene.serve()
        accounts = deployment.accounts
        for account in accounts:
            await _sign_in(http, client.url, account)
        async with books_of(deployment.processes.data_dir) as books:
            audit = await EventAudit.begin(books)
            # Where balances go to and fro.
            await books.execute("UPDATE accounts SET low_threshold = $1", OPENING_CREDITS - 20)
        holders = [
            Holder(client, Doors.of(accounts[place % len(accounts)]), f"client-{place}", seed)
            for place in range(clients)
        ]
        async with asyncio.TaskGroup() as group:
            for holder in holders:
                group.create_task(holder.run())
            for death in deaths:
                await client.until_answered(scene.random.randint(A_WHILE // 4, A_WHILE))
                await death(scene)
            await client.until_answered(scene.random.randint(A_WHILE // 4, A_WHILE))
            for holder in holders:
                holder.stop()
        async with books_of(deployment.processes.data_dir) as books:
            await all_ends_written(books)
            await assert_answered_as_before(client, holders)
            for account in accounts:
                own = [holder for holder in holders if holder.account is account]
                await assert_ledger_is_as_told(books, account, own)
            counts = await audit.assert_told(books)
            assert counts["credits.low"] > 0, counts
    await deployment.assert_verified(scene.service)
    await deployment.assert_verified_by_command("--every-row")


async def _sign_in(http: httpx.AsyncClient, url: str, account: Account) -> None:
    """An end user is known from the first call on."""
    if account.owner.kind is OwnerKind.USER:
        answer = await http.get(
            f"{url}/api/trpc/credits.getBalance",
            headers={"Authorization": f"Bearer {account.secret}"},
        )
        assert answer.status_code == 200, answer.text


@pytest.mark.timeout(300)
async def test_what_is_held_and_expires_while_everything_dies_is_what_was_answered(
    deployment: Deployment, seed: str
) -> None:
    deaths = [Scene.kill_service, Scene.kill_postgres]
    await _survive(deployment, seed, clients=12, deaths=deaths)


@pytest.mark.torture
@pytest.mark.timeout(1800)
async def test_what_is_held_and_expires_while_everything_dies_many_times_is_what_was_answered(
    deployment: Deployment, seed: str
) -> None:
    deaths = [death for death in DEATHS for _ in range(DEATHS_OF_EACH)]
    Random(seed).shuffle(deaths)
    await _survive(deployment, seed, clients=48, deaths=deaths)
