"""`storecredit billing problems`, `retry`, `dismiss`: what billing could not settle by itself.

`billing_booking` has the command that books it by hand.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against_billing
from storecredit.cli.options import (
    Actor,
    DatabaseUrl,
    DataDir,
    Json,
    Reason,
    context_of,
    settings_of,
)
from storecredit.cli.problems import Failed

if TYPE_CHECKING:
    from storecredit.billing.assembly import Billing
    from storecredit.billing.problems import Found, ShortClawback

EVENT_COLUMNS = (
    *("event_id", "event_type", "status", "attempts", "received_at", "transactions", "reason"),
)
CLAWBACK_COLUMNS = ("adjustment_id", "owner", "credits", "taken", "action", "created_at")
BILL_COLUMNS = ("store_id", "for", "credits", "price", "attempts", "last_error")
OWNER_KINDS: Final = ("store", "user")


def add_to(app: typer.Typer) -> None:
    """Put this module's commands into the command line."""
    for command in (problems, retry, dismiss):
        app.command(command.__name__)(command)


def problems(
    data_dir: DataDir = None, database_url: DatabaseUrl = None, json: Json = False
) -> None:
    """List what billing could not settle by itself: events, clawbacks, bills."""

    async def act(_rooms: Rooms, billing: "Billing") -> "Found":
        return await billing.problems.find()

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    found = against_billing(settings, act)
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
    owner = clawback.owner
    del fields["owner"]
    ids = {f"{kind}_id": owner.id if owner.kind == kind else None for kind in OWNER_KINDS}
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
            "for": bill.kind.value if bill.period is None else f"overage {bill.period:%Y-%m}",
            "price": output.money(bill.amount, bill.currency),
        }
        for bill in found.bills.items
    ]
    for title, columns, items in (
        (
            "Events of Paddle's for which nothing was booked:",
            EVENT_COLUMNS,
            [
                {**asdict(event), "transactions": ", ".join(event.transaction_ids)}
                for event in found.events.items
            ],
        ),
        ("Credits that could not be taken back:", CLAWBACK_COLUMNS, clawbacks),
        ("Overage and top-ups that could not be charged so far:", BILL_COLUMNS, bills),
    ):
        if items:
            typer.echo(title)
            output.table(columns, items)
    if _is_truncated(found):
        output.note("There is more than is listed.")


def retry(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="As `problems` lists it.")],
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Look again at an event that was set aside, and all of the same problem; the worker does."""

    async def act(rooms: Rooms, billing: "Billing") -> dict[str, Any]:
        context = context_of(actor, reason)
        if not await rooms.operator.billing(billing).retry_event(context, event_id):
            raise Failed(
                f"There is no event {event_id} that was set aside and can be looked at again; one "
                "that is failing is tried again by itself. `storecredit billing problems` lists "
                "both."
            )
        return {"event_id": event_id, "retried": True}

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against_billing(settings, act), json=json)


def dismiss(
    problem_id: Annotated[
        str,
        typer.Argument(
            metavar="PROBLEM_ID", help="An event's or adjustment's, as `problems` lists it."
        ),
    ],
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show an event (all of the same problem) or clawback no longer; no credits move."""

    async def act(rooms: Rooms, billing: "Billing") -> dict[str, Any]:
        context = context_of(actor, reason)
        if not await rooms.operator.billing(billing).dismiss(context, problem_id):
            raise Failed(
                f"There is no problem {problem_id} that can be dismissed: an event that was set "
                "aside or an adjustment. `storecredit billing problems` lists them."
            )
        return {"problem_id": problem_id, "dismissed": True}

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against_billing(settings, act), json=json)
