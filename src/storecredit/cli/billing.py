"""`storecredit billing`: what is on sale, checkouts, subscriptions, and what needs a look."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final, assert_never
from uuid import UUID, uuid4

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
    from storecredit.billing.catalogue import Catalogue
    from storecredit.billing.checkouts import Opened, Order, Start
    from storecredit.billing.problems import Found, ShortClawback
    from storecredit.billing.subscriptions import Subscription
    from storecredit.settings import Settings

PLAN_COLUMNS = ("plan", "credits", "price", "overage")
PACK_COLUMNS = ("pack_id", "name", "credits", "price")
SUBSCRIPTION_COLUMNS = (
    *("subscription_id", "plan", "status", "credits", "price"),
    *("period_starts_at", "period_ends_at"),
)
EVENT_COLUMNS = ("event_id", "event_type", "status", "attempts", "received_at", "reason")
CLAWBACK_COLUMNS = ("adjustment_id", "owner", "credits", "taken", "action", "created_at")
BILL_COLUMNS = ("store_id", "month", "credits", "price", "attempts", "last_error")

OWNER_KINDS: Final = ("store", "user")
WITHOUT_DECIMALS: Final = frozenset({"CLP", "JPY", "KRW", "VND"})
"""Of the currencies that Paddle takes, those whose smallest unit is a whole one (ISO 4217)."""

app = typer.Typer(help="Purchases through Paddle, and overage.", no_args_is_help=True)


@app.command("plans")
def plans(json: Json = False) -> None:
    """Show what is on sale, before tax; JSON has amounts in the currency's smallest unit."""
    from storecredit.billing.catalogue import load_catalogue

    catalogue = load_catalogue(settings_of().plans_file)
    if json:
        output.as_json(_catalogue_view(catalogue))
    else:
        _show_catalogue(catalogue)


def _catalogue_view(catalogue: "Catalogue") -> dict[str, Any]:
    """As the store's API shows it, and the end users' packs."""
    return {
        "currency": catalogue.currency,
        "plans": [
            {
                "plan": plan.name,
                "credits": plan.credits,
                "amount": plan.amount,
                "overage_unit_amount": plan.overage_unit_amount,
            }
            for plan in catalogue.plans
        ],
        "credits": {
            "unit_amount": catalogue.credit_unit_amount,
            "min": catalogue.credits_min,
            "max": catalogue.credits_max,
        },
        "packs": [asdict(pack) for pack in catalogue.packs],
    }


def _show_catalogue(catalogue: "Catalogue") -> None:
    single = money(catalogue.credit_unit_amount, catalogue.currency)
    typer.echo("Stores subscribe, per month; overage is per credit:")
    output.table(
        PLAN_COLUMNS,
        [
            {
                **asdict(plan),
                "plan": plan.name,
                "price": money(plan.amount, plan.currency),
                "overage": money(plan.overage_unit_amount, plan.currency),
            }
            for plan in catalogue.plans
        ],
    )
    typer.echo(
        f"Stores buy single credits, {catalogue.credits_min:,} to {catalogue.credits_max:,} at a "
        f"time, for {single} each; so much is overage without a plan, too.\n"
    )
    typer.echo("End users buy packs:")
    output.table(
        PACK_COLUMNS,
        [{**asdict(pack), "price": money(pack.amount, pack.currency)} for pack in catalogue.packs],
    )


def money(amount: int, currency: str) -> str:
    """An amount as people write it; `amount` is in the currency's smallest unit."""
    if currency in WITHOUT_DECIMALS:
        return f"{amount:,} {currency}"
    return f"{amount // 100:,}.{amount % 100:02} {currency}"


