"""Runs one command against the database that its options name.

A database of the service's own is joined where it runs, else started for as long as the command
takes; it is made only for the commands that say so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from storecredit.cli import output
from storecredit.cli.problems import Failed, Misused, ambiguous_store, unknown_store

if TYPE_CHECKING:
    from uuid import UUID

    from storecredit.billing.assembly import Billing
    from storecredit.generation.erasure import Erasure
    from storecredit.ledger.balances import Balance
    from storecredit.ledger.credits import Credits
    from storecredit.ledger.owner_pages import OwnerFilter, OwnerPage, OwnerPages
    from storecredit.ledger.owners import Owner, OwnerKind
    from storecredit.ledger.pace import Pace
    from storecredit.operator.actions import OperatorActions
    from storecredit.postgres.buckets import Buckets
    from storecredit.postgres.opening import Wait
    from storecredit.postgres.pool import Database
    from storecredit.settings import Settings
    from storecredit.stores.api_keys import ApiKeys
    from storecredit.stores.stores import Store, Stores
    from storecredit.users.directory import UserDirectory
    from storecredit.webhooks.delivery_records import DeliveryRecords
    from storecredit.webhooks.endpoints import Endpoints

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rooms:
    """What commands call."""

    buckets: "Buckets"
    database: "Database"
    stores: "Stores"
    api_keys: "ApiKeys"
    credits: "Credits"
    pace: "Pace"
    owner_pages: "OwnerPages"
    users: "UserDirectory"
    erasure: "Erasure"
    endpoints: "Endpoints"
    delivery_records: "DeliveryRecords"
    operator: "OperatorActions"

    async def store(self, named: str) -> "Store":
        """The store of this id, name or domain. Raises `Failed`: none; `Misused`: several."""
        match await self.stores.named(named):
            case ():
                raise unknown_store(named)
            case (store,):
                return store
            case several:
                raise ambiguous_store(named, several)

    async def store_id(self, named: str) -> "UUID":
        """The id of a store; raises as `store`."""
        return (await self.store(named)).store_id

    async def store_owner(self, named: str) -> "Owner":
        """The store as owner of its credits; raises as `store`."""
        from storecredit.ledger.owners import Owner

        return Owner.store(await self.store_id(named))

    async def owner(self, named: str) -> "Owner":
        """A store or end user. Raises `Failed`: none; `Misused`: it may be one of several."""
        from storecredit.operator.owner_names import OwnerNames, spelled

        match await OwnerNames(self.buckets, self.stores).named(named):
            case ():
                raise Failed(
                    f"There is no store or end user {output.shown(named)}. `storecredit store "
                    "list` lists stores, `storecredit user list` end users."
                )
            case (owner,):
                return owner
            case several:
                listed = ", ".join(map(spelled, several))
                raise Misused(f"{named} is several: {listed}. Name one of them like that.")

    async def hearer(self, named: str | None) -> "tuple[int, UUID | None]":
        """The account whose webhook endpoints are meant, and its store; None: the operator's."""
        from storecredit.webhooks.endpoints import OPERATOR_ACCOUNT

        if named is None:
            return OPERATOR_ACCOUNT, None
        owner = await self.store_owner(named)
        return await self.credits.account_id(owner), owner.id

    async def balance(self, store_id: "UUID") -> dict[str, Any]:
        """A store's credits, as the operator's API shows them."""
        return (await self.balances([store_id]))[store_id]

    async def balances(self, store_ids: "Sequence[UUID]") -> "dict[UUID, dict[str, Any]]":
        """The credits of several stores."""
        from storecredit.ledger.owners import OwnerKind

        balances = await self.credits.balances(OwnerKind.STORE, store_ids)
        return {store_id: _credits_view(credits) for store_id, credits in balances.items()}

    async def page(
        self,
        kind: "OwnerKind",
        wanted: "OwnerFilter",
        *,
        sort: str,
        limit: int,
        cursor: str | None,
    ) -> "OwnerPage":
        """A page of owners' ids. Raises `Misused` for a cursor that is none of this list."""
        from storecredit.ledger.owner_cursors import CursorMisplaced, OwnerSort, read_cursor

        try:
            after = None if cursor is None else read_cursor(cursor)
        except ValueError as error:
            raise Misused("--cursor is none: give what a page said at its end.") from error
        try:
            return await self.owner_pages.page(
                kind, wanted, sort=OwnerSort(sort), limit=limit, cursor=after
            )
        except CursorMisplaced as error:
            raise Misused(str(error)) from error

    async def view(self, store: "Store") -> dict[str, Any]:
        """A store as the operator's API shows it."""
        from storecredit.ledger.owners import OwnerKind

        balances = await self.credits.balances(OwnerKind.STORE, [store.store_id])
        return _view(store, balances[store.store_id])

    async def listed(self, stores: "Sequence[Store]") -> list[dict[str, Any]]:
        """Several stores, likewise, and how many days their credits last."""
        from storecredit.ledger.owners import OwnerKind

        store_ids = [store.store_id for store in stores]
        balances = await self.credits.balances(OwnerKind.STORE, store_ids)
        days_left = await self.pace.days_left(OwnerKind.STORE, balances)
        return [
            {
                **_view(store, balances[store.store_id]),
                "days_left": days_left[store.store_id],
            }
            for store in stores
        ]


