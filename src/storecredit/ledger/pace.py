"""How long an owner's credits last if it goes on as it did."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from storecredit.ledger.balances import Balance
from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.buckets import Buckets

PACE_DAYS: Final = 7
"""The days that are taken as its pace."""


class Pace:
    """Tells how many days are left."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def days_left(
        self, kind: OwnerKind, balances: Mapping[UUID, Balance]
    ) -> dict[UUID, float | None]:
        """How many days each balance lasts at the pace of the last seven, to one decimal.

        None: nothing was spent, net.
        """
        spent = await self.spent(kind, list(balances))
        return {
            owner_id: days_left(balance.balance, spent[owner_id])
            for owner_id, balance in balances.items()
        }

    async def spent(self, kind: OwnerKind, owner_ids: Sequence[UUID]) -> dict[UUID, int]:
        """What is taken as each owner's pace, times `PACE_DAYS`.

        That is what was spent from the balance in those days less what was given back in them, for
        an owner that is younger, too; it may be below 0. What was used beyond the balance
        (overage), was clawed back or has expired is no pace. A search by halves in the ledger of
        each owner: 20 look-ups by key for a million movements.
        """
        found = await self._buckets.each(
            lambda database: database.fetch(
                """SELECT a.owner_id, spent_since(a.account_id, now() - make_interval(days => $3))
               FROM accounts a WHERE a.owner_kind = $1 AND a.owner_id = ANY ($2)""",
                kind,
                owner_ids,
                PACE_DAYS,
            )
        )
        return dict.fromkeys(owner_ids, 0) | {
            owner_id: spent for rows in found for owner_id, spent in rows
        }


def days_left(balance: int, spent: int) -> float | None:
    """How many days a balance lasts if `spent` credits were spent in `PACE_DAYS` days."""
    return round(balance * PACE_DAYS / spent, 1) if spent > 0 else None
