"""Runs one command against the database that its options name.

A database of the service's own is joined where it runs, else started for as long as the command
takes; it is made only for the commands that say so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from storecredit.cli import output
from storecredit.cli.problems import unknown_store

if TYPE_CHECKING:
    from uuid import UUID

    from storecredit.billing.assembly import Billing
    from storecredit.ledger.credits import Credits
    from storecredit.postgres.opening import Wait
    from storecredit.postgres.pool import Database
    from storecredit.settings import Settings
    from storecredit.stores.api_keys import ApiKeys
    from storecredit.stores.stores import Store, Stores

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rooms:
    """What commands call."""

    database: "Database"
    stores: "Stores"
    api_keys: "ApiKeys"
    credits: "Credits"

    async def store(self, store_id: "UUID") -> "Store":
        """The store of this id. Raises `Failed` where there is none."""
        store = await self.stores.get(store_id)
        if store is None:
            raise unknown_store(store_id)
        return store

    async def balance(self, store_id: "UUID") -> dict[str, int]:
        """A store's credits, as the operator's API shows them."""
        return (await self.balances([store_id]))[store_id]

    async def balances(self, store_ids: "Sequence[UUID]") -> "dict[UUID, dict[str, int]]":
        """The credits of several stores."""
        from storecredit.ledger.owners import OwnerKind

        return {
            store_id: {
                "balance": credits.balance,
                "total_purchased": credits.total_added,
                "total_spent": credits.total_spent,
                "total_clawed_back": credits.total_clawed_back,
                "overage_used": credits.overage_used,
                "overage_limit": credits.overage_limit,
            }
            for store_id, credits in (
                await self.credits.balances(OwnerKind.STORE, store_ids)
            ).items()
        }


def against(
    settings: "Settings", act: Callable[[Rooms], Awaitable[T]], *, create: bool = False
) -> T:
    """What `act` returns; `create`: make the embedded database if there is none.

    Raises what `storecredit.postgres.opening.open_database` raises.
    """
    quiet(settings)
    return asyncio.run(_against(settings, act, create=create))


def against_billing(settings: "Settings", act: "Callable[[Rooms, Billing], Awaitable[T]]") -> T:
    """As `against`, with the parts of billing, which the settings may have switched off."""

    async def acting(rooms: Rooms) -> T:
        from storecredit.billing.assembly import Billing

        billing = Billing.from_settings(settings, rooms.database)
        try:
            return await act(rooms, billing)
        finally:
            await billing.close()

    return against(settings, acting)


async def _against(
    settings: "Settings", act: Callable[[Rooms], Awaitable[T]], *, create: bool
) -> T:
    from storecredit.postgres.opening import open_database

    async with open_database(settings, create=create, wait=a_moment()) as database:
        return await act(rooms(database, settings))


def a_moment() -> "Wait":
    """What a command waits for a database that is away; whoever watches is told."""
    from storecredit.postgres.opening import COMMAND_WAIT_SECONDS, Wait

    return Wait(partial(note_the_wait, COMMAND_WAIT_SECONDS))


def note_the_wait(seconds: float, reason: str) -> None:
    """Tell people what is waited for."""
    output.note(f"{reason.rstrip('.')}. Waiting for it, up to {seconds:g} s.")


def rooms(database: "Database", settings: "Settings") -> Rooms:
    """The rooms over one database."""
    from storecredit.ledger.credits import Credits
    from storecredit.postgres.listener import Listener
    from storecredit.stores.api_keys import CHANNEL, ApiKeys
    from storecredit.stores.stores import Stores

    return Rooms(
        database,
        Stores(database, tiers=settings.rate_limits),
        # It listens to nothing: a command authenticates nobody, so nothing is cached.
        ApiKeys(database, Listener(database, CHANNEL)),
        Credits(database),
    )


def quiet(settings: "Settings") -> None:
    """Log warnings and errors only: a command says itself what it did."""
    from storecredit import telemetry

    level = "error" if settings.log_level == "error" else "warning"
    telemetry.configure(settings.log_format, level)
