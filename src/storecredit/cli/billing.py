"""`storecredit billing`: what is on sale, checkouts, subscriptions.

See also `billing_problems` and `billing_booking`.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, assert_never
from uuid import UUID, uuid4

import typer

from storecredit.cli import billing_booking, billing_problems, output
from storecredit.cli.database import Rooms, against_billing
from storecredit.cli.options import (
    Actor,
    DatabaseUrl,
    DataDir,
    Json,
    Reason,
    StoreName,
    context_of,
    request_id_text,
    settings_of,
)
from storecredit.cli.problems import Failed, Misused, unknown_store

if TYPE_CHECKING:
    from storecredit.billing.assembly import Billing
    from storecredit.billing.catalogue import Catalogue
    from storecredit.billing.checkouts import Opened, Order, Start
    from storecredit.billing.subscriptions import Subscription
    from storecredit.operator.audit import ActionContext
    from storecredit.operator.billing import BillingActions

PLAN_COLUMNS = ("plan", "credits", "price", "overage")
PACK_COLUMNS = ("pack_id", "name", "credits", "price")
OPTION_COLUMNS = ("option", "value", "times", "credits")
SUBSCRIPTION_COLUMNS = (
    *("subscription_id", "plan", "status", "credits", "price"),
    *("period_starts_at", "period_ends_at"),
)

app = typer.Typer(help="Purchases through Paddle, and overage.", no_args_is_help=True)
billing_problems.add_to(app)
billing_booking.add_to(app)


@app.command("plans")
def plans(json: Json = False) -> None:
    """Show what is on sale, before tax; JSON has amounts in the currency's smallest unit."""
    from storecredit.billing.assembly import missing_secrets
    from storecredit.billing.catalogue import load_catalogue

    settings = settings_of()
    catalogue = load_catalogue(settings.plans_file)
    if json:
        output.as_json(_catalogue_view(catalogue))
        return
    _show_catalogue(catalogue)
    if missing := missing_secrets(settings):
        names = " and ".join(missing)
        output.note(f"Billing is off here, so nothing of it can be bought: {names} not set.")


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
                "rollover": plan.rollover,
            }
            for plan in catalogue.plans
        ],
        "credits": {
            "unit_amount": catalogue.credit_unit_amount,
            "min": catalogue.credits_min,
            "max": catalogue.credits_max,
        }
        | _expiry(catalogue.credits_expire_after_days),
        "generation": asdict(catalogue.generation),
        "packs": [
            {name: value for name, value in asdict(pack).items() if value is not None}
            for pack in catalogue.packs
        ],
    }


def _expiry(days: int | None) -> dict[str, int]:
    return {} if days is None else {"expires_after_days": days}


def _show_catalogue(catalogue: "Catalogue") -> None:
    single = output.money(catalogue.credit_unit_amount, catalogue.currency)
    typer.echo("Stores subscribe, per month; overage is per credit:")
    output.table(
        PLAN_COLUMNS,
        [
            {
                **asdict(plan),
                "plan": plan.name,
                "price": output.money(plan.amount, plan.currency),
                "overage": output.money(plan.overage_unit_amount, plan.currency),
            }
            for plan in catalogue.plans
        ],
    )
    typer.echo(
        f"Stores buy single credits, {catalogue.credits_min:,} to {catalogue.credits_max:,} at a "
        f"time, for {single} each; so much is overage without a plan, too.\n"
    )
    for sentence in _expiries(catalogue):
        typer.echo(f"{sentence}\n")
    _show_generation_prices(catalogue)
    typer.echo("End users buy packs:")
    output.table(
        PACK_COLUMNS,
        [
            {**asdict(pack), "price": output.money(pack.amount, pack.currency)}
            for pack in catalogue.packs
        ],
    )


def _expiries(catalogue: "Catalogue") -> Iterator[str]:
    """What does not live for ever, in words."""
    for plan in catalogue.plans:
        if plan.rollover_max is not None:
            kept = f"but for {plan.rollover_max:,} that live on for another"
            until = kept if plan.rollover_max else "all of them"
            yield f"A month's credits of {plan.name} expire with it, {until}."
    if catalogue.credits_expire_after_days is not None:
        yield f"Single credits expire after {catalogue.credits_expire_after_days:,} days."
    for pack in catalogue.packs:
        if pack.expires_after_days is not None:
            days = f"{pack.expires_after_days:,} days"
            yield f"Credits of the pack {pack.pack_id} expire after {days}."


def _show_generation_prices(catalogue: "Catalogue") -> None:
    prices = catalogue.generation
    unit = "credit" if prices.credits == 1 else "credits"
    chosen = "; with an option, and with several multiplied:" if prices.options else ".\n"
    typer.echo(f"A generation costs {prices.credits:,} {unit}{chosen}")
    if prices.options:
        output.table(
            OPTION_COLUMNS,
            [
                {"option": name, "value": value, "times": times, "credits": prices.credits * times}
                for name, values in prices.options.items()
                for value, times in values.items()
            ],
        )


@app.command("checkout")
def checkout(
    store: StoreName,
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
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Start a purchase for a store; whoever has the address it prints can pay it."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    order = _order(plan, credits)
    cause = request_id or f"req_{uuid4()}"

    async def act(rooms: Rooms, billing: "Billing") -> "Opened":
        return await _opened(
            rooms.operator.billing(billing),
            context_of(actor, reason, cause),
            await rooms.store_id(store),
            order,
        )

    opened = asdict(against_billing(settings, act))
    replayed = opened.pop("replayed")
    view = {**opened, "request_id": cause}
    if not json:
        view["price"] = output.money(view.pop("amount"), view.pop("currency"))
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


async def _opened(
    billing: "BillingActions", context: "ActionContext", store_id: UUID, order: "Order"
) -> "Opened":
    from storecredit.billing.paddle.gateway import PaddleRefused, PaddleUnavailable
    from storecredit.ledger.owners import Owner

    try:
        outcome = await billing.start_checkout(context, Owner.store(store_id), order)
    except PaddleUnavailable as error:
        raise Failed(
            f"{str(error).rstrip('.')}. Nothing was sold: repeat the command with "
            f"--request-id {context.request_id}."
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
                "The store has a subscription already: cancel that at Paddle first. "
                "Nothing was sold."
            )
        case checkouts.UnknownBuyer():
            raise unknown_store(store_id)
        case checkouts.BillingOff():
            raise Misused(
                "Billing is off in this terminal: set STORECREDIT_PADDLE_API_KEY and "
                "STORECREDIT_PADDLE_WEBHOOK_SECRET here as the service has them."
            )
        case _:
            assert_never(outcome)


@app.command("subscriptions")
def subscriptions(
    store: StoreName,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """List a store's subscriptions, newest first, ended ones included."""

    async def act(rooms: Rooms, billing: "Billing") -> "tuple[Subscription, ...]":
        return await billing.subscriptions.of_store(await rooms.store_id(store))

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    items = [_subscription_view(each) for each in against_billing(settings, act)]
    if json:
        output.as_json({"items": items})
        return
    rows = [{**item, "price": output.money(item["amount"], item["currency"])} for item in items]
    output.page(rows, SUBSCRIPTION_COLUMNS, nothing="The store has no subscription.")


def _subscription_view(subscription: "Subscription") -> dict[str, Any]:
    """A subscription as the operator's API shows it."""
    fields = asdict(subscription)
    return {"subscription_id": fields.pop("provider_subscription_id"), **fields}
