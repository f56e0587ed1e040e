"""`storecredit store top-up`: whether a store buys credits by itself."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against_billing
from storecredit.cli.options import (
    CREDITS_MAX,
    Actor,
    DatabaseUrl,
    DataDir,
    Json,
    Reason,
    StoreName,
    context_of,
    settings_of,
)
from storecredit.cli.problems import Failed, Misused

if TYPE_CHECKING:
    from storecredit.billing.assembly import Billing
    from storecredit.billing.top_ups import TopUp


def add_to(app: typer.Typer) -> None:
    """Make it one of `storecredit store`'s commands."""
    app.command("top-up")(top_up)


def top_up(
    store: StoreName,
    threshold: Annotated[
        int | None,
        typer.Option(
            "--threshold", min=0, max=CREDITS_MAX, help="Buy at a balance of so many or fewer."
        ),
    ] = None,
    credits: Annotated[
        int | None, typer.Option("--credits", min=1, max=CREDITS_MAX, help="Buy so many.")
    ] = None,
    max_per_day: Annotated[
        int | None,
        typer.Option(
            "--max-per-day", min=1, help="So often a day (UTC) at most: 1 unless given, up to 10."
        ),
    ] = None,
    max_per_month: Annotated[
        int | None,
        typer.Option(
            "--max-per-month",
            min=1,
            help="So often a month (UTC) at most: 10 unless given, up to 100.",
        ),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Buy nothing more by itself.")] = False,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show whether a store buys credits through its subscription when few are left.

    --threshold and --credits switch it on, and let it go on where it is paused.
    """
    is_set = threshold is not None
    asks_for_limits = max_per_day is not None or max_per_month is not None
    if is_set != (credits is not None) or (off and is_set) or (asks_for_limits and not is_set):
        raise Misused("Give --threshold and --credits to switch it on, or --off; else it is shown.")

    async def act(rooms: Rooms, billing: "Billing") -> "TopUp":
        from storecredit.billing.top_ups import (
            DAY_DEFAULT,
            MONTH_DEFAULT,
            NotSwitchedOn,
            TopUpSettings,
        )

        store_id = await rooms.store_id(store)
        actions, context = rooms.operator.billing(billing), context_of(actor, reason)
        if off:
            return await actions.switch_top_up_off(context, store_id)
        if threshold is None or credits is None:
            return await billing.top_ups.read(store_id)
        wanted = TopUpSettings(
            threshold, credits, max_per_day or DAY_DEFAULT, max_per_month or MONTH_DEFAULT
        )
        match await actions.switch_top_up_on(context, store_id, wanted):
            case NotSwitchedOn(message, field=None):
                raise Failed(f"{message} Nothing was changed.")
            case NotSwitchedOn(message, field=field):
                option = f"--{str(field).replace('_', '-')}"
                raise Misused(f"{option}: {message} Nothing was changed.")
            case made:
                return made

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    view = _view(against_billing(settings, act))
    if not json:
        amount, currency = view.pop("amount"), view.pop("currency")
        view["price"] = None if amount is None else output.money(amount, currency)
    output.record(view, json=json)


def _view(top_up: "TopUp") -> dict[str, Any]:
    """As the operator's API shows it."""
    fields = asdict(top_up)
    settings = fields.pop("settings") or dict.fromkeys(
        ("threshold", "credits", "max_per_day", "max_per_month")
    )
    order = ("amount", "currency", "bought_today", "bought_this_month")
    return {
        "status": fields["status"],
        "pause_reason": fields["pause_reason"],
        **settings,
        **{name: fields[name] for name in order},
        "under_way": fields["is_under_way"],
        "updated_at": fields["updated_at"],
    }
