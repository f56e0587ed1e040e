"""`storecredit credits`: add credits to a store, and read its balance and its ledger."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, assert_never
from uuid import uuid4

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import (
    CREDITS_MAX,
    PAGE_DEFAULT,
    PRIORITY_MAX,
    DatabaseUrl,
    DataDir,
    Json,
    Limit,
    StoreName,
    description_text,
    duration,
    moment,
    request_id_text,
    settings_of,
)
from storecredit.cli.problems import Failed, Misused, unknown_store

if TYPE_CHECKING:
    from storecredit.ledger.grants import Terms

COLUMNS = ("seq", "created_at", "type", "amount", "balance_after", "request_id", "description")

# As ledger.outcomes lists them; named here so that `--help` does not load the ledger.
AdditionName = Literal["grant", "purchase", "subscription"]
KindName = Literal["paid", "promo"]
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
            help="How many credits. No command takes credits back.",
        ),
    ],
    type_: Annotated[AdditionName, typer.Option("--type", help="How they come in.")] = "grant",
    request_id: Annotated[
        str | None,
        typer.Option(
            "--request-id",
            parser=request_id_text,
            metavar="ID",
            help="Credits are added once per id: give the same again to repeat a command safely.",
            show_default="a new one, which is printed",
        ),
    ] = None,
    description: Annotated[
        str, typer.Option("--description", parser=description_text, help="Stands in the ledger.")
    ] = "",
    expires_at: Annotated[
        datetime | None,
        typer.Option(
            "--expires-at",
            parser=moment,
            metavar="TIME",
            help="From then on what is left of them cannot be spent: 2027-01-31 (its first moment, "
            "UTC) or 2027-01-31T10:30+01:00.",
            show_default="never",
        ),
    ] = None,
    expires_in: Annotated[
        timedelta | None,
        typer.Option(
            "--expires-in",
            parser=duration,
            metavar="TIME",
            help="The same, from now: 30d, 12h, 90m or 2w.",
            show_default="never",
        ),
    ] = None,
    kind: Annotated[
        KindName | None,
        typer.Option(
            "--kind",
            help="Of what is alike else, promo is spent first.",
            show_default="promo for a grant, else paid",
        ),
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option(
            "--priority",
            min=0,
            max=PRIORITY_MAX,
            help="The lower number is spent first.",
            show_default="100",
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Add credits to a store, once per request id."""
    if expires_at is not None and expires_in is not None:
        raise Misused("Give --expires-at or --expires-in, not both. Nothing was added.")
    cause = request_id or f"req_{uuid4()}"

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.ledger.grants import GrantKind, Terms

        store_id = await rooms.store_id(store)
        terms = Terms(expires_at, expires_in, GrantKind(kind) if kind else None, priority)
        added = await _added(rooms, store_id, amount, type_, cause, description, terms)
        credits = await rooms.balance(store_id)
        return {"added": added, "balance": credits["balance"], "request_id": cause}

    outcome = against(settings_of(data_dir=data_dir, database_url=database_url), act)
    if json:
        output.as_json(outcome)
    elif outcome["added"]:
        noun = "credit" if amount == 1 else "credits"
        typer.echo(f"Added {amount} {noun} ({type_}), request id {cause}.")
        typer.echo(f"The balance is {outcome['balance']}.")
    else:
        typer.echo(f"The request id {cause} had already added them: nothing changed.")
        typer.echo(f"The balance is {outcome['balance']}.")


async def _added(
    rooms: Rooms,
    store_id: Any,
    amount: int,
    type_: AdditionName,
    request_id: str,
    description: str,
    terms: "Terms",
) -> bool:
    """Whether credits were added now; false: this request had added them before."""
    from storecredit.ledger.outcomes import Addition, AdditionType
    from storecredit.ledger.owners import Owner
    from storecredit.postgres.errors import DatabaseUnavailable

    try:
        outcome = await rooms.credits.add(
            Owner.store(store_id), amount, AdditionType(type_), request_id, description, terms
        )
    except DatabaseUnavailable as error:
        raise Failed(
            f"{error}. It is not known whether the credits were added: repeat the command with "
            f"--request-id {request_id}, which adds them at most once."
        ) from error
    match outcome:
        case Addition.ADDED:
            return True
        case Addition.ALREADY_ADDED:
            return False
        case Addition.CONFLICT:
            raise Failed(
                f"The request id {request_id} added another amount or type, or with other terms, "
                "before. Nothing was added now."
            )
        case Addition.EXPIRED:
            raise Misused("--expires-at is past: nobody could spend them. Nothing was added.")
        case Addition.TOO_MANY_GRANTS:
            raise Failed(
                "The store has credits of as many additions with an expiry or a priority as can be "
                "kept apart. Nothing was added: add them without, or once some are used up."
            )
        case Addition.UNKNOWN_OWNER:
            raise unknown_store(store_id)
        case _:
            assert_never(outcome)


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


@app.command("history")
def history(
    store: StoreName,
    limit: Limit = PAGE_DEFAULT,
    type_: Annotated[
        MovementName | None, typer.Option("--type", help="Only movements of this type.")
    ] = None,
    request_id: Annotated[
        str | None, typer.Option("--request-id", metavar="ID", help="Only those of this request.")
    ] = None,
    cursor: Annotated[
        int | None, typer.Option("--cursor", min=1, help="Go on before this seq.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show a store's ledger, newest first."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.ledger.credits import MovementFilter
        from storecredit.ledger.outcomes import MovementType
        from storecredit.ledger.owners import Owner

        store_id = await rooms.store_id(store)
        wanted = MovementFilter(MovementType(type_) if type_ else None, request_id)
        found = await rooms.credits.movements(
            Owner.store(store_id), wanted, limit=limit, before_seq=cursor
        )
        return {
            "items": [asdict(movement) for movement in found.items],
            "next_cursor": str(found.next_before_seq) if found.next_before_seq else None,
        }

    found = against(settings_of(data_dir=data_dir, database_url=database_url), act)
    if json:
        output.as_json(found)
        return
    nothing = "There are no such movements."
    output.page(found["items"], COLUMNS, nothing=nothing, next_cursor=found["next_cursor"])
