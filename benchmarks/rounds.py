"""Interleaved rounds: whoever is compared is measured in turn, again and again.

A shared machine is slower in one minute than in the next. Side by side within a round, and in
another order in each, nobody has the better minute.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

Name = TypeVar("Name")
Measured = TypeVar("Measured")


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure: `rounds` rounds, each contender for `seconds` in each of them."""

    rounds: int = 5
    seconds: int = 2
    short: bool = False
    """Whether what only makes a figure tangible is left out."""


def interleaved(
    plan: Plan,
    contenders: Mapping[Name, Callable[[], Measured]],
    *,
    on_step: Callable[[str], None] = lambda _: None,
) -> dict[Name, list[Measured]]:
    """Measure every contender once per round; the values of each, in the order of the rounds."""
    measured: dict[Name, list[Measured]] = {name: [] for name in contenders}
    for number in range(plan.rounds):
        for name in order_of_round(list(contenders), number):
            on_step(f"round {number + 1} of {plan.rounds}: {name}")
            measured[name].append(contenders[name]())
    return measured


def order_of_round(names: list[Name], number: int) -> list[Name]:
    """Each round begins with another contender, so that none always follows the same one."""
    first = number % len(names)
    turned = names[first:] + names[:first]
    return turned if number // len(names) % 2 == 0 else turned[::-1]
