"""Answers kept in memory: for how long, how many, and what happens when many ask at once."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.listener import Listener
from storecredit.postgres.pool import Database
from storecredit.stores.lookups import (
    ASKED_AT_ONCE_MAX,
    CACHED_SECONDS_MAX,
    CALLERS_MAX,
    Answer,
    Lookups,
)
from tests.running_listener import Clock, running, until


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
    """A database that answers when the test says so, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []
        self.answers: dict[str, Answer[str]] = {}
        """Of keys that have another answer than "yes, of the key's store", which lasts."""
        self.unknown: set[str] = set()
        self.failure: Exception | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, keys: Sequence[str]) -> Mapping[str, Answer[str]]:
        self.asked.append(keys)
        answers = {
            key: self.answers.get(key, Answer(f"store of {key}", None))
            for key in keys
            if key not in self.unknown
        }
        await self.may_answer.wait()
        if self.failure is not None:
            raise self.failure
        return answers


@pytest.fixture
def questions() -> Questions:
    return Questions()


@pytest.fixture
def lookups(questions: Questions, listener: Listener, clock: Clock) -> Lookups[str, str]:
    """Answers of which each is the store that it rests on."""
    return Lookups(questions, listener, clock=clock, cached_max=4, subject_of=lambda store: store)


async def under_way(lookups: Lookups[str, str], key: str) -> "asyncio.Task[str | None]":
    """A caller whose question has been sent, and is not answered before the test says so."""
    asking = asyncio.create_task(lookups.get(key))
    await asyncio.sleep(0)  # the caller
    await asyncio.sleep(0)  # his statement
    return asking


async def test_who_asks_while_another_question_is_under_way_shares_the_next(
    lookups: Lookups[str, str], questions: Questions
) -> None:
    questions.may_answer.clear()
    first = await under_way(lookups, "a")
    others = [asyncio.create_task(lookups.get(key)) for key in "abcbc"]
    await asyncio.sleep(0)
    questions.may_answer.set()
    assert await first == "store of a"
    assert await asyncio.gather(*others) == [f"store of {key}" for key in "abcbc"]
    assert questions.asked == [["a"], ["a", "b", "c"]]


async def test_no_statement_asks_for_more_than_the_maximum(
    lookups: Lookups[str, str], questions: Questions
) -> None:
    questions.may_answer.clear()
    first = await under_way(lookups, "first")
    keys = [f"{number}" for number in range(ASKED_AT_ONCE_MAX + 1)]
    others = [asyncio.create_task(lookups.get(key)) for key in keys]
    await asyncio.sleep(0)
    questions.may_answer.set()
    await asyncio.gather(first, *others)
    assert questions.asked == [["first"], keys[:-1], keys[-1:]]


async def test_an_answer_under_way_during_an_announcement_is_not_remembered(
    lookups: Lookups[str, str], questions: Questions
) -> None:
    questions.may_answer.clear()
    asking = await under_way(lookups, "a")
    questions.unknown = {"a"}
    lookups.forget("store of a")
    questions.may_answer.set()
    assert await asking == "store of a"
    assert await lookups.get("a") is None


async def test_what_is_announced_is_forgotten_and_nothing_else(
    lookups: Lookups[str, str], questions: Questions
) -> None:
    # Two keys of one store.
    questions.answers["b"] = Answer("store of a", None)
    for key in "abc":
        await lookups.get(key)
    lookups.forget("store of a")
    assert [lookups.cached(key) for key in "abc"] == [None, None, "store of c"]
    await lookups.get("a")
    lookups.forget("store of a")
    lookups.forget("a store that nobody asked for")
    assert [lookups.remembered(key) for key in "abc"] == [None, None, "store of c"]
    lookups.forget_all()
    assert lookups.remembered("c") is None


async def test_a_key_that_went_to_another_store_is_forgotten_with_that_one_alone(
    lookups: Lookups[str, str], questions: Questions, clock: Clock, listener: Listener
) -> None:
    await lookups.get("a")
    clock.now += CACHED_SECONDS_MAX
    await until(listener.is_fresh)
    questions.answers["a"] = Answer("another store", None)
    await lookups.get("a")
    lookups.forget("store of a")
    assert lookups.cached("a") == "another store"
    lookups.forget("another store")
    assert lookups.cached("a") is None


