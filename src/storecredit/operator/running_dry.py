"""Which stores are about to run dry: who has credits left, and for how many days.

Found by the estimates that the sums keep (`ledger/summing.py`), at most minutes old; what is told
is worked out anew from the ledger, of as many as are asked for and some more.
"""

from typing import Final
from uuid import UUID

import msgspec

from storecredit.ledger.balances import balances_of_owners
from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.pace import Pace
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.pool import Database

LIMIT_MAX: Final = 100
"""Stores of one list."""
DAYS_MAX: Final = 90
"""What lasts longer is not about to run dry, and estimated by nobody."""
_MORE: Final = 10
"""Candidates beside twice as many as are asked for: an estimate may be wrong by now."""
# Estimates are of stores alone. LIMIT 1: each by its key, whatever plan was made of an empty table.
_CANDIDATES: Final = """
    SELECT s.store_id, s.name
    FROM (SELECT x.account_id FROM summed_accounts x WHERE x.runs_dry_at IS NOT NULL
          ORDER BY x.runs_dry_at LIMIT $1) c
    CROSS JOIN LATERAL (
        SELECT x.owner_id FROM accounts x WHERE x.account_id = c.account_id LIMIT 1) a
    CROSS JOIN LATERAL (
        SELECT x.store_id, x.name FROM stores x WHERE x.store_id = a.owner_id LIMIT 1) s
"""


class StoreRunningDry(msgspec.Struct, frozen=True):
    """A store, what it can spend, and for how many days, if it goes on as in the last seven."""

    store_id: UUID
    name: str
    balance: int
    days_left: float


class RunningDry:
    """Lists them."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def list(self, limit: int) -> list[StoreRunningDry]:
        """The first to run dry, at most `limit` (1 to `LIMIT_MAX`), within `DAYS_MAX` days.

        A store that has no credits left is not listed: it has run dry. Raises DatabaseUnavailable.
        """
        limit = min(limit, LIMIT_MAX)
        found = await self._buckets.each(lambda database: _of_bucket(database, limit))
        stores = [store for of_bucket in found for store in of_bucket]
        return sorted(stores, key=lambda store: (store.days_left, store.store_id))[:limit]


async def _of_bucket(database: Database, limit: int) -> list[StoreRunningDry]:
    """Those of one bucket that may be among the first, in any order."""
    rows = await database.fetch(_CANDIDATES, 2 * limit + _MORE)
    names = {row["store_id"]: row["name"] for row in rows}
    balances = await balances_of_owners(database, OwnerKind.STORE, list(names))
    days = await Pace(database).days_left(OwnerKind.STORE, balances)
    return [
        StoreRunningDry(store_id, names[store_id], balance.balance, left)
        for store_id, balance in balances.items()
        if balance.balance > 0 and (left := days[store_id]) is not None and left <= DAYS_MAX
    ]
