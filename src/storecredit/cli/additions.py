"""Adding credits on the command line, to a store or an end user alike."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, assert_never
from uuid import uuid4

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms
from storecredit.cli.options import (
    PRIORITY_MAX,
    context_of,
    description_text,
    duration,
    moment_text,
)
from storecredit.cli.problems import Failed, Misused, unknown_owner

if TYPE_CHECKING:
    from storecredit.ledger.owners import Owner
    from storecredit.operator.audit import ActionContext

# As ledger.outcomes lists them; named here so that `--help` does not load the ledger.
AdditionName = Literal["grant", "purchase", "subscription"]
KindName = Literal["paid", "promo"]

Description = Annotated[
    str, typer.Option("--description", parser=description_text, help="Stands in the ledger.")
]
ExpiresAt = Annotated[
    datetime | None,
    typer.Option(
        "--expires-at",
        parser=moment_text,
        metavar="TIME",
        help="From then on what is left of them cannot be spent: 2027-01-31 (its first moment, "
        "UTC) or 2027-01-31T10:30+01:00.",
        show_default="never",
    ),
]
ExpiresIn = Annotated[
    timedelta | None,
    typer.Option(
        "--expires-in",
        parser=duration,
        metavar="TIME",
        help="The same, from now: 30d, 12h, 90m or 2w.",
        show_default="never",
    ),
]
Kind = Annotated[
    KindName | None,
    typer.Option(
        "--kind",
        help="Of what is alike else, promo is spent first.",
        show_default="promo for a grant, else paid",
    ),
]
Priority = Annotated[
    int | None,
    typer.Option(
        "--priority",
        min=0,
        max=PRIORITY_MAX,
        help="The lower number is spent first.",
        show_default="100",
    ),
]


@dataclass(frozen=True, slots=True)
class Addition:
    """What is to be added, by which request and whom, on which terms (`ledger.grants.Terms`)."""

    amount: int
    type: AdditionName
    request_id: str
    description: str
    expires_at: datetime | None
    expires_in: timedelta | None
    kind: KindName | None
    priority: int | None
    context: "ActionContext"


def addition_of(
    amount: int,
    type_: AdditionName,
    request_id: str | None,
    description: str,
    expires_at: datetime | None,
    expires_in: timedelta | None,
    kind: KindName | None,
    priority: int | None,
    actor: str | None,
    reason: str,
) -> Addition:
    """What a command's arguments ask for. Raises `Misused` where they contradict each other."""
    if expires_at is not None and expires_in is not None:
        raise Misused("Give --expires-at or --expires-in, not both. Nothing was added.")
    cause = request_id or f"req_{uuid4()}"
    return Addition(
        amount,
        type_,
        cause,
        description,
        expires_at,
        expires_in,
        kind,
        priority,
        context_of(actor, reason, cause),
    )


def show_added(outcome: dict[str, Any], addition: Addition, *, json: bool) -> None:
    """Print what came of adding credits."""
    if json:
        output.as_json(outcome)
    elif outcome["added"]:
        noun = "credit" if addition.amount == 1 else "credits"
        typer.echo(
            f"Added {addition.amount} {noun} ({addition.type}), request id {addition.request_id}."
        )
        typer.echo(f"The balance is {outcome['balance']}.")
    else:
        typer.echo(f"The request id {addition.request_id} had already added them: nothing changed.")
        typer.echo(f"The balance is {outcome['balance']}.")


async def added(rooms: Rooms, owner: "Owner", addition: Addition) -> dict[str, Any]:
    """Add credits to a store or an end user; what the operator's API answers."""
    is_new = await _added(rooms, owner, addition)
    balance = (await rooms.credits.balance(owner)).balance
    return {"added": is_new, "balance": balance, "request_id": addition.request_id}


async def _added(rooms: Rooms, owner: "Owner", addition: Addition) -> bool:
    """Whether credits were added now; false: this request had added them before."""
    from storecredit.ledger import outcomes
    from storecredit.ledger.grants import GrantKind, Terms
    from storecredit.postgres.errors import DatabaseUnavailable

    try:
        outcome = await rooms.operator.credits.add(
            addition.context,
            owner,
            addition.amount,
            outcomes.AdditionType(addition.type),
            addition.description,
            Terms(
                addition.expires_at,
                addition.expires_in,
                GrantKind(addition.kind) if addition.kind else None,
                addition.priority,
            ),
        )
    except DatabaseUnavailable as error:
        raise Failed(
            f"{error}. It is not known whether the credits were added: repeat the command with "
            f"--request-id {addition.request_id}, which adds them at most once."
        ) from error
    match outcome:
        case outcomes.Addition.ADDED:
            return True
        case outcomes.Addition.ALREADY_ADDED:
            return False
        case outcomes.Addition.CONFLICT:
            raise Failed(
                f"The request id {addition.request_id} added another amount or type, or with other "
                "terms, before. Nothing was added now."
            )
        case outcomes.Addition.EXPIRED:
            raise Misused("--expires-at is past: nobody could spend them. Nothing was added.")
        case outcomes.Addition.TOO_MANY_GRANTS:
            raise Failed(
                f"This {owner.kind.value} has credits of as many additions with an expiry or a "
                "priority as can be kept apart. Nothing was added: add them without, or once some "
                "are used up."
            )
        case outcomes.Addition.UNKNOWN_OWNER:
            raise unknown_owner(owner)
        case _:
            assert_never(outcome)
