"""The same deaths, many, at random, one upon the other; run by `make torture`.

A failure names the seed; `STORECREDIT_TEST_SEED` makes the same choices again.
"""

import asyncio
import shutil
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

import psutil
import pytest

from tests.crash.deployment import Deployment
from tests.crash.load import Load
from tests.crash.processes import RunningProcess
from tests.crash.selling_deployment import SellingDeployment

pytestmark = [pytest.mark.torture, pytest.mark.timeout(3600)]

DEATHS_IN_A_ROW = 60
DEATHS_BETWEEN_AUDITS = 6
DEATHS_WHILE_TRADING = 40
POSTGRES_DEATHS = 30
STOPS = 20
FIRST_STARTS = 12
FIRST_START_SECONDS = 4.0
"""Longer than one takes, mostly."""
POSTGRES_DIES_TOO = 0.3
A_WHILE = 60
"""At most so many requests are acknowledged before the next death."""
FROZEN_SECONDS = 2.5
"""Longer than a worker may be silent, so that its generations are taken over."""


@dataclass(slots=True)
class Scene:
    """What runs, what is asked of it, and the one source of chance."""

    deployment: Deployment
    load: Load
    random: Random
    service: RunningProcess
    worker: RunningProcess

    async def backend(self) -> psutil.Process:
        """One of PostgreSQL's processes that serve the application."""
        return self.random.choice(await self.deployment.processes.backends())

    async def serve_again(self) -> None:
        """Start the API (with a worker of its own) in place of the one that is gone."""
        self.service = await self.deployment.serve("--processes", "2")
        self.load.urls = [self.service.url]

    async def a_while(self) -> None:
        """Let the load go on for some time, neither too short nor too long."""
        await self.load.until_acknowledged(self.random.randint(0, A_WHILE))
        await asyncio.sleep(self.random.uniform(0, 0.3))


async def service_killed(scene: Scene) -> None:
    scene.service.kill()
    await scene.serve_again()


async def service_stopped(scene: Scene) -> None:
    assert await scene.service.stop() == 0, scene.service.log_tail()
    await scene.serve_again()


async def service_frozen(scene: Scene) -> None:
    scene.service.pause()
    await asyncio.sleep(FROZEN_SECONDS)
    scene.service.go_on()


async def further_process_killed(scene: Scene) -> None:
    for further in psutil.Process(scene.service.pid).children():
        further.kill()


async def worker_killed(scene: Scene) -> None:
    scene.worker.kill()
    await scene.a_while()
    scene.worker = await scene.deployment.work()


async def worker_stopped(scene: Scene) -> None:
    assert await scene.worker.stop() == 0, scene.worker.log_tail()
    scene.worker = await scene.deployment.work()


async def worker_frozen(scene: Scene) -> None:
    scene.worker.pause()
    await asyncio.sleep(FROZEN_SECONDS)
    scene.worker.go_on()


async def postgres_killed(scene: Scene) -> None:
    (await scene.deployment.processes.postmaster()).kill()


async def postgres_told_to_quit(scene: Scene) -> None:
    (await scene.deployment.processes.postmaster()).send_signal(signal.SIGQUIT)


async def postgres_told_to_stop(scene: Scene) -> None:
    (await scene.deployment.processes.postmaster()).send_signal(signal.SIGINT)


async def backend_killed(scene: Scene) -> None:
    (await scene.backend()).kill()


async def backend_terminated(scene: Scene) -> None:
    (await scene.backend()).terminate()


async def statement_cancelled(scene: Scene) -> None:
    (await scene.backend()).send_signal(signal.SIGINT)


async def backend_frozen(scene: Scene) -> None:
    backend = await scene.backend()
    backend.suspend()
    await asyncio.sleep(FROZEN_SECONDS)
    backend.resume()


async def everything_killed(scene: Scene) -> None:
    (await scene.deployment.processes.postmaster()).kill()
    scene.service.kill()
    scene.worker.kill()
    await scene.serve_again()
    scene.worker = await scene.deployment.work()


POSTGRES_FATES: list[Callable[[Scene], Awaitable[None]]] = [
    postgres_killed,
    postgres_told_to_quit,
    postgres_told_to_stop,
    backend_killed,
    backend_terminated,
    backend_frozen,
    statement_cancelled,
]
FATES = [
    *POSTGRES_FATES,
    service_killed,
    service_stopped,
    service_frozen,
    further_process_killed,
    worker_killed,
    worker_stopped,
    worker_frozen,
    everything_killed,
]


