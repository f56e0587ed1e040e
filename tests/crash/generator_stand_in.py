"""The operator's generator, outside of what is tested: completes, refuses, fails, stalls.

What it does with a request follows from the seed and the request id alone, so that it does the
same whichever worker asks, however often, and a test can tell which end of a session is honest.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from stand_ins.http_server import Answer, Received, json_answer, stand_in
from tests.image_files import data_url, picture

DELAY_MAX_SECONDS = 0.3
"""So that a kill finds attempts under way."""


class Plan(StrEnum):
    """What the generator does with one request."""

    COMPLETES = "completes"
    IS_BLOCKED = "is blocked"
    FAILS = "fails"
    IS_AWAY = "is away"
    IS_AWAY_AT_FIRST = "is away at first"
    HANGS_AT_FIRST = "hangs at first"


WEIGHTS = {
    Plan.COMPLETES: 70,
    Plan.IS_BLOCKED: 10,
    Plan.FAILS: 10,
    Plan.IS_AWAY: 2,
    Plan.IS_AWAY_AT_FIRST: 4,
    Plan.HANGS_AT_FIRST: 4,
}


@dataclass(slots=True)
class Generator:
    """The stand-in's behaviour, and which requests it was asked to do."""

    seed: str
    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    image: str = data_url(picture(size=(3, 4))).partition(",")[2]

    def plan(self, request_id: str) -> Plan:
        """What becomes of this request, whenever it is asked for."""
        return self._random(request_id).choices(list(WEIGHTS), list(WEIGHTS.values()))[0]

    def _random(self, request_id: str) -> Random:
        return Random(f"{self.seed}/{request_id}")

    async def answer(self, received: Received) -> Answer:
        """Do as planned with what a worker asks for."""
        request_id = str(received.json()["request_id"])
        self.asked[request_id] += 1
        await asyncio.sleep(self._random(request_id).uniform(0, DELAY_MAX_SECONDS))
        match self.plan(request_id):
            case Plan.IS_BLOCKED:
                return json_answer({"code": "MODERATION_BLOCKED", "message": "Not this."}, 422)
            case Plan.FAILS:
                return json_answer({"message": "It cannot be done."}, 400)
            case Plan.IS_AWAY:
                return json_answer({}, 503)
            case Plan.IS_AWAY_AT_FIRST if self.asked[request_id] == 1:
                return json_answer({}, 503)
            case Plan.HANGS_AT_FIRST if self.asked[request_id] == 1:
                return Answer(hang=True, length=1)
            case _:
                return json_answer({"image_base64": self.image})


@asynccontextmanager
async def generator_stand_in(seed: str) -> AsyncIterator[Generator]:
    """The generator, served on loopback for as long as the block lasts."""
    generator = Generator(seed)
    async with stand_in(generator.answer) as server:
        generator.url = server.url()
        yield generator
