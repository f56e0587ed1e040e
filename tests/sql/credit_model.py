"""What an account's credits come to, worked out in Python.

Credits that never expire are one pool here: nothing that the ledger decides depends on which of
them were spent. Hours are whole numbers; every operation happens at a half hour, so that no two
moments meet.
"""

from dataclasses import dataclass, field

NEVER = None
POOL_PRIORITY = 100
GRACE_HOURS = 30 * 24


@dataclass
class Lot:
    """What is left of a grant that expires."""

    expires: int
    priority: int
    is_promo: bool
    place: int
    left: int
    rollover: tuple[int, int] | None = None
    """How many live on, and until when."""

    def order(self) -> tuple[int, int, bool, int]:
        return (self.priority, self.expires, not self.is_promo, self.place)


Part = tuple[Lot | None, int]
"""Credits of a lot; of the pool where it is None."""


@dataclass
class Held:
    """A hold that has not ended."""

    expires: int
    parts: list[Part]


@dataclass
class Model:
    """One account."""

    hour: float = 0.5
    pool: int = 0
    lots: list[Lot] = field(default_factory=list)
    holds: dict[str, Held] = field(default_factory=dict)
    spends: dict[str, list[Part]] = field(default_factory=dict)
    """What of each spend was not given back, in the order in which it was taken."""
    expired: int = 0
    places: int = 0

    @property
    def balance(self) -> int:
        return self.pool + sum(lot.left for lot in self.lots)

    @property
    def held(self) -> int:
        return sum(_credits(hold.parts) for hold in self.holds.values())

    def add(
        self,
        amount: int,
        expires: int | None = NEVER,
        *,
        priority: int = POOL_PRIORITY,
        is_promo: bool = False,
        rollover: tuple[int, int] | None = None,
    ) -> None:
        self.places += 1
        if expires is NEVER:
            self.pool += amount
        else:
            self.lots.append(Lot(expires, priority, is_promo, self.places, amount, rollover))

    def take(self, amount: int) -> list[Part] | None:
        if amount > self.balance:
            return None
        taken: list[Part] = []
        before = [lot for lot in sorted(self.lots, key=Lot.order) if lot.priority <= POOL_PRIORITY]
        after = [lot for lot in sorted(self.lots, key=Lot.order) if lot.priority > POOL_PRIORITY]
        for source in [*before, None, *after]:
            part = min(amount, self.pool if source is None else source.left)
            if part:
                self._change(source, -part)
                taken.append((source, part))
                amount -= part
        return taken

    def give_back(self, parts: list[Part], at: float) -> None:
        late = 0
        priority, is_promo = POOL_PRIORITY, False
        for source, part in parts:
            if source is not None and source.expires <= at:
                if not late:
                    priority, is_promo = source.priority, source.is_promo
                late += part
            else:
                self._change(source, part)
        if late:
            self.add(late, int(at + GRACE_HOURS), priority=priority, is_promo=is_promo)

    def refund(self, spend: str, amount: int) -> None:
        kept, back = _split(self.spends[spend], _credits(self.spends[spend]) - amount)
        self.spends[spend] = kept
        self.give_back(back, self.hour)

    def capture(self, name: str, amount: int) -> None:
        captured, rest = _split(self.holds.pop(name).parts, amount)
        self.spends[name] = captured
        self.give_back(rest, self.hour)

    def pass_hours(self, hours: int) -> None:
        self.hour += hours
        while True:
            ends: list[tuple[float, int, str, Lot | None]] = [
                (hold.expires, 0, name, None)
                for name, hold in self.holds.items()
                if hold.expires <= self.hour
            ]
            ends += [
                (lot.expires, 1, str(lot.place), lot)
                for lot in self.lots
                if lot.left and lot.expires <= self.hour
            ]
            if not ends:
                return
            at, _, name, lot = min(ends, key=lambda end: end[:2])
            if lot is None:
                self.give_back(self.holds.pop(name).parts, at)
            else:
                self._expire(lot)

    def _expire(self, lot: Lot) -> None:
        kept, until = lot.rollover or (0, 0)
        kept = min(kept, lot.left)
        self.expired += lot.left - kept
        lot.left = 0
        if kept:
            self.add(kept, until, priority=lot.priority, is_promo=lot.is_promo)

    def _change(self, source: Lot | None, credits: int) -> None:
        if source is None:
            self.pool += credits
        else:
            source.left += credits


def _credits(parts: list[Part]) -> int:
    return sum(credits for _, credits in parts)


def _split(parts: list[Part], first: int) -> tuple[list[Part], list[Part]]:
    """The first so many credits, and the rest."""
    head: list[Part] = []
    tail: list[Part] = []
    for source, credits in parts:
        of_head = min(credits, first)
        first -= of_head
        head += [(source, of_head)] if of_head else []
        tail += [(source, credits - of_head)] if credits > of_head else []
    return head, tail
