"""What an account's credits come to, worked out in Python: grants that expire, holds, refunds.

Credits that never expire are one pool here: nothing that the ledger decides depends on which of
them were spent. Hours are whole numbers; every operation happens at a half hour, so that no two
moments meet.
"""

from dataclasses import dataclass, field

NEVER = None
POOL_PRIORITY = 100
GRACE_HOURS = 30 * 24
A_MINUTE = 1 / 60
"""A hold ends before the grants of its hour."""


@dataclass
class Lot:
    """What is left of a grant that expires."""

    expires: float
    priority: int
    is_promo: bool
    place: int
    left: int
    rollover: tuple[int, int] | None = None
    """How many live on, and until when."""
    stands_for: "Lot | None" = None
    """What the operator made of it, by another end."""

    def order(self) -> tuple[int, float, bool, int]:
        """Where it stands among those that are spent."""
        return (self.priority, self.expires, not self.is_promo, self.place)


Part = tuple[Lot | None, int]
"""Credits of a lot; of the pool where it is None."""


@dataclass
class Spend:
    """What was taken for a request."""

    amount: int
    left: list[Part]
    """What was not given back, in the order in which it was taken."""
    is_capture: bool = False
    is_returned: bool = False
    """Under its own id."""


@dataclass
class Hold:
    """Credits set aside; `status` is that of its row once what has ended is written."""

    expires: int
    amount: int
    parts: list[Part]
    status: str = "held"
    captured: int | None = None


@dataclass
class AccountModel:
    """One account."""

    hour: float = 0.5
    pool: int = 0
    lots: list[Lot] = field(default_factory=list)
    lot_of: dict[str, Lot] = field(default_factory=dict)
    """The lot that each addition began."""
    holds: dict[str, Hold] = field(default_factory=dict)
    spends: dict[str, Spend] = field(default_factory=dict)
    refunds: dict[str, tuple[str, int]] = field(default_factory=dict)
    """What each refund in part gave back, and of what."""
    expired: int = 0
    places: int = 0

    @property
    def balance(self) -> int:
        """What can be spent."""
        return self.pool + sum(lot.left for lot in self.lots)

    @property
    def held(self) -> int:
        """What is set aside."""
        return sum(hold.amount for _, hold in self._open_holds())

    def add(
        self,
        amount: int,
        expires: float | None = NEVER,
        *,
        priority: int = POOL_PRIORITY,
        is_promo: bool = False,
        rollover: tuple[int, int] | None = None,
    ) -> Lot | None:
        """A new grant; its lot, if it expires."""
        self.places += 1
        if expires is NEVER:
            self.pool += amount
            return None
        lot = Lot(expires, priority, is_promo, self.places, amount, rollover)
        self.lots.append(lot)
        return lot

    def take(self, amount: int, first: Lot | None = None) -> list[Part] | None:
        """Credits in the order in which they are spent, `first`'s before all; None: too many."""
        if amount > self.balance:
            return None
        ordered = sorted(self.lots, key=Lot.order)
        sources: list[Lot | None] = [
            *([first] if first else []),
            *(lot for lot in ordered if lot.priority <= POOL_PRIORITY),
            None,
            *(lot for lot in ordered if lot.priority > POOL_PRIORITY),
        ]
        taken: list[Part] = []
        for source in sources:
            part = min(amount, self.pool if source is None else source.left)
            if part:
                self._change(source, -part)
                taken.append((source, part))
                amount -= part
        return taken

    def give_back(self, parts: list[Part], at: float) -> None:
        """To where they came from; what has expired meanwhile lives on for its grace."""
        late: list[tuple[Lot, int]] = []
        for source, part in ((_reissued(source), part) for source, part in parts):
            if source is not None and source.expires <= at:
                late.append((source, part))
            else:
                self._change(source, part)
        if late:
            # One grant of the terms of the one that was added first: the grace of all is the same.
            lot = min((lot for lot, _ in late), key=lambda lot: lot.place)
            self.add(
                sum(part for _, part in late),
                at + GRACE_HOURS,
                priority=lot.priority,
                is_promo=lot.is_promo,
            )

    def refund(self, spend: Spend, amount: int) -> None:
        """The credits taken last come back first."""
        spend.left, back = _split(spend.left, credits_in(spend.left) - amount)
        self.give_back(back, self.hour)

    def end_hold(self, name: str, captured: int, status: str, at: float) -> None:
        """What is captured is a spend under the hold's name; the rest comes back."""
        hold = self.holds[name]
        hold.status, hold.captured = status, captured
        kept, rest = _split(hold.parts, captured)
        if captured:
            self.spends[name] = Spend(captured, kept, is_capture=True)
        self.give_back(rest, at)

    def pass_hours(self, hours: int) -> None:
        """It is later by so much: what ends by then ends in its order."""
        self.hour += hours
        while True:
            ends: list[tuple[float, str | Lot]] = [
                *((hold.expires - A_MINUTE, name) for name, hold in self._open_holds()),
                *((lot.expires, lot) for lot in self.lots if lot.left),
            ]
            ended = [end for end in ends if end[0] <= self.hour]
            if not ended:
                return
            at, what = min(ended, key=lambda end: end[0])
            if isinstance(what, Lot):
                self._expire(what)
            else:
                self.end_hold(what, 0, "expired", at)

    def _open_holds(self) -> list[tuple[str, Hold]]:
        return [(name, hold) for name, hold in self.holds.items() if hold.status == "held"]

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


def _reissued(source: Lot | None) -> Lot | None:
    while source is not None and source.stands_for is not None:
        source = source.stands_for
    return source


def credits_in(parts: list[Part]) -> int:
    """How many they are."""
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
