"""Answers kept in memory: for how long, how many, and what happens when many ask at once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from storecredit.postgres.listener import Listener
from storecredit.postgres.pool import Database, DatabaseUnavailable
from storecredit.stores.lookups import UNDER_WAY_MAX, Answer, Lookups
from tests.listening import Clock, running, until


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def listener(database: Database, clock: Clock) -> AsyncIterator[Listener]:
    """A running listener, whose lease ends only when the test's clock says so."""
    listener = Listener(database, "a channel", clock=clock)
    async with running(listener):
        await until(listener.is_fresh)
        yield listener


class Questions:
    """A database that answers when the test says so, and counts what it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Answer[str] | None = Answer("yes", None)
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, _key: str) -> Answer[str] | None:
        self.asked += 1
        answer = self.answer
        await self.may_answer.wait()
        return answer


@pytest.fixture
def questions() -> Questions:
    return Questions()


@pytest.fixture
def lookups(questions: Questions, listener: Listener, clock: Clock) -> Lookups[str, str]:
    return Lookups(questions, listener, clock=clock, cached_max=2)


async def test_an_answer_under_way_during_an_announcement_is_not_remembered(
    lookups: Lookups[str, str], questions: Questions
) -> None:
    questions.may_answer.clear()
    asking = asyncio.create_task(lookups.get("key"))
    await until(lambda: questions.asked == 1)
    questions.answer = None
    lookups.forget(lambda _value: True)
    questions.may_answer.set()
    assert await asking == "yes"
    assert await lookups.get("key") is None


async def test_many_who_ask_at_once_share_one_query(
    lookups: Lookups[str, str], questions: Questions
) -> None:
    assert await asyncio.gather(*(lookups.get("key") for _ in range(50))) == ["yes"] * 50
    assert questions.asked == 1


async def test_nobody_joins_a_query_older_than_the_lease(
    lookups: Lookups[str, str], questions: Questions, clock: Clock
) -> None:
    questions.may_answer.clear()
    first = asyncio.create_task(lookups.get("key"))
    await until(lambda: questions.asked == 1)
    questions.answer = None
    clock.now += 1
    second = asyncio.create_task(lookups.get("key"))
    await until(lambda: questions.asked == 2)
    questions.may_answer.set()
    assert (await first, await second) == ("yes", None)


async def test_one_who_goes_away_does_not_take_the_answer_from_the_others(
    lookups: Lookups[str, str], questions: Questions
) -> None:
    questions.may_answer.clear()
    first, second = (asyncio.create_task(lookups.get("key")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    questions.may_answer.set()
    assert await second == "yes"


async def test_an_answer_is_not_remembered_past_its_expiry(
    lookups: Lookups[str, str], questions: Questions, clock: Clock, listener: Listener
) -> None:
    questions.answer = Answer("yes", 5.0)
    assert await lookups.get("key") == "yes"
    questions.answer = None
    clock.now += 4.9
    await until(listener.is_fresh)
    assert await lookups.get("key") == "yes"
    clock.now += 0.1
    await until(listener.is_fresh)
    assert await lookups.get("key") is None


async def test_no_more_is_remembered_than_the_maximum(
    lookups: Lookups[str, str], questions: Questions
) -> None:
    for key in ("first", "second", "third", "third", "second"):
        await lookups.get(key)
    assert questions.asked == 3
    await lookups.get("first")
    assert questions.asked == 4


async def test_more_questions_than_the_maximum_are_turned_away(
    lookups: Lookups[str, str], questions: Questions
) -> None:
    questions.may_answer.clear()
    asking = [asyncio.create_task(lookups.get(f"{n}")) for n in range(UNDER_WAY_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(DatabaseUnavailable):
        await lookups.get("one more")
    questions.may_answer.set()
    assert await asyncio.gather(*asking) == ["yes"] * UNDER_WAY_MAX
    assert await lookups.get("one more") == "yes"
