"""The figures of a report, and what a movement counts as in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec


class By(StrEnum):
    """What a report has a row for."""

    DAY = "day"
    PLAN = "plan"
    """A store's tier, as it is now; all end users are one row."""
    STORE = "store"
    """All end users are one row."""


class Measure(StrEnum):
    """What credits of a movement count as; each is a number of credits, never below 0."""

    SOLD = "sold"
    GIVEN = "given"
    SPENT = "spent"
    REFUNDED = "refunded"
    OVERAGE = "overage"
    OVERAGE_RETURNED = "overage_returned"
    CLAWED_BACK = "clawed_back"
    EXPIRED = "expired"
    REMOVED = "removed"
    TRANSFERRED_OUT = "transferred_out"
    TRANSFERRED_IN = "transferred_in"


class Money(msgspec.Struct, frozen=True):
    """Money in one currency's smallest unit: before tax, after discounts.

    `paid` was booked for credits, subscriptions and overage; `returned` went back (refunds,
    chargebacks, downgrades); `net` is the one less the other.
    """

    currency: str
    paid: int
    returned: int
    net: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Credits, and the money for them.

    `sold` were bought, by purchase or subscription; `given` came without a payment. `overage` was
    used beyond a balance, and `overage_returned` of it given back. `removed` were taken out by the
    operator. `transferred_out` went from one owner to another, `transferred_in` came from one: of
    all owners together they are the same. `balance_change` is what all balances together grew by;
    credits that are held are in no balance.
    """

    sold: int = 0
    given: int = 0
    spent: int = 0
    refunded: int = 0
    overage: int = 0
    overage_returned: int = 0
    clawed_back: int = 0
    expired: int = 0
    removed: int = 0
    transferred_out: int = 0
    transferred_in: int = 0
    balance_change: int = 0
    money: list[Money] = msgspec.field(default_factory=list)


class ReportRow(Figures, frozen=True, kw_only=True):
    """The figures of one day, plan or store; `end_users`: of all end users together.

    A row with none of them is what no owner is known for. What nothing happened to has no row.
    """

    day: date | None = None
    plan: str | None = None
    store_id: UUID | None = None
    store_name: str | None = None
    end_users: bool = False


class Report(msgspec.Struct, frozen=True):
    """What happened from `since` on and before `until`.

    `truncated`: there are more rows than are listed; `total` is of all.
    """

    since: datetime
    until: datetime
    by: By | None
    total: Figures
    rows: list[ReportRow]
    truncated: bool


class UnknownMovementType(Exception):
    """The ledger holds a movement of a type that there is not: `storecredit verify` names it."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What one credit of a type of movement counts as, and what it adds to the balance.

    `measure` None: it moves nothing in or out.
    """

    measure: Measure | None
    balance: int


# Known by their types, as to `storecredit verify`: nothing else goes from one owner to another.
_OF_TRANSFER: Final[dict[str, Measure]] = {
    "transfer_out": Measure.TRANSFERRED_OUT,
    "transfer_in": Measure.TRANSFERRED_IN,
}
_OF_ROLE: Final[dict[str, Measure | None]] = {
    "capture": Measure.SPENT,
    "clawback": Measure.CLAWED_BACK,
    "expiry": Measure.EXPIRED,
    "removal": Measure.REMOVED,
    "bill": None,
    "hold": None,
    "release": None,
    "reissue": None,
}


def measure_of(type_: str, role: str, spent: int, credit_kind: str | None) -> Measure | None:
    """What a type of movement counts as, by its row of `movement_types`.

    None: it moves nothing in or out. Raises UnknownMovementType for a role that is not known here.
    """
    if type_ in _OF_TRANSFER:
        return _OF_TRANSFER[type_]
    if role == "charge":
        return Measure.SPENT if spent else Measure.OVERAGE
    if role == "return":
        return Measure.REFUNDED if spent else Measure.OVERAGE_RETURNED
    if role == "addition":
        return Measure.SOLD if credit_kind == "paid" else Measure.GIVEN
    if role not in _OF_ROLE:
        raise UnknownMovementType(f"no report knows what a movement of role {role} counts as")
    return _OF_ROLE[role]


class Sum:
    """Figures while they are added up."""

    def __init__(self) -> None:
        self._credits = dict.fromkeys(Measure, 0)
        self._balance_change = 0
        self._paid: dict[str, int] = {}
        self._returned: dict[str, int] = {}

    def add_credits(self, effect: Effect, amount: int) -> None:
        """Count so many credits of a type of movement."""
        if effect.measure is not None:
            self._credits[effect.measure] += amount
        self._balance_change += effect.balance * amount

    def add_money(self, currency: str, amount: int, *, is_returned: bool) -> None:
        """Count money that came in, or went back."""
        sums = self._returned if is_returned else self._paid
        sums[currency] = sums.get(currency, 0) + amount

    def figures(self) -> Figures:
        """What it came to."""
        return Figures(**self._fields())

    def row(self, group: Mapping[str, object]) -> ReportRow:
        """What it came to, for one day, plan or store."""
        return msgspec.convert({**self._fields(), **group}, ReportRow)

    def _fields(self) -> dict[str, Any]:
        credits = {measure.value: amount for measure, amount in self._credits.items()}
        money = [
            self._money(currency) for currency in sorted(self._paid.keys() | self._returned.keys())
        ]
        return {**credits, "balance_change": self._balance_change, "money": money}

    def _money(self, currency: str) -> Money:
        paid, returned = self._paid.get(currency, 0), self._returned.get(currency, 0)
        return Money(currency, paid, returned, paid - returned)
