"""A run, judged and told in figures."""

from dataclasses import dataclass
from typing import Final

from tests.torture.checking.history import History
from tests.torture.checking.verdict import order_of, violations
from tests.torture.checking.violations import Violation
from tests.torture.run import Outcome

SHOWN_MAX: Final = 40


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, and how much was looked at."""

    outcome: Outcome
    counts: dict[str, int]
    orders: dict[str, tuple[int, bool]]
    """By owner: how many operations, and whether they have an order."""
    violations: list[Violation]

    @classmethod
    def of(cls, outcome: Outcome) -> "Report":
        """Read the record, and judge it together with the tables."""
        history = History.read(outcome.record)
        found = violations(history, outcome.tables, outcome.verified)
        orders = {}
        for owner in outcome.counted:
            count, out_of_order = order_of(history, outcome.tables, owner)
            orders[owner] = (count, not out_of_order)
            found += out_of_order
        return cls(outcome, history.counts(), orders, found)

    def __str__(self) -> str:
        plan, outcome = self.outcome.plan, self.outcome
        lines = {
            "seed": plan.seed,
            "minutes": f"{outcome.seconds / 60:.1f}",
            "kills": outcome.kills,
            "of them failovers": outcome.failovers,
            "strikes": ", ".join(f"{name} {count}" for name, count in _most(outcome.strikes)),
            "requests": self.counts["requests"],
            "sendings": self.counts["sendings"],
            "requests with an unknown outcome": self.counts["doubted"],
            "of them told in the end": self.counts["resolved"],
            "events heard": self.counts["events"],
            "movements": len(outcome.tables["movements"]),
            "operations of an owner, in order": ", ".join(
                f"{count}: {'yes' if is_so else 'NO'}" for count, is_so in self.orders.values()
            ),
            "violations": len(self.violations),
        }
        told = [f"{name}: {value}" for name, value in lines.items()]
        return "\n".join([*told, *map(str, self.violations[:SHOWN_MAX])])


def _most(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda each: -each[1])
