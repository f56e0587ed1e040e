"""SIGKILL to the service and to PostgreSQL between a commit and its delivery.

Whatever dies, every generation that ended is told to each receiver at least once, under one id and
in one form, and none that did not. Who wants them in order gets them in order.
"""

from random import Random

import pytest

from stand_ins.http_server import stand_in
from tests.crash.audit import books_of, drained
from tests.crash.deployment import Deployment
from tests.crash.webhook_receivers import Receiver, assert_in_order, assert_told

pytestmark = pytest.mark.timeout(300)

A_WHILE = 15
DEATHS = 12
SETTINGS = {"allow_private_hosts": "true"}


async def _killed(deployment: Deployment, seed: str, *fates: str) -> None:
    """Let these die, one after the other, while generations end and are told."""
    random = Random(seed)
    receiver, in_order = Receiver(seed), Receiver(seed)
    service = await deployment.serve(**SETTINGS)
    async with stand_in(receiver.answer) as first, stand_in(in_order.answer) as second:
        async with books_of(deployment.processes.data_dir) as books:
            await receiver.listen(books, first.url(), is_ordered=False)
            await in_order.listen(books, second.url(), is_ordered=True)
        async with deployment.load(service) as load:
            for fate in fates:
                await load.until_acknowledged(random.randint(1, A_WHILE))
                if fate == "postgres":
                    (await deployment.processes.postmaster()).kill()
                else:
                    service.kill()
                    service = await deployment.serve(**SETTINGS)
                    load.urls = [service.url]
            await load.until_acknowledged(1)
            await load.stop()
            async with books_of(deployment.processes.data_dir) as books:
                await drained(books)
                await assert_told(books, receiver, in_order)
                await assert_in_order(books, in_order)
        await deployment.assert_verified(service)


async def test_what_happened_is_told_though_service_and_postgres_are_killed(
    deployment: Deployment, seed: str
) -> None:
    await _killed(deployment, seed, "service", "postgres")


@pytest.mark.torture
async def test_what_happened_is_told_whatever_dies_again_and_again(
    deployment: Deployment, seed: str
) -> None:
    fates = Random(seed).choices(["service", "postgres"], k=DEATHS)
    await _killed(deployment, seed, *fates)
