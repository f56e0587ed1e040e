"""What was measured: values with their goal, their spread and what follows from them.

Hides how a verdict is come by. Promises that a figure which could not be measured is said to be so
and is never taken for a good or a bad one.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """What a figure came to; no number makes a run fail, only `NOT_MEASURED` does."""

    MET = "met"
    MISSED = "missed"
    SHOWN = "shown"
    """Measured, without a goal."""
    NOT_MEASURED = "not measured"


class NotMeasured(Exception):
    """A figure could not be had, or what was done to have it went wrong; the message says why."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound, given on one side: of the median, or of every round."""

    at_least: float | None = None
    at_most: float | None = None
    in_every_round: bool = False

    def is_met_by(self, spread: "Spread") -> bool:
        """Whether what counts lies on the right side of the bound."""
        if self.at_least is not None:
            return (spread.least if self.in_every_round else spread.median) >= self.at_least
        assert self.at_most is not None
        return (spread.greatest if self.in_every_round else spread.median) <= self.at_most

    def __str__(self) -> str:
        bound = f"≤ {self.at_most:,g}" if self.at_least is None else f"≥ {self.at_least:,g}"
        return f"each {bound}" if self.in_every_round else bound


@dataclass(frozen=True, slots=True)
class Spread:
    """Of the values of several rounds: the middle one, the least and the greatest."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Absolute:
    """The values of one contender, in the order measured, and their median."""

    median: float
    rounds: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Absolute":
        """Of at least one value."""
        return cls(statistics.median(values), tuple(values))


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table.

    `figure` as in F1; `unit` is empty for a share; `at` is the place on a chart's axis, where there
    is one; `rounds` are the values themselves, in the order measured; `absolute` are the values
    that they were made of, by name and, after a comma, unit.
    """

    figure: str
    what: str
    unit: str = ""
    at: str = ""
    goal: Goal | None = None
    rounds: tuple[float, ...] = ()
    absolute: Mapping[str, Absolute] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def spread(self) -> Spread | None:
        """Median, least and greatest; None if there is no value."""
        return Spread.of(self.rounds) if self.rounds else None

    @property
    def verdict(self) -> Verdict:
        """The median decides, unless the goal is every round's."""
        if self.spread is None:
            return Verdict.NOT_MEASURED
        if self.goal is None:
            return Verdict.SHOWN
        return Verdict.MET if self.goal.is_met_by(self.spread) else Verdict.MISSED


def ratios(of: Sequence[float], to: Sequence[float]) -> tuple[float, ...]:
    """Round by round, so that what slowed a whole round down slows both sides of its ratio."""
    return tuple(one / other for one, other in zip(of, to, strict=True))


def medians(values: Mapping[str, Sequence[float]]) -> dict[str, Absolute]:
    """Each name's values, with their median."""
    return {name: Absolute.of(each) for name, each in values.items()}


def per_second(rates: Mapping[str, Sequence[float]]) -> dict[str, Absolute]:
    """Each name's rates, named as such."""
    return {f"{name}, /s": rate for name, rate in medians(rates).items()}
