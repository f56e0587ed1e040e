"""One worker over several buckets: each is served, and one that is away stops no other."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from storecredit.generation.generators import GeneratedImage, GenerationRequest
from storecredit.generation.lifecycle import GenerationJob
from storecredit.generation.results.directory import RESULTS
from storecredit.generation.sessions import Session, SessionStatus
from storecredit.generation.strays import Strays
from storecredit.ledger.owners import Account
from storecredit.postgres.buckets import SeveralBuckets, bucket_of
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.service import Service, assembled
from storecredit.settings import Settings
from tests.postgres.severed import Severed
from tests.running_listener import until
from tests.worker.owners import store
from tests.worker.scripted_generator import ScriptedGenerator, create, png, working

BUCKETS = 3


@pytest.fixture
async def link(database_url: str) -> AsyncIterator[Severed]:
    """The way to the last of three buckets, which is on a server of its own, as it were."""
    await migrate(database_url, buckets=BUCKETS, open_after_seconds=0)
    async with Severed(database_url).open() as opened:
        yield opened


@pytest.fixture
async def service(settings: Settings, database_url: str, link: Severed) -> AsyncIterator[Service]:
    """A service over these."""
    async with AsyncExitStack() as stack:
        home = await Database.open(database_url)
        stack.push_async_callback(home.close)
        elsewhere = await Database.open(link.url)
        stack.push_async_callback(elsewhere.close)
        databases = [home, await home.of_bucket(1), await elsewhere.of_bucket(2)]
        for database in databases[1:]:
            stack.push_async_callback(database.close)
        yield await stack.enter_async_context(assembled(settings, SeveralBuckets(databases)))


async def one_in_each(service: Service) -> Sequence[Account]:
    """A store of each bucket, with a hundred credits."""
    found: dict[int, Account] = {}
    while len(found) < BUCKETS:
        account = await store(service, 100)
        found[bucket_of(account.id)] = account
    return [found[bucket] for bucket in range(BUCKETS)]


async def completed(service: Service, account: Account, *session_ids: UUID) -> None:
    """Wait until the sessions have ended well."""
    for session_id in session_ids:
        ended = await service.parts.endings.wait(account.id, session_id, 60)
        assert ended is not None
        assert ended.status is SessionStatus.COMPLETED


async def test_who_waits_for_an_end_is_told_of_it_while_another_bucket_is_away(
    service: Service, link: Severed
) -> None:
    jobs = [await create(service, account) for account in await one_in_each(service)]
    link.sever()
    # All looked up at once.
    found = await asyncio.gather(
        *(service.parts.endings.wait(job.account.id, job.session_id, 0) for job in jobs),
        return_exceptions=True,
    )
    assert [type(each) for each in found] == [Session, Session, DatabaseUnavailable]
    link.mend()


async def test_each_bucket_is_served(service: Service) -> None:
    accounts = await one_in_each(service)
    async with working(service, ScriptedGenerator()):
        jobs = [
            await create(service, account, f"req-{number}")
            for number in range(5)
            for account in accounts
        ]
        for job in jobs:
            await completed(service, job.account, job.session_id)
    assert (await service.queue.depth()).waiting == 0


@dataclass
class Held(ScriptedGenerator):
    """Ends one generation each time it is told to, and knows in which order they began."""

    begun: list[UUID] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    may_end: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def has_begun(self, number: int) -> bool:
        return len(self.begun) == number

    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        self.begun.append(request.session_id)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.may_end.acquire()
            return await super().generate(request)
        finally:
            self.under_way -= 1


async def test_the_limit_is_the_process_s_and_who_comes_later_is_served_before_the_rest(
    service: Service,
) -> None:
    first, *others = await one_in_each(service)
    generator = Held()
    async with working(service, generator, worker_concurrency=4):
        many = [await create(service, first, f"req-{number}") for number in range(40)]
        await until(lambda: generator.under_way == 4)
        late = [await create(service, account) for account in others]
        jobs = many + late
        for ended in range(1, len(jobs) + 1):
            generator.may_end.release()
            await until(partial(generator.has_begun, min(4 + ended, len(jobs))))
        for job in jobs:
            await completed(service, job.account, job.session_id)
    assert generator.most == 4
    positions = [generator.begun.index(job.session_id) for job in late]
    assert max(positions) < len(many), "they did not wait for all of the first bucket's"


async def again(service: Service, account: Account) -> GenerationJob:
    """A generation, as soon as the account's bucket is back."""
    while True:
        try:
            return await create(service, account, "afterwards")
        except DatabaseUnavailable:
            await asyncio.sleep(0.1)


async def test_a_bucket_that_is_away_stops_no_other_and_goes_on_when_it_is_back(
    service: Service, link: Severed
) -> None:
    accounts = await one_in_each(service)
    stop = asyncio.Event()
    loops = [
        asyncio.create_task(part.run(stop))
        for part in (service.sweep, service.expiry, service.notices, service.summing)
    ]
    async with working(service, ScriptedGenerator()):
        for account in accounts:
            job = await create(service, account, "before")
            await completed(service, account, job.session_id)
        waiting = await create(service, accounts[2], "meanwhile")
        await completed(service, accounts[2], waiting.session_id)
        link.sever()
        for number in range(3):
            for account in accounts[:2]:
                job = await create(service, account, f"while it is away {number}")
                await completed(service, account, job.session_id)
        await service.sweep.sweep()
        assert not any(loop.done() for loop in loops)
        link.mend()
        async with asyncio.timeout(60):
            job = await again(service, accounts[2])
        await completed(service, accounts[2], job.session_id)
    stop.set()
    await asyncio.gather(*loops)


async def test_no_result_of_any_bucket_is_a_stray(
    service: Service, settings: Settings, link: Severed, database_url: str
) -> None:
    results = service.parts.results

    def files() -> set[Path]:
        return {path for path in (settings.data_dir / RESULTS).rglob("*") if path.is_file()}

    async def old_stray() -> Path:
        key = await results.save(uuid4(), uuid4(), png())
        for path in files():
            os.utime(path, (0, 0))
        return settings.data_dir / RESULTS / key

    async with working(service, ScriptedGenerator()):
        for account in await one_in_each(service):
            job = await create(service, account)
            await completed(service, account, job.session_id)
    wanted = files()
    assert len(wanted) == BUCKETS
    await old_stray()
    await Strays(service.buckets, results, settings).delete()
    assert files() == wanted

    stray = await old_stray()
    link.sever()
    with pytest.raises(DatabaseUnavailable):
        await Strays(service.buckets, results, settings).delete()
    link.mend()
    await migrate(database_url, buckets=BUCKETS + 1, open_after_seconds=0)
    await Strays(service.buckets, results, settings).delete()
    assert files() == wanted | {stray}, "there is a bucket of which this process knows nothing"
