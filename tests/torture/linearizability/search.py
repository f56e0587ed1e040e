"""Whether a history of one object could have happened one operation after the other.

The search of Wing and Gong ("Testing and verifying concurrent objects", 1993) with Lowe's memory of
what was tried ("Testing for linearizability", 2017): a set of operations done, and the state that
they lead to, is looked at once. An operation that nobody saw end may be done at any later moment;
one that is optional, also never.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

State = TypeVar("State", bound=Hashable)
STEPS_MAX: Final = 5_000_000
"""Sets of operations that are looked at, at most: beyond that it is given up, and said so."""


@dataclass(frozen=True, slots=True)
class Operation(Generic[State]):
    """One operation as it was seen from outside."""

    called_at: float
    ended_at: float
    """When its answer was there; infinity: nobody knows."""
    what: Hashable
    """Two of the same, of which neither was answered anything, are the same but for their times."""
    apply: Callable[[State], State | None] = field(compare=False, repr=False)
    """The state after it; None: it cannot have been answered so in this state."""
    is_optional: bool = False
    is_hidden: bool = False
    """Whether nothing of the state was told by it."""
    is_look: bool = False
    """Whether it changes nothing."""


@dataclass(frozen=True, slots=True)
class Verdict(Generic[State]):
    """What the search came to."""

    is_linearizable: bool
    is_decided: bool
    steps: int
    most_done: int
    """The most operations that could be put in an order."""
    stuck: Sequence[Operation[State]] = ()
    """Those of which none could come next, after the most that could be ordered."""
    state: State | None = None
    """What they had led to."""


class _Search(Generic[State]):
    """One history: what must be done and what may be, each in the order of the calls."""

    def __init__(self, operations: Sequence[Operation[State]]) -> None:
        in_order = sorted(operations, key=lambda each: each.called_at)
        self.required = [each for each in in_order if not each.is_optional]
        self.optional = [each for each in in_order if each.is_optional]

    def candidates(self, done: "_Done") -> list[Operation[State]]:
        """What may come next: it was called before any other that must come had ended."""
        found: list[Operation[State]] = []
        first_end = math.inf
        for number in range(done.base, len(self.required)):
            operation = self.required[number]
            if operation.called_at > first_end:
                break
            if not done.bits >> (number - done.base) & 1:
                found.append(operation)
                first_end = min(first_end, operation.ended_at)
        # What ends soonest is most likely next.
        found.sort(key=lambda each: each.ended_at)
        for number, operation in enumerate(self.optional):
            if operation.called_at > first_end:
                break
            if not done.optional >> number & 1:
                found.append(operation)
        return _without_twins([each for each in found if each.called_at <= first_end])

    def next_of(self, done: "_Done", state: State) -> Iterator[tuple[Operation[State], State]]:
        """Each that may come next and can, with the state after it.

        One that changes nothing comes at once, and no other is tried: whatever order there is has
        room for it here.
        """
        candidates = self.candidates(done)
        for operation in candidates:
            if operation.is_look and (after := operation.apply(state)) is not None:
                yield operation, after
                return
        for operation in candidates:
            if not operation.is_look and (after := operation.apply(state)) is not None:
                yield operation, after

    def numbers(self) -> dict[int, int]:
        """By identity, the place of each among its kind."""
        return {
            id(operation): number
            for kind in (self.required, self.optional)
            for number, operation in enumerate(kind)
        }


class _Done(NamedTuple):
    """A set of operations: all that must be done before `base`, and a bit for each from there."""

    base: int = 0
    bits: int = 0
    optional: int = 0
    """A bit for each that may be done."""

    def with_one(self, number: int, *, is_optional: bool) -> "_Done":
        if is_optional:
            return self._replace(optional=self.optional | 1 << number)
        base, bits = self.base, self.bits | 1 << (number - self.base)
        while bits & 1:
            bits >>= 1
            base += 1
        return _Done(base, bits, self.optional)


def _without_twins(found: list[Operation[State]]) -> list[Operation[State]]:
    """Of hidden ones that do the same, the one that ends first: any other order is as good."""
    seen: set[tuple[Hashable, bool]] = set()
    left = []
    for operation in found:
        twin = (operation.what, operation.is_optional)
        if not operation.is_hidden or twin not in seen:
            left.append(operation)
            seen.add(twin)
    return left


def check(
    operations: Sequence[Operation[State]], begin: State, *, steps_max: int = STEPS_MAX
) -> Verdict[State]:
    """Look for an order in which each operation answers as it did, and none comes out of turn."""
    search = _Search(operations)
    numbers, goal = search.numbers(), len(search.required)
    farthest = (_Done(), begin)
    seen = {farthest}
    # Each with what may come next, and how many of the required are done.
    stack = [(_Done(), search.next_of(*farthest), 0)]
    steps = most = 0
    while stack and most < goal and steps < steps_max:
        done, following, count = stack[-1]
        found = next(following, None)
        if found is None:
            stack.pop()
            continue
        operation, state = found
        now = done.with_one(numbers[id(operation)], is_optional=operation.is_optional)
        if (now, state) in seen:
            continue
        seen.add((now, state))
        steps += 1
        count += not operation.is_optional
        if count > most:
            most, farthest = count, (now, state)
        stack.append((now, search.next_of(now, state), count))
    return Verdict(
        is_linearizable=most == goal,
        is_decided=most == goal or not stack,
        steps=steps,
        most_done=most,
        stuck=search.candidates(farthest[0]),
        state=farthest[1],
    )
