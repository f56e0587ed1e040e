"""The search for an order: it finds one where there is one, and tells where there is none."""

import math
from collections.abc import Callable
from random import Random

import pytest

from tests.torture.linearizability.account import Item, Model, State
from tests.torture.linearizability.search import Operation, check

OPERATIONS = 10_000
SIDE_BY_SIDE = 6
History = list[Operation[State]]


def at(
    called_at: float, ended_at: float, apply: Callable[[State], State | None], **more: bool
) -> Operation[State]:
    return Operation(called_at, ended_at, (called_at, ended_at), apply, **more)


def is_linearizable(*operations: Operation[State], balance: int = 10) -> bool:
    verdict = check(operations, State(balance))
    assert verdict.is_decided
    return verdict.is_linearizable


def test_operations_one_after_the_other_answer_as_they_must() -> None:
    model = Model()
    spend, look = model.move("a", -3, 7), model.look(7)
    assert is_linearizable(at(1, 2, spend), at(3, 4, look))
    assert not is_linearizable(at(1, 2, look), at(3, 4, spend)), "it was read before it was so"


def test_side_by_side_either_may_come_first() -> None:
    model = Model()
    for told in (7, 10):
        assert is_linearizable(at(1, 4, model.move("a", -3, 7)), at(2, 3, model.look(told)))
    assert not is_linearizable(at(1, 4, model.move("a", -3, 7)), at(2, 3, model.look(8)))


def test_a_stale_read_is_no_order() -> None:
    model = Model()
    assert not is_linearizable(
        at(1, 2, model.move("a", -3, 7)), at(3, 4, model.look(10)), at(5, 6, model.look(7))
    )


def test_two_reads_that_see_two_changes_in_different_orders_have_none() -> None:
    model = Model()
    changes = [at(1, 9, model.move("a", -1)), at(1, 9, model.move("b", -2))]
    assert is_linearizable(*changes, at(2, 3, model.look(9)), at(4, 5, model.look(7)))
    assert not is_linearizable(*changes, at(2, 3, model.look(9)), at(4, 5, model.look(8)))


def test_a_lost_update_is_no_order() -> None:
    """Both read ten credits, and each wrote what was left of them."""
    model = Model()
    assert not is_linearizable(
        at(1, 4, model.move("a", -3, 7)), at(2, 3, model.move("b", -2, 8)), at(5, 6, model.look(8))
    )


def test_what_nobody_saw_end_may_be_done_at_any_later_moment_or_never() -> None:
    model = Model()
    doubtful = at(1, math.inf, model.move("a", -3), is_optional=True)
    assert is_linearizable(doubtful, at(2, 3, model.look(10)))
    assert is_linearizable(doubtful, at(2, 3, model.look(10)), at(4, 5, model.look(7)))
    assert not is_linearizable(doubtful, at(2, 3, model.look(7)), at(4, 5, model.look(10)))
    assert not is_linearizable(at(-1, 0, model.look(7)), doubtful), "it was seen before it began"


def test_one_that_must_be_done_is() -> None:
    model = Model()
    must = at(1, 6, model.move("a", -3))
    assert not is_linearizable(must, at(7, 8, model.look(10)))


def test_a_replay_finds_what_was_done_and_does_nothing() -> None:
    model = Model()
    seen, spend = model.seen("a", 7), model.move("a", -3, 7)
    assert is_linearizable(at(1, 2, spend), at(3, 4, seen))
    assert not is_linearizable(at(1, 2, seen), at(3, 4, spend))
    twice = at(3, 4, model.move("a", -3, 4))
    assert not is_linearizable(at(1, 2, spend), twice, at(5, 6, seen)), "it was done again"


def test_too_few_credits_are_refused_and_enough_are_not() -> None:
    model = Model()
    assert is_linearizable(at(1, 2, model.refused(11, 10)))
    assert not is_linearizable(at(1, 2, model.refused(10)))
    assert not is_linearizable(at(1, 2, model.move("a", -11)))