@app.command("checkout")
def checkout(
    store_id: StoreId,
    plan: Annotated[
        str | None,
        typer.Option(
            "--plan", help="A plan to subscribe to; `storecredit billing plans` lists them."
        ),
    ] = None,
    credits: Annotated[
        int | None, typer.Option("--credits", min=1, help="Or how many single credits to buy.")
    ] = None,
    request_id: Annotated[
        str | None,
        typer.Option(
            "--request-id",
            parser=request_id_text,
            metavar="ID",
            help="Names the purchase: sent again, it is the same checkout.",
            show_default="a new one, which is printed",
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Start a purchase for a store; whoever has the address it prints can pay it."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    order = _order(plan, credits)
    cause = request_id or f"req_{uuid4()}"

    async def act(rooms: Rooms, billing: "Billing") -> "Opened":
        await rooms.store(store_id)
        return await _opened(billing, store_id, order, cause)

    opened = asdict(_with_billing(settings, act))
    replayed = opened.pop("replayed")
    view = {**opened, "request_id": cause}
    if not json:
        view["price"] = money(view.pop("amount"), view.pop("currency"))
    output.record(view, json=json)
    if replayed:
        output.note("This request id had opened it before; nothing new was begun.")


def _order(plan: str | None, credits: int | None) -> "Order":
    from storecredit.billing.checkouts import CreditsOrder, PlanOrder

    if plan is not None and credits is None:
        return PlanOrder(plan)
    if credits is not None and plan is None:
        return CreditsOrder(credits)
    raise Misused("Name --plan or --credits, one of the two. Nothing was sold.")


async def _opened(billing: "Billing", store_id: UUID, order: "Order", request_id: str) -> "Opened":
    from storecredit.billing.paddle import PaddleRefused, PaddleUnavailable
    from storecredit.ledger.owners import Owner

    try:
        outcome = await billing.checkouts.start(Owner.store(store_id), order, request_id)
    except PaddleUnavailable as error:
        raise Failed(
            f"{str(error).rstrip('.')}. Nothing was sold: repeat the command with "
            f"--request-id {request_id}."
        ) from error
    except PaddleRefused as error:
        raise Failed(f"Paddle refuses: {str(error).rstrip('.')}. Nothing was sold.") from error
    return _checked(outcome, store_id)


def _checked(outcome: "Start", store_id: UUID) -> "Opened":
    """The checkout that was opened. Raises `Failed`, `Misused`."""
    from storecredit.billing import checkouts

    match outcome:
        case checkouts.Opened():
            return outcome
        case checkouts.RequestConflict():
            raise Failed("This request id was used for something else. Nothing was sold.")
        case checkouts.NotOnSale(message):
            raise Misused(f"{message} Nothing was sold.")
        case checkouts.AlreadySubscribed():
            raise Failed(
                "The store has a subscription already: cancel that first. Nothing was sold."
            )
        case checkouts.UnknownBuyer():
            raise unknown_store(store_id)
        case checkouts.BillingOff():
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

    async def act(rooms: Rooms, billing: "Billing") -> "tuple[Subscription, ...]":
        await rooms.store(store_id)
        return await billing.subscriptions.of_store(store_id)

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    items = [_subscription_view(each) for each in _with_billing(settings, act)]
    if json:
        output.as_json({"items": items})
        return
    rows = [{**item, "price": money(item["amount"], item["currency"])} for item in items]
    output.page(rows, SUBSCRIPTION_COLUMNS, nothing="The store has no subscription.")


def _subscription_view(subscription: "Subscription") -> dict[str, Any]:
    """A subscription as the operator's API shows it."""
    fields = asdict(subscription)
    return {"subscription_id": fields.pop("paddle_subscription_id"), **fields}


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
        output.as_json(_problems_view(found))
    elif found.none:
        output.note("There is nothing to look at.")
    else:
        _show_problems(found)


def _problems_view(found: "Found") -> dict[str, Any]:
    """Everything to look at, as the operator's API shows it."""
    return {
        "events": [asdict(event) for event in found.events.items],
        "clawbacks": [_clawback_view(clawback) for clawback in found.clawbacks.items],
        "bills": [asdict(bill) for bill in found.bills.items],
        "truncated": _is_truncated(found),
    }


def _clawback_view(clawback: "ShortClawback") -> dict[str, Any]:
    fields = asdict(clawback)
    owner = fields.pop("owner")
    ids = {f"{kind}_id": owner["id"] if owner["kind"] == kind else None for kind in OWNER_KINDS}
    return {**fields, **ids}


def _is_truncated(found: "Found") -> bool:
    return any(kind.truncated for kind in (found.events, found.clawbacks, found.bills))


def _show_problems(found: "Found") -> None:
    clawbacks = [
        {**asdict(each), "owner": f"{each.owner.kind.value} {each.owner.id}"}
        for each in found.clawbacks.items
    ]
    bills = [
        {
            **asdict(bill),
            "month": f"{bill.period:%Y-%m}",
            "price": money(bill.amount, bill.currency),
        }
        for bill in found.bills.items
    ]
    for title, columns, items in (
        (
            "Events of Paddle's for which nothing was booked:",
            EVENT_COLUMNS,
            [asdict(event) for event in found.events.items],
        ),
        ("Credits that could not be taken back:", CLAWBACK_COLUMNS, clawbacks),
        ("Overage that could not be charged so far:", BILL_COLUMNS, bills),
    ):
        if items:
            typer.echo(title)
            output.table(columns, items)
    if _is_truncated(found):
        output.note("There is more than is listed.")


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
