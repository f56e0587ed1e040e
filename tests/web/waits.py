"""What tests of answers that wait have in common: who waits, and generations that end."""

import asyncio
from uuid import UUID

from storecredit.generation.lifecycle import GenerationJob
from storecredit.generation.sessions import Failure, FailureCode
from storecredit.ledger.owners import Account, Owner
from storecredit.service import Service
from tests.web.doors import StoreClient
from tests.web.users import UserClient

WAIT_MAX_SECONDS = 30.0
"""For what is to happen at once, and would otherwise not happen before a minute is over."""


async def waiting(service: Service, count: int = 1) -> None:
    """Until so many wait."""
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        while service.parts.endings.waiters != count:  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(0.005)


async def job_of(
    service: Service, client: StoreClient | UserClient, session_id: str
) -> GenerationJob:
    owner = (
        Owner.store(UUID(client.store_id))
        if isinstance(client, StoreClient)
        else Owner.user(client.user_id)
    )
    account_id = await service.parts.credits.account_id(owner)
    return GenerationJob(Account(account_id, owner), UUID(session_id), "any")


async def start(service: Service, client: StoreClient | UserClient, session_id: str) -> None:
    await service.parts.lifecycle.start(await job_of(service, client, session_id))


async def complete(service: Service, client: StoreClient | UserClient, session_id: str) -> None:
    job = await job_of(service, client, session_id)
    await service.parts.lifecycle.start(job)
    assert await service.parts.lifecycle.complete(job, f"{job.account.owner.id}/{session_id}.png")


async def fail(service: Service, client: StoreClient | UserClient, session_id: str) -> None:
    job = await job_of(service, client, session_id)
    failure = Failure(FailureCode.IMAGE_UNREADABLE, "No picture.")
    assert await service.parts.lifecycle.fail_and_refund(job, failure)
