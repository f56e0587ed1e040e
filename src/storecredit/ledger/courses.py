"""How an account came to what it has: what moved in each of the days or hours before now.

Hides the search for the past: the ledger keeps the totals after each movement, so what moved
between two moments is the difference of two of its rows, however many lie between. 90 days of an
account with a million movements take some hundred look-ups by key, in one statement.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final

from storecredit.ledger.owners import Owner
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.servers import Record

STRETCHES_MAX: Final = 90
"""Days or hours of a course."""
_INSTANT: Final = timedelta(microseconds=1)
"""As close as two moments in the database can be."""
_COURSE: Final = """
    SELECT c.* FROM accounts a CROSS JOIN LATERAL course_of_account(a.account_id, $3) c
    WHERE a.owner_kind = $1 AND a.owner_id = $2 ORDER BY c.moment
"""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What moved from `begins_at` on and before `ends_at`, and what was left then.

    `balance` and `held`: at its end. The rest is what they changed by within it: `added` came in,
    whether bought, given or moved here; `spent` is less what was given back, whenever that had been
    spent, and so may be below 0; `expired`, `clawed_back` with its payment and `removed` by the
    operator went; `overage` was used beyond the balance, less what was given back of it before it
    was billed. What ended in it by itself is counted here, whenever that was written.
    """

    begins_at: datetime
    ends_at: datetime
    balance: int
    held: int
    added: int
    spent: int
    expired: int
    clawed_back: int
    removed: int
    overage: int


@dataclass(frozen=True, slots=True)
class Course:
    """Stretches that follow one another, the oldest first, and the balance where they begin."""

    balance_before: int
    stretches: tuple[Stretch, ...]


class Courses:
    """Tells how accounts came to what they have."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def of(self, owner: Owner, moments: Sequence[datetime]) -> Course | None:
        """What moved between these moments, which ascend: 2 to `STRETCHES_MAX` + 1 of them.

        A moment that is still to come counts as now, of the database's clock. None: there is no
        such owner. Raises ValueError for other moments, DatabaseUnavailable.
        """
        if not 1 <= len(moments) - 1 <= STRETCHES_MAX:
            raise ValueError(f"a course has 1 to {STRETCHES_MAX} stretches, not {len(moments) - 1}")
        if any(later <= earlier for earlier, later in itertools.pairwise(moments)):
            raise ValueError("the moments of a course ascend")
        # What is of a moment belongs to the stretch that begins there.
        before = [moment - _INSTANT for moment in moments]
        rows = await (await self._buckets.of(owner)).fetch(_COURSE, owner.kind, owner.id, before)
        if not rows:
            return None
        totals = [_Totals.of(row) for row in rows]
        stretches = [
            later.since(earlier, begins_at, ends_at)
            for (earlier, later), (begins_at, ends_at) in zip(
                itertools.pairwise(totals), itertools.pairwise(moments), strict=True
            )
        ]
        return Course(totals[0].balance, tuple(stretches))


@dataclass(frozen=True, slots=True)
class _Totals:
    balance: int
    held: int
    spent: int
    clawed_back: int
    expired: int
    removed: int
    overage: int

    @classmethod
    def of(cls, row: Record) -> "_Totals":
        return cls(*(row[name] or 0 for name in cls.__slots__))

    @property
    def added(self) -> int:
        """Nothing else changes a balance: what came in is what is there and what went out."""
        out = self.spent + self.clawed_back + self.expired + self.removed
        return self.balance + self.held + out

    def since(self, before: "_Totals", begins_at: datetime, ends_at: datetime) -> Stretch:
        return Stretch(
            begins_at,
            ends_at,
            balance=self.balance,
            held=self.held,
            added=self.added - before.added,
            spent=self.spent - before.spent,
            expired=self.expired - before.expired,
            clawed_back=self.clawed_back - before.clawed_back,
            removed=self.removed - before.removed,
            overage=self.overage - before.overage,
        )


def days_until(moment: datetime, count: int, zone: tzinfo = UTC) -> list[datetime]:
    """Where the last so many days begin, as clocks in `zone` show them, and where this one ends.

    A day in which clocks are changed has 23 or 25 hours.
    """
    today = moment.astimezone(zone).date()
    days = (today + timedelta(days=day) for day in range(1 - count, 2))
    return [datetime.combine(day, time(), zone).astimezone(UTC) for day in days]


def hours_until(moment: datetime, count: int, zone: tzinfo = UTC) -> list[datetime]:
    """Where the last so many hours begin, as clocks in `zone` show it, and where this one ends."""
    local = moment.astimezone(zone)
    into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    begins_at = moment.astimezone(UTC) - into
    return [begins_at + timedelta(hours=hour) for hour in range(1 - count, 2)]
