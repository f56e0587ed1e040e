"""The same requests to storecredit and to a real @trpc/server: the same answers.

Compared are status, the headers `Content-Type`, `Allow` and `Vary`, and the JSON to the last value;
of a stream every line to the byte, but for the numbers of its chunks and for which of several
results comes first, if several calls are made; of a subscription every event. One thing is not
copied: what the real one answers before it has come to a call is JSON called text/plain.
"""

import asyncio
import http.client
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from storecredit.generation.lifecycle import GenerationJob
from storecredit.generation.sessions import Failure, FailureCode
from storecredit.ledger.owners import Account, Owner
from storecredit.service import Service
from storecredit.web.trpc.calls import BATCH_MAX
from tests.web.doors import bearer
from tests.web.events import MEDIA_TYPE, events_in
from tests.web.node import reference, served
from tests.web.trpc_requests import (
    BATCHES,
    CONTENT_TYPES,
    HISTORY,
    INPUTS,
    JSON_TYPE,
    METHODS,
    PATHS,
    READS,
    STREAMS,
    SUBSCRIPTIONS,
    SUPERJSON,
    TX,
    WORK,
    Ask,
    of_ended,
    streamed,
    text,
)
from tests.web.users import UserClient, result_of, user_of

MADE = re.compile(r'"(sessionId|checkoutUrl|transactionId)":"[^"]*"')
LINK = re.compile(r'"result_url":"[^"]*"')
MESSAGE = re.compile(r'"message":"(?:[^"\\]|\\.)+"')

OF_EVENTS = ("cache-control", "x-accel-buffering")

SLIP = "text/plain;charset=UTF-8"

Answer = tuple[int, dict[str, str | None], object]


def ask(port: int, asked: Ask, token: str) -> Answer:
    """Send a request as it is written: a client that mends URLs would hide what is asked."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = dict(asked.headers)
    if asked.signed_in:
        headers |= bearer(token)
    body = None if asked.body is None else text(asked.body)
    if body:
        headers = JSON_TYPE | headers
    try:
        connection.request(asked.method, asked.target(), body, headers)
        answer = connection.getresponse()
        content = answer.read().decode()
        seen = LINK.sub('"result_url":"made"', MADE.sub(r'"\1":"made"', content))
        if asked.engine:
            seen = MESSAGE.sub('"message":"not compared"', seen)
        type_ = answer.headers["content-type"]
        seen_headers: dict[str, str | None] = {
            "content-type": JSON_TYPE["Content-Type"] if type_ == SLIP else type_,
            "allow": answer.headers["allow"],
            "vary": answer.headers["vary"],
        }
        if type_ == MEDIA_TYPE:
            seen_headers |= {name: answer.headers[name] for name in OF_EVENTS}
            return answer.status, seen_headers, list(events_in(seen))
        if "\n" in seen:
            seen_headers["transfer-encoding"] = answer.headers["transfer-encoding"]
            return answer.status, seen_headers, lines_of(seen)
        return answer.status, seen_headers, json.loads(seen) if seen else None
    finally:
        connection.close()


CHUNK = re.compile(r'(?<=^\{"json":\[)(\d+)')
AWAITED = re.compile(r'(?<=",0,)(\d+)(?=\]\]\]\}$)')


def lines_of(content: str) -> list[str]:
    """The lines of a stream: as they came for one call, else by call and without numbers."""
    head, *lines, end = content.split("\n")
    assert end == "", "the last line is ended, too"
    calls = len(json.loads(head)["json"])
    if calls == 1:
        return [head, *lines]
    chunks = {}
    for line in lines:
        found = CHUNK.search(line)
        assert found is not None, line
        chunks[found[1]] = line
    sorted_ = [head]
    for call in range(calls):
        number: str | None = str(call)
        while number is not None:
            line = chunks.pop(number)
            awaited = AWAITED.search(line)
            number = awaited[1] if awaited else None
            sorted_.append(AWAITED.sub("#", CHUNK.sub("#", line)))
    assert chunks == {}, "nothing comes that nobody awaits"
    return sorted_


@dataclass(frozen=True, slots=True)
class Pair:
    """The two servers, over the same data, and a user they both know."""

    ours: int
    theirs: int
    token: str
    ended: list[str]

    async def differences(self, asked: list[Ask]) -> list[tuple[str, Answer, Answer]]:
        found = []
        for each in asked:
            ours, theirs = await asyncio.gather(
                *(
                    asyncio.to_thread(ask, port, each, self.token)
                    for port in (self.ours, self.theirs)
                )
            )
            if ours != theirs:
                found.append((str(each), ours, theirs))
        return found


async def history_of(service: Service, user: UserClient) -> dict[str, Any]:
    """Give a user some history; what the reference needs to know to answer alike."""
    sessions = [await user.created() for _ in range(4)]
    account = Account(await service.parts.users.ensure(user.user_id), Owner.user(user.user_id))
    completed, failed, started = (
        GenerationJob(account, UUID(session_id), "") for session_id in sessions[:3]
    )
    lifecycle = service.parts.lifecycle
    await lifecycle.start(completed)
    assert await lifecycle.complete(completed, f"{user.user_id}/{sessions[0]}.png")
    blocked = Failure(FailureCode.MODERATION_BLOCKED, "The request was blocked: \u201chat\u201d.")
    assert await lifecycle.fail_and_refund(failed, blocked)
    await lifecycle.start(started)
    names = ("balance", "transactions", "packs", "generations", "stats")
    paths = ("credits.getBalance", TX, "credits.getPacks", HISTORY, "generation.getStats")
    return {
        name: result_of(await user.query(path)) for name, path in zip(names, paths, strict=True)
    }


@pytest.fixture
async def pair(service: Service, api: httpx.AsyncClient) -> AsyncIterator[Pair]:
    user = user_of(api)
    data = await history_of(service, user)
    data |= {"token": user.token, "batchMax": BATCH_MAX}
    async with reference(data) as theirs, served(service) as ours:
        ended = [each["id"] for each in data["generations"] if each["completed_at"] is not None]
        yield Pair(ours, theirs, user.token, ended)


async def test_the_same_answers_as_the_real_server(pair: Pair) -> None:
    assert await pair.differences(READS + BATCHES + PATHS + METHODS) == []
    assert await pair.differences(CONTENT_TYPES + SUPERJSON + INPUTS) == []
    assert await pair.differences(WORK) == []


async def test_the_same_streams_as_the_real_server(pair: Pair) -> None:
    assert await pair.differences(STREAMS) == []
    assert await pair.differences([streamed(each) for each in WORK]) == []


async def test_the_same_events_as_the_real_server(pair: Pair) -> None:
    completed_and_failed = [each for it in pair.ended for each in of_ended(it)]
    assert len(pair.ended) == 2
    assert await pair.differences(SUBSCRIPTIONS + completed_and_failed) == []