def _credits_view(credits: "Balance") -> dict[str, Any]:
    return {
        **credits_view(credits),
        "overage_used": credits.overage_used,
        "overage_limit": credits.overage_limit,
    }


def credits_view(credits: "Balance") -> dict[str, Any]:
    """What an owner of any kind has, as the operator's API shows it."""
    return {
        "balance": credits.balance,
        "total_purchased": credits.total_added,
        "total_spent": credits.total_spent,
        "total_clawed_back": credits.total_clawed_back,
        "held": credits.held,
        "total_expired": credits.total_expired,
        "total_removed": credits.total_removed,
        "expiring": [
            {"amount": each.amount, "expires_at": each.expires_at} for each in credits.expiring
        ],
    }


def _view(store: "Store", credits: "Balance") -> dict[str, Any]:
    fields = asdict(store)
    moments = {name: fields.pop(name) for name in ("created_at", "updated_at")}
    threshold = {"low_threshold": credits.low_threshold}
    return {**fields, **_credits_view(credits), **threshold, **moments}


def against(
    settings: "Settings",
    act: Callable[[Rooms], Awaitable[T]],
    *,
    create: bool = False,
    may_only_read: bool = False,
) -> T:
    """What `act` returns; `create`: make the embedded database if there is none.

    `may_only_read`: `act` writes nothing, so that a login will do which may only read.
    Raises what `storecredit.postgres.opening.open_database` raises.
    """
    quiet(settings)
    return asyncio.run(_against(settings, act, create=create, may_only_read=may_only_read))


def against_billing(settings: "Settings", act: "Callable[[Rooms, Billing], Awaitable[T]]") -> T:
    """As `against`, with the parts of billing, which the settings may have switched off."""

    async def acting(rooms: Rooms) -> T:
        from storecredit.billing.assembly import Billing

        billing = Billing.from_settings(settings, rooms.buckets)
        try:
            return await act(rooms, billing)
        finally:
            await billing.close()

    return against(settings, acting)


async def _against(
    settings: "Settings",
    act: Callable[[Rooms], Awaitable[T]],
    *,
    create: bool,
    may_only_read: bool,
) -> T:
    from storecredit.postgres.buckets import opened
    from storecredit.postgres.opening import open_database

    async with (
        open_database(
            settings, create=create, may_only_read=may_only_read, wait=a_moment()
        ) as database,
        opened(database) as buckets,
    ):
        return await act(rooms(buckets, settings))


def a_moment() -> "Wait":
    """What a command waits for a database that is away; whoever watches is told."""
    from storecredit.postgres.opening import COMMAND_WAIT_SECONDS, Wait

    return Wait(partial(note_the_wait, COMMAND_WAIT_SECONDS))


def note_the_wait(seconds: float, reason: str) -> None:
    """Tell people what is waited for."""
    output.note(f"{reason.rstrip('.')}. Waiting for it, up to {seconds:g} s.")


def rooms(buckets: "Buckets", settings: "Settings") -> Rooms:
    """The rooms over one database."""
    database = buckets.home
    from storecredit.generation.erasure import Erasure
    from storecredit.generation.results.store import open_results
    from storecredit.ledger.credits import Credits
    from storecredit.ledger.owner_pages import OwnerPages
    from storecredit.ledger.pace import Pace
    from storecredit.operator.actions import OperatorActions
    from storecredit.postgres.listener import Listener
    from storecredit.stores.api_keys import CHANNEL, ApiKeys
    from storecredit.stores.stores import Stores
    from storecredit.users.directory import UserDirectory
    from storecredit.webhooks.delivery_records import DeliveryRecords
    from storecredit.webhooks.endpoints import Endpoints

    results = open_results(settings)
    return Rooms(
        buckets,
        database,
        Stores(buckets, tiers=settings.rate_limits),
        # It listens to nothing: a command authenticates nobody, so nothing is cached.
        ApiKeys(buckets, Listener(database, CHANNEL)),
        Credits(buckets, timedelta(days=settings.refund_grace_days)),
        Pace(buckets),
        OwnerPages(buckets),
        UserDirectory(buckets),
        Erasure(buckets, results, settings),
        Endpoints(buckets),
        DeliveryRecords(buckets),
        OperatorActions.over(buckets, results, settings),
    )


def quiet(settings: "Settings") -> None:
    """Log warnings and errors only: a command says itself what it did."""
    from storecredit import telemetry

    level = "error" if settings.log_level == "error" else "warning"
    telemetry.configure(settings.log_format, level)
