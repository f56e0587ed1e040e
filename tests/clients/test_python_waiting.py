"""The client for Python waits for a generation's end: whom it asks, when and how long."""

import asyncio

import pytest

from stand_ins.http_server import Answer, Received, json_answer, stand_in
from storecredit_client import (
    ApiError,
    AsyncClient,
    GenerationNotEnded,
    NoAnswer,
    RetryPolicy,
    UnexpectedAnswer,
)
from storecredit_client.exchange import Lost, Pause, Reply, Request
from storecredit_client.waiting import until_ended
from tests.clients.conversations import POLICY, held, refusal, reply

ONCE = RetryPolicy(attempts_max=1)
SESSION_ID = "01a20360-a0e0-7750-b783-f3c2cc1c92a1"
GENERATION = {
    "session_id": SESSION_ID,
    "status": "processing",
    "request_id": "a",
    "result_url": None,
    "error_code": None,
    "error_message": None,
    "credits_charged": 1,
    "credits_refunded": 0,
    "metadata": None,
    "created_at": "2026-11-30T10:00:00Z",
    "started_at": None,
    "completed_at": None,
}
ENDED = {**GENERATION, "status": "archived", "completed_at": "2026-11-30T10:00:07Z"}


def look(content: object, **headers: str) -> Reply:
    return reply(200, {"data": content, "error": None}, **headers)


def test_a_service_that_does_not_know_how_to_wait_is_asked_again_and_again() -> None:
    unknown = {"key": "wait", "source": "query", "message": "Unknown parameter."}
    conversation = until_ended(SESSION_ID, 300, POLICY)
    first = next(conversation)
    assert isinstance(first, Request)
    assert first.query == {"wait": "30"}
    assert first.seconds == POLICY.attempt_seconds + 30
    second = conversation.send(refusal("VALIDATION_ERROR", 400, details=[unknown]))
    assert isinstance(second, Request)
    assert second.query == {}
    asked, told = conversation.send(look(GENERATION)), next(conversation)
    assert isinstance(asked, Pause)
    assert 0 < asked.seconds <= 0.5
    assert isinstance(told, Request)
    obeyed = conversation.send(look(GENERATION, retry_after="4"))
    assert isinstance(obeyed, Pause)
    assert 3 < obeyed.seconds <= 4
    assert next(conversation) == second
    with pytest.raises(StopIteration) as end:
        conversation.send(look(ENDED))
    assert end.value.value.status == "archived"


def test_a_service_that_waited_is_asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("storecredit_client.waiting.monotonic", lambda: clock[0])
    conversation = until_ended(SESSION_ID, 40, POLICY)
    first = next(conversation)
    clock[0] += 30
    second = conversation.send(look(GENERATION, retry_after="15"))
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert (first.query, second.query) == ({"wait": "30"}, {"wait": "10"})
    clock[0] += 9.5
    assert conversation.send(look(GENERATION, retry_after="15")) == Pause(0.5)


def test_a_service_that_goes_away_meanwhile_is_waited_for() -> None:
    away = (
        *(Lost("cut off"), reply(502, "a page"), refusal("SERVICE_UNAVAILABLE", 503)),
        reply(503, "a page", retry_after="70"),
    )
    conversation = until_ended(SESSION_ID, 300, ONCE)
    generation, pauses = held(conversation, *away, look(GENERATION), look(ENDED))
    assert generation.status == "archived"
    assert pauses[:4] == [0.25, 0.25 * 1.5, 0.25 * 1.5**2, 70]


def test_what_is_refused_for_good_ends_the_waiting() -> None:
    revoked = refusal("API_KEY_REVOKED", 401)
    with pytest.raises(ApiError, match="API_KEY_REVOKED"):
        held(until_ended(SESSION_ID, 300, ONCE), look(GENERATION), revoked)


def test_who_would_be_back_too_late_is_not_waited_for() -> None:
    away = reply(503, "a page", retry_after="40")
    with pytest.raises(UnexpectedAnswer) as late:
        held(until_ended(SESSION_ID, 40, ONCE), look(GENERATION), away)
    assert late.value.retry_after_seconds == 40


def test_a_service_that_stays_away_is_not_waited_for_any_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr("storecredit_client.waiting.monotonic", lambda: clock[0])
    conversation = until_ended(SESSION_ID, 40, ONCE)
    next(conversation)
    clock[0] += 30
    assert isinstance(conversation.send(look(GENERATION)), Request)
    clock[0] += 9.75
    assert conversation.send(Lost("cut off")) == Pause(0.25)
    clock[0] += 0.25
    assert isinstance(next(conversation), Request)
    with pytest.raises(NoAnswer):
        conversation.send(Lost("cut off"))


def test_when_the_time_is_over_the_generation_is_told_as_it_was_last_seen() -> None:
    with pytest.raises(GenerationNotEnded, match="still processing") as over:
        held(until_ended(SESSION_ID, 0, POLICY), look(GENERATION))
    assert over.value.generation.request_id == "a"


async def test_those_that_wait_hold_up_no_other_call() -> None:
    """More than the hundred connections that the HTTP library would open."""
    waiting, is_ended = asyncio.Semaphore(0), asyncio.Event()

    async def answer(request: Received) -> Answer:
        if "/generation/" in request.path:
            waiting.release()
            await is_ended.wait()
            return json_answer({"data": ENDED})
        return json_answer({"data": {"balance": 5, "total_purchased": 5, "total_spent": 0}})

    async with stand_in(answer) as service, AsyncClient(service.url(""), "sc_live_a") as client:
        looks = [asyncio.create_task(client.wait_for_generation(SESSION_ID)) for _ in range(101)]
        for _ in looks:
            await waiting.acquire()
        assert (await client.get_balance()).balance == 5
        is_ended.set()
        assert {each.status for each in await asyncio.gather(*looks)} == {"archived"}
