"""`storecredit credits remove | transfer | set-expiry`: what the operator corrects by hand."""

from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, assert_never
from uuid import uuid4

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import (
    CREDITS_MAX,
    NUMBER_MAX,
    Actor,
    DatabaseUrl,
    DataDir,
    Json,
    OwnerName,
    RequestId,
    context_of,
    description_text,
    moment_text,
    settings_of,
)
from storecredit.cli.problems import Failed, Misused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storecredit.operator.credits import Insufficient, NotDone


def reason_text(text: str) -> str:
    """Why something is done; not nothing."""
    if not text.strip():
        raise typer.BadParameter("say why, for the ledger")
    return description_text(text)


_REASON_HELP = "Why; stands in the ledger, where the owner can read it."
# A negative amount is no unknown option, but one that is out of range: that is what is to be said.
_WITH_AMOUNT = {"ignore_unknown_options": True}

Reason = Annotated[str, typer.Option("--reason", parser=reason_text, help=_REASON_HELP)]


def add_to(app: typer.Typer) -> None:
    """Put this module's commands among those of `storecredit credits`."""
    app.command("remove", context_settings=_WITH_AMOUNT)(remove)
    app.command("transfer", context_settings=_WITH_AMOUNT)(transfer)
    app.command("set-expiry")(set_expiry)


def remove(
    owner: OwnerName,
    reason: Reason,
    amount: Annotated[
        int | None, typer.Argument(metavar="AMOUNT", min=1, max=CREDITS_MAX, help="How many.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All that are there, instead.")] = False,
    request_id: RequestId = None,
    actor: Actor = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Take credits out, never below zero; what is held stays."""
    if all_ is (amount is not None):
        raise Misused("Give an amount, or --all; one of the two. Nothing was removed.")
    cause = request_id or f"req_{uuid4()}"

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.operator.credits import Removed

        whose = await rooms.owner(owner)
        with _in_doubt(cause):
            outcome = await rooms.operator.credits.remove(
                context_of(actor, reason, cause), whose, amount
            )
        if not isinstance(outcome, Removed):
            raise Failed(_why_not(outcome))
        return {
            "removed": not outcome.replayed,
            "amount": outcome.amount,
            "balance": outcome.balance,
            "request_id": cause,
        }

    done = _run(act, data_dir, database_url)
    if json:
        output.as_json(done)
        return
    said = "Removed {amount}" if done["removed"] else "{amount} had been removed before"
    typer.echo(f"{said.format_map(done)}, request id {cause}.")
    typer.echo(f"The balance is {done['balance']}.")


def transfer(
    source: Annotated[
        str,
        typer.Argument(metavar="FROM", help="A store or end user, named as for `credits remove`."),
    ],
    target: Annotated[str, typer.Argument(metavar="TO", help="Likewise.")],
    amount: Annotated[
        int, typer.Argument(metavar="AMOUNT", min=1, max=CREDITS_MAX, help="How many.")
    ],
    reason: Reason,
    request_id: RequestId = None,
    actor: Actor = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Hand credits of one store or end user to another: both movements or neither."""
    cause = request_id or f"req_{uuid4()}"

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.operator.credits import Transferred

        giver, taker = await rooms.owner(source), await rooms.owner(target)
        with _in_doubt(cause):
            outcome = await rooms.operator.credits.transfer(
                context_of(actor, reason, cause), giver, taker, amount
            )
        if not isinstance(outcome, Transferred):
            raise Failed(_why_not(outcome))
        return {
            "transferred": not outcome.replayed,
            "amount": outcome.amount,
            "from_balance": outcome.from_balance,
            "to_balance": outcome.to_balance,
            "request_id": cause,
        }

    done = _run(act, data_dir, database_url)
    if json:
        output.as_json(done)
        return
    said = "Transferred {amount}" if done["transferred"] else "{amount} had been transferred before"
    typer.echo(f"{said.format_map(done)}, request id {cause}.")
    typer.echo("The balances are {from_balance} and {to_balance}.".format_map(done))


def set_expiry(
    owner: OwnerName,
    grant: Annotated[
        int,
        typer.Argument(
            metavar="GRANT",
            min=1,
            max=NUMBER_MAX,
            help="Its grant_id; `credits grants` lists them.",
        ),
    ],
    expires_at: Annotated[
        datetime | None,
        typer.Option(
            "--expires-at",
            parser=moment_text,
            metavar="TIME",
            help="2027-01-31 (its first moment, UTC) or 2027-01-31T10:30+01:00.",
        ),
    ] = None,
    never: Annotated[bool, typer.Option("--never", help="It does not end any more.")] = False,
    reason: Annotated[
        str, typer.Option("--reason", parser=description_text, help=_REASON_HELP)
    ] = "",
    actor: Actor = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Let what is left of a grant end at another time, or never."""
    if never is (expires_at is not None):
        raise Misused("Give --expires-at or --never, one of the two. Nothing was changed.")

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.operator.credits import NotDone

        outcome = await rooms.operator.credits.set_expiry(
            context_of(actor, reason), await rooms.owner(owner), grant, expires_at
        )
        if isinstance(outcome, NotDone):
            raise Failed(_why_not(outcome))
        return {
            "grant_id": outcome.seq,
            "credits": outcome.credits,
            "expires_at": outcome.expires_at,
        }

    output.record(_run(act, data_dir, database_url), json=json)


def _run(
    act: Callable[[Rooms], Awaitable[dict[str, Any]]], data_dir: Any, database_url: str | None
) -> dict[str, Any]:
    return against(settings_of(data_dir=data_dir, database_url=database_url), act)


@contextmanager
def _in_doubt(request_id: str) -> "Iterator[None]":
    """Say how to repeat what may have been done, where the database gave no answer."""
    from storecredit.postgres.errors import DatabaseUnavailable

    try:
        yield
    except DatabaseUnavailable as error:
        raise Failed(
            f"{error}. It is not known whether it was done: repeat the command with "
            f"--request-id {request_id}, which does it at most once."
        ) from error


def _why_not(outcome: "Insufficient | NotDone") -> str:
    from storecredit.operator.credits import Insufficient, NotDone

    match outcome:
        case Insufficient(balance, _):
            return f"There are {balance} credits. Nothing was done."
        case NotDone.CONFLICT:
            return "This request id did something else before. Nothing was done now."
        case NotDone.SAME_OWNER:
            return "These are the same owner. Nothing was done."
        case NotDone.UNKNOWN_OWNER:
            return "There is no such store or end user any more. Nothing was done."
        case NotDone.PAST:
            return "That time is past. Nothing was changed."
        case NotDone.NOT_FOUND:
            return "There is no such grant; `storecredit credits grants` lists them."
        case NotDone.ENDED:
            return "Nothing is left of that grant: used up, ended, or another took its place."
        case _:
            assert_never(outcome)