async def test_many_who_ask_at_once_share_one_query(
    lookups: Lookups[str, str], questions: Questions
) -> None:
    assert await asyncio.gather(*(lookups.get("a") for _ in range(50))) == ["store of a"] * 50
    assert questions.asked == [["a"]]


async def test_nobody_waits_for_a_query_longer_than_the_lease(
    lookups: Lookups[str, str], questions: Questions, clock: Clock
) -> None:
    questions.may_answer.clear()
    first = await under_way(lookups, "a")
    questions.unknown = {"a"}
    clock.now += 1
    second = await under_way(lookups, "a")
    assert questions.asked == [["a"], ["a"]]
    questions.may_answer.set()
    assert (await first, await second) == ("store of a", None)


async def test_one_who_goes_away_does_not_take_the_answer_from_the_others(
    lookups: Lookups[str, str], questions: Questions
) -> None:
    questions.may_answer.clear()
    first = await under_way(lookups, "a")
    second, third = (asyncio.create_task(lookups.get("a")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    questions.may_answer.set()
    assert await third == "store of a"


@pytest.mark.parametrize("failure", [DatabaseUnavailable("away"), AssertionError("a defect")])
async def test_a_query_that_fails_fails_for_all_who_asked_and_for_nobody_after_them(
    lookups: Lookups[str, str], questions: Questions, failure: Exception
) -> None:
    questions.may_answer.clear()
    questions.failure = failure
    asking = [await under_way(lookups, "a")]
    asking += [asyncio.create_task(lookups.get(key)) for key in "ab"]
    await asyncio.sleep(0)
    questions.may_answer.set()
    assert await asyncio.gather(*asking, return_exceptions=True) == [failure] * 3
    questions.failure = None
    assert await lookups.get("a") == "store of a"


async def test_a_query_without_an_answer_is_given_up(
    lookups: Lookups[str, str], questions: Questions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storecredit.stores.lookups.QUERY_TIMEOUT_SECONDS", 0.01)
    questions.may_answer.clear()
    with pytest.raises(DatabaseUnavailable, match="did not answer in time"):
        await lookups.get("a")
    questions.may_answer.set()
    assert await lookups.get("a") == "store of a"


async def test_an_answer_is_not_remembered_past_its_expiry(
    lookups: Lookups[str, str], questions: Questions, clock: Clock, listener: Listener
) -> None:
    questions.answers["a"] = Answer("yes", 5.0)
    assert await lookups.get("a") == "yes"
    questions.unknown = {"a"}
    clock.now += 4.9
    await until(listener.is_fresh)
    assert await lookups.get("a") == "yes"
    clock.now += 0.1
    await until(listener.is_fresh)
    assert await lookups.get("a") is None


async def test_an_answer_that_lasts_no_time_is_told_and_takes_the_place_of_none(
    lookups: Lookups[str, str], questions: Questions
) -> None:
    questions.answers["a"] = Answer("refused", 0.0)
    assert await lookups.get("a") == "refused"
    assert lookups.remembered("a") is None


async def test_of_more_than_the_maximum_the_oldest_are_forgotten(
    lookups: Lookups[str, str], questions: Questions, clock: Clock, listener: Listener
) -> None:
    for key in "abcd":
        await lookups.get(key)
    clock.now += CACHED_SECONDS_MAX
    await until(listener.is_fresh)
    # Asked again, it is the newest.
    await lookups.get("a")
    await lookups.get("e")
    assert [key for key in "abcde" if lookups.remembered(key)] == ["a", "c", "d", "e"]
    # What is no longer remembered is not looked for when its store is announced, either.
    lookups.forget("store of b")
    lookups.forget("store of a")
    assert [key for key in "abcde" if lookups.remembered(key)] == ["c", "d", "e"]


async def test_more_callers_than_the_maximum_are_turned_away(
    lookups: Lookups[str, str], questions: Questions
) -> None:
    questions.may_answer.clear()
    asking = [asyncio.create_task(lookups.get("a")) for _ in range(CALLERS_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(DatabaseUnavailable):
        await lookups.get("one more")
    questions.may_answer.set()
    assert await asyncio.gather(*asking) == ["store of a"] * CALLERS_MAX
    assert await lookups.get("one more") == "store of one more"
