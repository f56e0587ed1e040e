"""An owner's credits as a sequential object: a few lines that say what each operation does.

A state is the balance, and of what is still asked about how it stands: of a charge how much may be
given back, of a hold how much it holds, of any other request that it was done.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

Told = int | None
"""The balance that an answer told; None: it told none."""
ENDED: Final = 0
"""Of a hold that was captured or released: nothing is held any more."""


class State(NamedTuple):
    """What an owner has."""

    balance: int
    known: frozenset[tuple[str, int, int]] = frozenset()
    """Request id, what is left of it, and how many operations will still ask about it."""

    def entry(self, key: str) -> tuple[str, int, int] | None:
        """What is known of a request id; None: it was not done."""
        return next((entry for entry in self.known if entry[0] == key), None)

    def with_done(self, key: str, left: int, uses: int) -> "State":
        """A request is done, about which so many operations will ask."""
        return self._replace(known=self.known | {(key, left, uses)}) if uses else self

    def with_used(self, entry: tuple[str, int, int], left: int) -> "State":
        """One operation less will ask about it; the last one lets it be forgotten."""
        known = self.known - {entry}
        key, _, uses = entry
        return self._replace(known=known | {(key, left, uses - 1)} if uses > 1 else known)

    def with_balance(self, balance: int, told: Told) -> "State | None":
        """None: there are not so many credits, or another number was told."""
        if balance < 0 or told not in {None, balance}:
            return None
        return self._replace(balance=balance)


Apply = Callable[[State], State | None]


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a batch, as it was answered."""

    key: str
    amount: int
    outcome: str
    told: Told = None


@dataclass(frozen=True, slots=True)
class Model:
    """Makes the operations of one history, and counts which request ids each asks about."""

    uses: Counter[str] = field(default_factory=Counter)

    def move(self, key: str, by: int, told: Told = None, *, left: int = 0) -> Apply:
        """Credits come or go under a request id, of which so much may be given back."""

        def apply(state: State) -> State | None:
            if state.entry(key) is not None:
                return None
            after = state.with_balance(state.balance + by, told)
            return None if after is None else after.with_done(key, left, self.uses[key])

        return apply

    def many(self, items: Sequence[Item]) -> Apply:
        """A batch, in one step, its items in their order."""
        steps = [self._item(item) for item in items]

        def apply(state: State) -> State | None:
            after: State | None = state
            for step in steps:
                if after is not None:
                    after = step(after)
            return after

        return apply

    def _item(self, item: Item) -> Apply:
        match item.outcome:
            case "spent":
                return self.move(item.key, -item.amount, item.told, left=item.amount)
            case "replayed":
                return self.seen(item.key, item.told)
            case _:
                return self.refused(item.amount, item.told)

    def refused(self, amount: int, told: Told = None) -> Apply:
        """There were too few credits, and nothing was done."""

        def apply(state: State) -> State | None:
            return state.with_balance(state.balance, told) if state.balance < amount else None

        return apply

    def seen(self, key: str, told: Told = None) -> Apply:
        """What was asked for had been done before; nothing is done now."""
        self.uses[key] += 1

        def apply(state: State) -> State | None:
            entry = state.entry(key)
            after = state.with_balance(state.balance, told)
            return None if entry is None or after is None else after.with_used(entry, entry[1])

        return apply

    def look(self, told: int) -> Apply:
        """The balance is read."""
        return lambda state: state.with_balance(state.balance, told)

    def give_back(
        self, key: str, of: str, amount: int, told: Told = None, told_left: int | None = None
    ) -> Apply:
        """A part of a charge comes back under an id of its own, never more than is left of it."""
        self.uses[of] += 1

        def apply(state: State) -> State | None:
            entry = state.entry(of)
            if entry is None or entry[1] < amount or state.entry(key) is not None:
                return None
            left = entry[1] - amount
            after = state.with_balance(state.balance + amount, told)
            if after is None or told_left not in {None, left}:
                return None
            return after.with_used(entry, left).with_done(key, 0, self.uses[key])

        return apply

    def fail(self, amount: int) -> Apply:
        """A generation fails, and what it cost is back; nobody asked for it."""
        return lambda state: state.with_balance(state.balance + amount, None)

    def end_hold(self, key: str, hold: str, captured: int, told: Told = None) -> Apply:
        """A hold ends: so much is spent, the rest is back, and what was spent may be given back."""
        self.uses[hold] += 1

        def apply(state: State) -> State | None:
            entry = state.entry(hold)
            if entry is None or entry[1] == ENDED or entry[1] < captured:
                return None
            after = state.with_balance(state.balance + entry[1] - captured, told)
            if after is None:
                return None
            return after.with_used(entry, ENDED).with_done(key, 0, self.uses[key])

        return apply

    def find_ended(self, hold: str) -> Apply:
        """A hold had ended before, by another request."""
        self.uses[hold] += 1

        def apply(state: State) -> State | None:
            entry = state.entry(hold)
            is_ended = entry is not None and entry[1] == ENDED
            return state.with_used(entry, ENDED) if entry is not None and is_ended else None

        return apply
