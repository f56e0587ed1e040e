"""`storecredit billing`: what is on sale, checkouts, subscriptions, and what needs a look."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, assert_never
from uuid import uuid4

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import (
    DatabaseUrl,
    DataDir,
    Json,
    StoreId,
    request_id_text,
    settings_of,
)
from storecredit.cli.problems import Failed, Misused, unknown_store

if TYPE_CHECKING:
    from storecredit.billing.assembly import Billing
    from storecredit.billing.checkouts import Order, Start
    from storecredit.billing.problems import Found
    from storecredit.settings import Settings

PLAN_COLUMNS = ("name", "credits", "amount", "currency", "overage_unit_amount")
PACK_COLUMNS = ("pack_id", "name", "credits", "amount", "currency")
SUBSCRIPTION_COLUMNS = ("paddle_subscription_id", "plan", "status", "credits", "period_ends_at")
EVENT_COLUMNS = ("event_id", "event_type", "status", "attempts", "received_at", "reason")
CLAWBACK_COLUMNS = ("adjustment_id", "owner", "credits", "taken", "action", "created_at")
BILL_COLUMNS = ("store_id", "period", "credits", "amount", "currency", "attempts", "last_error")

app = typer.Typer(help="Purchases through Paddle, and overage.", no_args_is_help=True)


@app.command("plans")
def plans(json: Json = False) -> None:
    """Show what is on sale; amounts are in the currency's smallest unit, before tax."""
    from storecredit.billing.catalogue import load_catalogue

    catalogue = asdict(load_catalogue(settings_of().plans_file))
    if json:
        output.as_json(catalogue)
        return
    output.table(PLAN_COLUMNS, catalogue["plans"])
    output.table(PACK_COLUMNS, catalogue["packs"])
    typer.echo(
        f"Single credits: {catalogue['credit_unit_amount']} each, "
        f"{catalogue['credits_min']} to {catalogue['credits_max']} at a time."
    )


@app.command("checkout")
def checkout(
    store_id: StoreId,
    plan: Annotated[str | None, typer.Option("--plan", help="A plan to subscribe to.")] = None,
    credits: Annotated[int | None, typer.Option("--credits", min=1, help="Or credits.")] = None,
    request_id: Annotated[
        str | None,
        typer.Option(
            "--request-id",
            parser=request_id_text,
            metavar="ID",
            help="Names the purchase: sent again, it is the same checkout.",
            show_default="a new one",
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Start a purchase for a store; whoever has the address it prints can pay it."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    order = _order(plan, credits)
    name = request_id or f"req_{uuid4()}"

    async def act(rooms: Rooms, billing: "Billing") -> dict[str, Any]:
        from storecredit.ledger.owners import Owner

        await rooms.store(store_id)
        outcome = await billing.checkouts.start(Owner.store(store_id), order, name)
        return {**_opened(outcome, store_id), "request_id": name}

    output.record(_with_billing(settings, act), json=json)


def _order(plan: str | None, credits: int | None) -> "Order":
    from storecredit.billing.checkouts import CreditsOrder, PlanOrder

    if plan is not None and credits is None:
        return PlanOrder(plan)
    if credits is not None and plan is None:
        return CreditsOrder(credits)
    raise Misused("Name --plan or --credits, one of the two. Nothing was sold.")


def _opened(outcome: "Start", store_id: object) -> dict[str, Any]:
    from storecredit.billing.checkouts import (
        AlreadySubscribed,
        BillingOff,
        NotOnSale,
        Opened,
        RequestConflict,
        UnknownBuyer,
    )

    match outcome:
        case Opened():
            return asdict(outcome)
        case RequestConflict():
            raise Failed("This request id was used for something else. Nothing was sold.")
        case NotOnSale(message):
            raise Misused(f"{message} Nothing was sold.")
        case AlreadySubscribed():
            raise Failed(
                "The store has a subscription already: cancel that first. Nothing was sold."
            )
        case UnknownBuyer():
            raise unknown_store(store_id)
        case BillingOff():
            raise Misused(
                "Billing is off: set STORECREDIT_PADDLE_API_KEY and "
                "STORECREDIT_PADDLE_WEBHOOK_SECRET."
            )
        case _:
            assert_never(outcome)


@app.command("subscriptions")
def subscriptions(
    store_id: StoreId,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """List a store's subscriptions, newest first, ended ones included."""

    async def act(rooms: Rooms, billing: "Billing") -> dict[str, Any]:
        await rooms.store(store_id)
        found = await billing.subscriptions.of_store(store_id)
        return {"items": [asdict(each) for each in found]}

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    found = _with_billing(settings, act)
    if json:
        output.as_json(found)
        return
    output.page(found["items"], SUBSCRIPTION_COLUMNS, nothing="The store has no subscription.")


@app.command("problems")
def problems(
    data_dir: DataDir = None, database_url: DatabaseUrl = None, json: Json = False
) -> None:
    """List what billing could not settle by itself: events, clawbacks, bills."""

    async def act(_rooms: Rooms, billing: "Billing") -> "Found":
        return await billing.problems.find()

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    found = _with_billing(settings, act)
    if json:
        output.as_json(asdict(found))
    elif found.none:
        output.note("There is nothing to look at.")
    else:
        _show(found)


def _show(found: "Found") -> None:
    clawbacks = [
        {**asdict(each), "owner": f"{each.owner.kind.value} {each.owner.id}"}
        for each in found.clawbacks.items
    ]
    for title, columns, items in (
        ("Events of Paddle's for which nothing was booked:", EVENT_COLUMNS, found.events.items),
        ("Credits that could not be taken back:", CLAWBACK_COLUMNS, clawbacks),
        ("Overage that could not be charged so far:", BILL_COLUMNS, found.bills.items),
    ):
        if items:
            typer.echo(title)
            output.table(columns, [_fields(item) for item in items])
    if any(kind.truncated for kind in (found.events, found.clawbacks, found.bills)):
        output.note("There is more than is listed.")


def _fields(item: Any) -> Mapping[str, object]:
    return item if isinstance(item, dict) else asdict(item)


@app.command("retry")
def retry(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="As `problems` lists it.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Look again at an event that was set aside; the running worker does."""

    async def act(_rooms: Rooms, billing: "Billing") -> dict[str, Any]:
        if not await billing.events.retry(event_id):
            raise Failed(
                f"There is no event {event_id} that was set aside and can be looked at again. "
                "`storecredit billing problems` lists them."
            )
        return {"event_id": event_id, "retried": True}

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(_with_billing(settings, act), json=json)


def _with_billing(settings: "Settings", act: "Callable[[Rooms, Billing], Awaitable[Any]]") -> Any:
    async def acting(rooms: Rooms) -> Any:
        from storecredit.billing.assembly import Billing

        billing = Billing.from_settings(settings, rooms.database)
        try:
            return await act(rooms, billing)
        finally:
            await billing.close()

    return against(settings, acting)
