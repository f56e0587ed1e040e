"""Asks a stand-in through each generator that speaks HTTP, and hands over how that failed."""

from collections.abc import Mapping
from typing import Final

import pytest

from stand_ins.http_server import Answer, stand_in
from storecredit.generation.generators import AttemptFailed
from tests.worker.generators import a_request, generator

KEY: Final = "sk-not-a-real-key"
PROMPT: Final = "A quiet room"
KINDS: Final = ("http", "openai")


async def failures(kind: str, answers: Mapping[str, Answer]) -> dict[str, AttemptFailed]:
    """What the generator of this kind raises at each answer, none of which has an image."""
    waiting = list(answers.values())
    failed = {}
    async with stand_in(lambda _: waiting.pop(0)) as server:
        given: dict[str, object] = {"generator": kind}
        if kind == "http":
            given |= {"generator_url": server.url("/make")}
        else:
            given |= {"openai_api_key": KEY, "openai_base_url": server.url("/v1")}
        async with generator(**given) as loaded:
            for name in answers:
                with pytest.raises(AttemptFailed) as raised:
                    await loaded.generate(a_request(prompt=PROMPT))
                failed[name] = raised.value
    assert len(server.received) == len(answers), "one request each: attempts are the worker's"
    return failed


async def failure(kind: str, answer: Answer) -> AttemptFailed:
    """What the generator of this kind raises at this answer."""
    return (await failures(kind, {"it": answer}))["it"]
