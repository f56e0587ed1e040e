"""What the lists of stores and of end users show of each: what it has, and how long that lasts."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from storecredit.ledger.balances import Balance
from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.pace import days_left
from storecredit.stores.stores import Store
from storecredit.users.directory import User
from storecredit.web.parts import Parts

Shown = TypeVar("Shown", Store, User)


@dataclass(frozen=True, slots=True)
class OwnerRow(Generic[Shown]):
    """One of a list. `spent`: in the last seven days, less what was given back in them."""

    shown: Shown
    balance: Balance
    spent: int

    @property
    def days_left(self) -> float | None:
        """At that pace; None: nothing was spent."""
        return days_left(self.balance.balance, self.spent)


async def store_rows(parts: Parts, stores: Sequence[Store]) -> list[OwnerRow[Store]]:
    """Stores as a list shows them."""
    ids = [store.store_id for store in stores]
    balances, spent = await asyncio.gather(
        parts.credits.balances(OwnerKind.STORE, ids), parts.pace.spent(OwnerKind.STORE, ids)
    )
    return [OwnerRow(each, balances[each.store_id], spent[each.store_id]) for each in stores]


async def user_rows(parts: Parts, users: Sequence[User]) -> list[OwnerRow[User]]:
    """End users as a list shows them."""
    ids = [user.user_id for user in users]
    balances, spent = await asyncio.gather(
        parts.credits.balances(OwnerKind.USER, ids), parts.pace.spent(OwnerKind.USER, ids)
    )
    return [OwnerRow(each, balances[each.user_id], spent[each.user_id]) for each in users]