def test_a_batch_is_one_operation() -> None:
    model = Model()
    batch = [Item("a", 4, "spent", 6), Item("b", 9, "insufficient", 6), Item("c", 6, "spent", 0)]
    assert is_linearizable(at(1, 4, model.many(batch)), at(2, 3, model.look(0)))
    assert not is_linearizable(at(1, 4, model.many(batch)), at(2, 3, model.look(6))), "in between"


def test_no_more_comes_back_than_was_taken() -> None:
    model = Model()
    spend = at(1, 2, model.move("a", -5, 5, left=5))
    parts = [at(3, 4, model.give_back("r", "a", 3, 8, 2)), at(5, 6, model.give_back("s", "a", 2))]
    assert is_linearizable(spend, *parts)
    assert not is_linearizable(spend, *parts, at(7, 8, model.give_back("t", "a", 1)))
    again = at(5, 6, model.give_back("r", "a", 3, 11))
    assert not is_linearizable(spend, parts[0], again), "more than was left"


def test_a_hold_ends_once() -> None:
    model = Model()
    hold = at(1, 2, model.move("h", -6, 4, left=6))
    capture = at(3, 5, model.end_hold("c", "h", 2, 8))
    release = at(4, 6, model.end_hold("r", "h", 0, 10))
    assert is_linearizable(hold, capture)
    assert is_linearizable(hold, capture, at(4, 6, model.find_ended("h")))
    assert not is_linearizable(hold, capture, release)


def made(seed: int, operations: int) -> tuple[History, list[int]]:
    """A history that has an order, with as many side by side; and the places of what was told."""
    random, model, balance = Random(seed), Model(), 1_000_000
    found, told = [], []
    for number in range(operations):
        # Done at `number`; it was called some operations before, and answered some afterwards.
        called_at = number - random.uniform(0, SIDE_BY_SIDE / 2)
        ended_at = number + random.uniform(0, SIDE_BY_SIDE / 2)
        kind = random.choices(("look", "spend", "doubtful"), (30, 60, 10))[0]
        if kind == "look":
            told.append(number)
            found.append(at(called_at, ended_at, model.look(balance)))
            continue
        balance -= (amount := random.randint(1, 9))
        key = f"spend-{number}"
        if kind == "doubtful":
            found.append(at(called_at, math.inf, model.move(key, -amount), is_optional=True))
        else:
            told.append(number)
            found.append(at(called_at, ended_at, model.move(key, -amount, balance)))
    return found, told


@pytest.mark.parametrize("seed", [1, 2])
def test_ten_thousand_operations_with_an_order_have_one(seed: int) -> None:
    found, _ = made(seed, OPERATIONS)
    verdict = check(found, State(1_000_000))
    assert verdict.is_linearizable
    assert verdict.most_done == sum(not each.is_optional for each in found)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_answer_among_many_that_is_wrong_is_found(seed: int) -> None:
    """By one credit, in the last tenth of the history."""
    found, told = made(seed, 2000)
    place = Random(seed).choice(told[-len(told) // 10 :])
    wrong = found[place]

    def answered_otherwise(state: State) -> State | None:
        after = wrong.apply(state._replace(balance=state.balance - 1))
        return None if after is None else after._replace(balance=after.balance + 1)

    found[place] = at(wrong.called_at, wrong.ended_at, answered_otherwise)
    verdict = check(found, State(1_000_000))
    assert verdict.is_decided
    assert not verdict.is_linearizable
    (stuck, *_) = verdict.stuck
    assert abs(stuck.called_at - wrong.called_at) < 2 * SIDE_BY_SIDE, "it says where"


def test_what_takes_too_long_is_given_up_and_said_to_be() -> None:
    found, _ = made(1, 200)
    verdict = check(found, State(1_000_000), steps_max=50)
    assert not verdict.is_decided
    assert not verdict.is_linearizable
