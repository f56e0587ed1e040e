"""SIGKILL in the middle of load: to the API, the worker, PostgreSQL, one backend, everything.

Whatever dies, clients keep sending the same request ids, and in the end every acknowledged
request has exactly one deduction, every session has ended, and `storecredit verify` is clean.
"""

from random import Random

import pytest

from tests.crash.deployment import Deployment

pytestmark = pytest.mark.timeout(300)

A_WHILE = 40
"""Acknowledged requests before, between and after kills."""


async def test_the_service_killed_during_load_loses_and_repeats_nothing(
    deployment: Deployment,
) -> None:
    service = await deployment.serve()
    async with deployment.load(service) as load:
        await load.until_acknowledged(A_WHILE)
        service.kill()
        service = await deployment.serve()
        load.urls = [service.url]
        await load.until_acknowledged(A_WHILE)

        service.kill()
        await load.stop()
        service = await deployment.serve()
        load.urls = [service.url]
        await deployment.assert_all_is_well(load)
        await load.ask_again()
        await deployment.assert_all_is_well(load)
        await deployment.assert_verified(service)
    assert load.unacknowledged == []


async def test_a_worker_killed_during_load_has_its_generations_finished_by_the_next(
    deployment: Deployment,
) -> None:
    service = await deployment.serve("--no-worker")
    worker = await deployment.work()
    async with deployment.load(service) as load:
        await load.until_acknowledged(A_WHILE)
        worker.kill()
        await load.until_acknowledged(A_WHILE)
        await deployment.work()
        await load.stop()
        await load.ask_again()
        await deployment.assert_all_is_well(load)
        await deployment.assert_verified(service)
    assert load.unacknowledged == []


async def test_a_killed_postgres_comes_back_by_itself_and_the_service_goes_on(
    deployment: Deployment,
) -> None:
    service = await deployment.serve()
    async with deployment.load(service) as load:
        await load.until_acknowledged(A_WHILE)
        (await deployment.processes.postmaster()).kill()
        await load.until_acknowledged(2 * A_WHILE)
        await load.stop()
        await deployment.assert_all_is_well(load)
        await load.ask_again()
        await deployment.assert_all_is_well(load)
        await deployment.assert_verified(service)
    assert load.unacknowledged == []
    assert service.lives()


async def test_a_killed_backend_costs_nothing_but_a_moment(
    deployment: Deployment, seed: str
) -> None:
    """PostgreSQL ends all sessions and restarts itself when one of its processes is killed."""
    service = await deployment.serve()
    async with deployment.load(service) as load:
        await load.until_acknowledged(A_WHILE)
        Random(seed).choice(await deployment.processes.backends()).kill()
        await load.until_acknowledged(2 * A_WHILE)
        await load.stop()
        await load.ask_again()
        await deployment.assert_all_is_well(load)
        await deployment.assert_verified(service)
    assert load.unacknowledged == []
    assert service.lives()


async def test_everything_killed_at_once_is_recovered_at_the_next_start(
    deployment: Deployment,
) -> None:
    service = await deployment.serve()
    async with deployment.load(service) as load:
        await load.until_acknowledged(A_WHILE)
        (await deployment.processes.postmaster()).kill()
        service.kill()
        await load.stop()
        service = await deployment.serve()
        load.urls = [service.url]
        await deployment.assert_all_is_well(load)
        await load.ask_again()
        await deployment.assert_all_is_well(load)
        await deployment.assert_verified_by_command()
    assert load.unacknowledged == []
