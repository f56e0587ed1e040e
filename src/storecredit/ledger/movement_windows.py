"""Between which of an account's movements those lie that are asked for, found without a walk.

A movement is not found by its moment through an index, which every movement would have to be
written into. Those of an account are in order of time but for seconds: a search by halves finds
where a span of time begins and ends, and what is listed is looked for in between.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from storecredit.ledger.owners import Owner
from storecredit.postgres.pool import Database

SLACK: Final = timedelta(hours=1)
"""A movement bears the moment at which its transaction began, which may be before that of the
movement it follows, by as long as that kept it waiting."""
_WINDOW: Final = """
    SELECT coalesce((
            SELECT m.seq FROM movements m WHERE m.account_id = a.account_id
            ORDER BY m.account_id DESC, m.seq DESC LIMIT 1), 0) AS newest,
        CASE WHEN $3::timestamptz IS NULL THEN 0
            ELSE seq_at(a.account_id, $3 - $5::interval) END AS low,
        CASE WHEN $4::timestamptz IS NOT NULL
            THEN seq_at(a.account_id, $4 + $5::interval) END AS high
    FROM accounts a WHERE a.owner_kind = $1 AND a.owner_id = $2
"""


@dataclass(frozen=True, slots=True)
class Window:
    """Those with a seq above `low` and below `before`; `is_cut`: what lies below may be, too."""

    low: int
    before: int
    is_cut: bool = False

    @property
    def size(self) -> int:
        """How many they are."""
        return max(self.before - 1 - self.low, 0)


async def window_of(
    database: Database,
    owner: Owner,
    span: tuple[datetime | None, datetime | None],
    *,
    before_seq: int | None,
    depth: int | None,
) -> Window:
    """Where an owner's movements of a span of time lie, at most `depth` of them below a seq."""
    row = await database.fetchrow(_WINDOW, owner.kind, owner.id, *span, SLACK)
    if row is None:
        return Window(0, 0)
    high = row["newest"] if row["high"] is None else row["high"]
    before = high + 1 if before_seq is None else min(before_seq, high + 1)
    low: int = row["low"]
    if depth is None or before - 1 - depth <= low:
        return Window(low, before)
    return Window(before - 1 - depth, before, is_cut=True)
