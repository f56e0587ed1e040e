"""`storecredit billing book`: add credits by hand for what was paid at Paddle."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, assert_never
from uuid import UUID

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
    context_of,
    description_text,
    settings_of,
)
from storecredit.cli.problems import Failed, Misused

if TYPE_CHECKING:
    from storecredit.billing.assembly import Billing
    from storecredit.billing.bookings import Booked, NotBooked
    from storecredit.ledger.owners import Owner
    from storecredit.operator.audit import ActionContext
    from storecredit.operator.billing import BillingActions


def add_to(app: typer.Typer) -> None:
    """Put this module's command into the command line."""
    app.command(book.__name__)(book)


def book(
    transaction_id: Annotated[
        str,
        typer.Argument(
            metavar="TRANSACTION",
            help="Paddle's id of the transaction; `storecredit billing problems` lists it.",
        ),
    ],
    credits: Annotated[
        int, typer.Option("--credits", min=1, max=CREDITS_MAX, help="How many to add for it.")
    ],
    description: Annotated[
        str, typer.Option("--description", parser=description_text, help="Stands in the ledger.")
    ] = "",
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="STORE",
            help="Who gets them, by id, name or domain, where no checkout or subscription says so.",
        ),
    ] = None,
    user_id: Annotated[UUID | None, typer.Option("--user", help="Or which end user.")] = None,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Add credits for what was paid at Paddle and fits no plan or checkout; repeated, only once.

    The price is what Paddle says was paid, so that a refund takes its share of the credits back.
    """
    if store is not None and user_id is not None:
        raise Misused("Name --store or --user, one of the two. Nothing was booked.")

    async def act(rooms: Rooms, billing: "Billing") -> "Booked":
        store_id = None if store is None else await _store_id(rooms, store)
        owner = _owner(store_id, user_id)
        return await _booked(
            rooms.operator.billing(billing),
            context_of(actor, reason),
            transaction_id,
            credits,
            description,
            owner,
        )

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    booked = against_billing(settings, act)
    view = _booking_view(booked)
    if not json:
        view["price"] = output.money(view.pop("amount"), view.pop("currency"))
    output.record(view, json=json)
    if booked.replayed:
        output.note("It had been booked like this before; nothing was added.")


async def _store_id(rooms: Rooms, store: str) -> UUID:
    try:
        return await rooms.store_id(store)
    except Failed as unknown:
        raise Failed(f"{unknown} Nothing was booked.") from unknown


async def _booked(
    billing: "BillingActions",
    context: "ActionContext",
    transaction_id: str,
    credits: int,
    description: str,
    owner: "Owner | None",
) -> "Booked":
    """The booking, now or before. Raises `Failed`."""
    from storecredit.billing.bookings import BOOKED_BY_HAND, NotBooked
    from storecredit.billing.paddle.gateway import PaddleRefused, PaddleUnavailable

    try:
        outcome = await billing.book(
            context, transaction_id, credits, description or BOOKED_BY_HAND, owner
        )
    except PaddleUnavailable as error:
        raise Failed(
            f"{str(error).rstrip('.')}. Nothing was booked: repeat the command."
        ) from error
    except PaddleRefused as error:
        raise Failed(f"Paddle refuses: {str(error).rstrip('.')}. Nothing was booked.") from error
    if isinstance(outcome, NotBooked):
        raise Failed(f"{_why(outcome)} Nothing was booked.")
    return outcome


def _owner(store_id: UUID | None, user_id: UUID | None) -> "Owner | None":
    from storecredit.ledger.owners import Owner

    if store_id is not None:
        return Owner.store(store_id)
    return None if user_id is None else Owner.user(user_id)


def _why(reason: "NotBooked") -> str:
    from storecredit.billing.bookings import NotBooked

    match reason:
        case NotBooked.UNKNOWN_TRANSACTION:
            return "Paddle has no such transaction, or it does not say what was paid."
        case NotBooked.NOT_ASKED:
            return (
                "No event of that transaction was kept, and Paddle cannot be asked: billing is "
                "off. Set STORECREDIT_PADDLE_API_KEY and STORECREDIT_PADDLE_WEBHOOK_SECRET."
            )
        case NotBooked.NOT_COMPLETED:
            return "The transaction is not completed: nothing was paid."
        case NotBooked.ALREADY_BOOKED | NotBooked.CONFLICT:
            return "The transaction has been booked, for other credits than these."
        case NotBooked.OTHER_OWNER:
            return "The transaction is another store's or user's."
        case NotBooked.UNKNOWN_OWNER:
            return (
                "No record says whose the transaction is: name a --store or --user that is known."
            )
        case _:
            assert_never(reason)


def _booking_view(booked: "Booked") -> dict[str, Any]:
    """A booking as the operator's API shows it."""
    fields = asdict(booked)
    owner = booked.owner
    del fields["owner"], fields["replayed"]
    ids = {f"{kind}_id": owner.id if owner.kind == kind else None for kind in ("store", "user")}
    return {"transaction_id": fields.pop("transaction_id"), **ids, **fields}
