"""How many generations a worker runs at a time: as the generator has it, or the settings."""

import asyncio
from dataclasses import dataclass, field

import pytest

from storecredit.generation.generators import (
    GeneratedImage,
    GenerationRequest,
    concurrency_of,
    load_generator,
)
from storecredit.service import Service
from storecredit.settings import Settings
from tests.worker.owners import store
from tests.worker.scripted_generator import ScriptedGenerator, create, working

JOBS = 20
HTTP = {"generator": "http", "generator_url": "http://127.0.0.1:1/"}
OPENAI = {"generator": "openai", "openai_api_key": "sk-not-a-real-key"}


@dataclass
class Full(ScriptedGenerator):
    """Holds whatever comes until so many are under way."""

    expected: int = 0
    concurrency: int = 12
    under_way: int = 0
    most: int = 0
    is_full: asyncio.Event = field(default_factory=asyncio.Event)

    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.under_way == self.expected:
            self.is_full.set()
        await self.is_full.wait()
        self.under_way -= 1
        return await super().generate(request)


@pytest.mark.parametrize("changes, expected", [({}, 12), ({"worker_concurrency": 3}, 3)])
async def test_as_many_are_under_way_as_suit_the_generator_unless_told_otherwise(
    service: Service, changes: dict[str, float], expected: int
) -> None:
    account, generator = await store(service, JOBS), Full(expected=expected)
    jobs = [await create(service, account, f"req-{number}") for number in range(JOBS)]
    async with working(service, generator, **changes):
        for job in jobs:
            assert await service.parts.endings.wait(account.id, job.session_id, 60)
    assert len(generator.requests) == JOBS
    assert generator.most == expected


@pytest.mark.parametrize(
    "chosen, expected",
    [
        ({}, 8),
        (HTTP, 200),
        (OPENAI, 32),
        (HTTP | {"worker_concurrency": 16}, 16),
    ],
)
async def test_those_that_wait_have_more_under_way(chosen: dict[str, str], expected: int) -> None:
    settings = Settings.model_validate(chosen)
    generator = load_generator(settings)
    assert concurrency_of(generator, settings) == expected
    await generator.aclose()
