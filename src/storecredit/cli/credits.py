"""`storecredit credits`: add credits to a store, and read its balance and its ledger."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from storecredit.cli import output
from storecredit.cli.additions import (
    AdditionName,
    Description,
    ExpiresAt,
    ExpiresIn,
    Kind,
    Priority,
    added,
    addition_of,
    show_added,
)
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import (
    CREDITS_MAX,
    NUMBER_MAX,
    PAGE_DEFAULT,
    Actor,
    BeforeSeq,
    DatabaseUrl,
    DataDir,
    Json,
    Limit,
    OfRequest,
    OwnerName,
    Reason,
    RequestId,
    StoreName,
    settings_of,
)

if TYPE_CHECKING:
    from storecredit.ledger.owners import Owner

GRANT_COLUMNS = (
    *("grant_id", "remaining", "amount", "kind", "priority", "expires_at", "type", "request_id"),
)
COLUMNS = (
    *("seq", "created_at", "type", "amount", "balance_after", "request_id", "description", "actor"),
)

# As ledger.outcomes lists them; named here so that `--help` does not load the ledger.
MovementName = Literal[
    "deduction",
    "refund",
    "purchase",
    "subscription",
    "grant",
    "clawback",
    "overage",
    "overage_refund",
    "overage_credit",
    "overage_bill",
    "hold",
    "capture",
    "release",
    "hold_expiry",
    "expiry",
    "rollover",
    "reissue",
    "removal",
    "transfer_out",
    "transfer_in",
]

app = typer.Typer(help="Credits, which stores spend.", no_args_is_help=True)


# A negative amount is no unknown option, but one that is out of range: that is what is to be said.
@app.command("add", context_settings={"ignore_unknown_options": True})
def add(
    store: StoreName,
    amount: Annotated[
        int,
        typer.Argument(
            metavar="AMOUNT",
            min=1,
            max=CREDITS_MAX,
            help="How many credits; `credits remove` takes some out.",
        ),
    ],
    type_: Annotated[AdditionName, typer.Option("--type", help="How they come in.")] = "grant",
    request_id: RequestId = None,
    description: Description = "",
    expires_at: ExpiresAt = None,
    expires_in: ExpiresIn = None,
    kind: Kind = None,
    priority: Priority = None,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Add credits to a store, once per request id."""
    addition = addition_of(
        amount,
        type_,
        request_id,
        description,
        expires_at,
        expires_in,
        kind,
        priority,
        actor,
        reason,
    )

    async def act(rooms: Rooms) -> dict[str, Any]:
        return await added(rooms, await rooms.store_owner(store), addition)

    outcome = against(settings_of(data_dir=data_dir, database_url=database_url), act)
    show_added(outcome, addition, json=json)


@app.command("balance")
def balance(
    store: StoreName,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show what a store has, was given, has spent (deductions less refunds) and used beyond it."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        return {**await rooms.balance(await rooms.store_id(store))}

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


@app.command("grants")
def grants(
    owner: OwnerName,
    limit: Limit = PAGE_DEFAULT,
    cursor: Annotated[
        int | None, typer.Option("--cursor", min=1, max=NUMBER_MAX, help="Go on after this grant.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show what remains of each addition of credits, in the order in which they are spent."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.ledger.grants import Grants

        account_id = await rooms.credits.account_id(await rooms.owner(owner))
        found = await Grants(rooms.buckets).list(account_id, limit=limit, after=cursor)
        items = [asdict(grant) for grant in found.items]
        return {
            "items": [{"grant_id": item.pop("seq"), **item} for item in items],
            "next_cursor": str(found.next_after) if found.next_after else None,
        }

    found = against(
        settings_of(data_dir=data_dir, database_url=database_url), act, may_only_read=True
    )
    nothing = "There are no credits left."
    output.listing(found, GRANT_COLUMNS, nothing=nothing, json=json)


@app.command("history")
def history(
    store: StoreName,
    limit: Limit = PAGE_DEFAULT,
    type_: Annotated[
        MovementName | None, typer.Option("--type", help="Only movements of this type.")
    ] = None,
    request_id: OfRequest = None,
    cursor: BeforeSeq = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show a store's ledger, newest first."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        owner = await rooms.store_owner(store)
        return await history_page(rooms, owner, type_, request_id, limit, cursor)

    found = against(
        settings_of(data_dir=data_dir, database_url=database_url), act, may_only_read=True
    )
    show_history(found, json=json)


async def history_page(
    rooms: Rooms,
    owner: "Owner",
    type_: str | None,
    request_id: str | None,
    limit: int,
    cursor: int | None,
) -> dict[str, Any]:
    """A page of a ledger, as the operator's API answers it."""
    from storecredit.ledger.credits import MovementFilter
    from storecredit.ledger.outcomes import MovementType

    wanted = MovementFilter(MovementType(type_) if type_ else None, request_id)
    found = await rooms.credits.movements(owner, wanted, limit=limit, before_seq=cursor)
    return {
        "items": [asdict(movement) for movement in found.items],
        "next_cursor": str(found.next_before_seq) if found.next_before_seq else None,
    }


def show_history(found: dict[str, Any], *, json: bool) -> None:
    """Print a page of a ledger."""
    nothing = "There are no such movements."
    output.listing(found, COLUMNS, nothing=nothing, json=json)