async def _suffer(
    scene: Scene, fates: list[Callable[[Scene], Awaitable[None]]], times: int
) -> None:
    for place in range(times):
        await scene.a_while()
        fate = scene.random.choice(fates)
        print(f"{place}: {fate.__name__}")  # noqa: T201 - pytest shows it with a failure
        await fate(scene)
        if place % DEATHS_BETWEEN_AUDITS == DEATHS_BETWEEN_AUDITS - 1:
            await scene.load.stop()
            await scene.deployment.assert_all_is_well(scene.load)
            await scene.load.ask_again()
            await scene.deployment.assert_all_is_well(scene.load)
            scene.load.start()
    await scene.load.stop()
    await scene.load.ask_again()
    await scene.deployment.assert_all_is_well(scene.load)
    await scene.deployment.assert_verified_by_command()
    assert scene.load.unacknowledged == []


async def test_deaths_of_everything_in_a_row_lose_and_repeat_nothing(
    deployment: Deployment, seed: str
) -> None:
    service, worker = await deployment.serve("--processes", "2"), await deployment.work()
    async with deployment.load(service) as load:
        scene = Scene(deployment, load, Random(seed), service, worker)
        await _suffer(scene, FATES, DEATHS_IN_A_ROW)
        assert await scene.worker.stop() == 0, scene.worker.log_tail()
        assert await scene.service.stop() == 0, scene.service.log_tail()
    assert deployment.processes.left_running() == []


async def test_deaths_in_a_row_while_money_comes_in_lose_and_repeat_nothing(
    selling: SellingDeployment, seed: str
) -> None:
    """With end users and purchases among the load, and Paddle delivering twice and in no order."""
    service, worker = await selling.serve("--processes", "2"), await selling.work()
    async with selling.purchase_load(service) as load:
        scene = Scene(selling, load, Random(seed), service, worker)
        await _suffer(scene, FATES, DEATHS_WHILE_TRADING)
        await selling.assert_verified_by_command("--every-row")
        assert await scene.worker.stop() == 0, scene.worker.log_tail()
        assert await scene.service.stop() == 0, scene.service.log_tail()
    assert load.unacknowledged_wants == []
    assert selling.processes.left_running() == []


async def test_one_service_outlives_many_deaths_of_postgres(
    deployment: Deployment, seed: str
) -> None:
    """Few connections, so that one lost with each death would soon be missed."""
    service = await deployment.serve(pool_max="3")
    worker = await deployment.work(pool_max="3")
    async with deployment.load(service) as load:
        scene = Scene(deployment, load, Random(seed), service, worker)
        await _suffer(scene, POSTGRES_FATES, POSTGRES_DEATHS)
    assert service.lives(), service.log_tail()
    assert worker.lives(), worker.log_tail()
    assert await worker.stop() == 0, worker.log_tail()
    assert await service.stop() == 0, service.log_tail()
    assert deployment.processes.left_running() == []


async def test_stops_in_a_row_leave_nothing_running_and_nothing_half_done(
    deployment: Deployment, seed: str
) -> None:
    random = Random(seed)
    service = await deployment.serve()
    async with deployment.load(service) as load:
        for _ in range(STOPS):
            await load.until_acknowledged(random.randint(1, A_WHILE))
            assert await service.stop() == 0, service.log_tail()
            assert deployment.processes.left_running() == []
            await deployment.assert_nothing_half_done()
            service = await deployment.serve()
            load.urls = [service.url]
        await load.stop()
        await load.ask_again()
        await deployment.assert_all_is_well(load)
        await deployment.assert_verified_by_command()
    assert load.unacknowledged == []


async def test_a_first_start_killed_at_any_instant_is_made_good_by_the_next(
    deployment: Deployment, seed: str
) -> None:
    """In the middle of making the cluster, starting it, or migrating it."""
    random = Random(seed)
    processes = deployment.processes
    for _ in range(FIRST_STARTS):
        processes.end_all()
        shutil.rmtree(processes.data_dir)
        deployment.accounts = []
        for _ in range(random.randint(1, 4)):
            process = deployment.launch()
            await asyncio.sleep(random.uniform(0.3, FIRST_START_SECONDS))
            process.kill()
            if random.random() < POSTGRES_DIES_TOO:
                processes.end_all()
        service = await deployment.serve()
        async with deployment.load(service) as load:
            await load.until_acknowledged(10)
            await load.stop()
            await deployment.assert_all_is_well(load)
            await deployment.assert_verified(service)
