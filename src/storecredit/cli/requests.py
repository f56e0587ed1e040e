"""`storecredit request`: everything about a request, whoever's it is."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import DatabaseUrl, DataDir, Json, request_id_text, settings_of
from storecredit.cli.problems import Failed, Misused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storecredit.operator.moments import Detail, Moment
    from storecredit.operator.records import RequestsFound

app = typer.Typer(help="Requests, of stores and end users.", no_args_is_help=True)


@app.callback()
def _requests() -> None:
    pass


@app.command("show")
def show(
    identifier: Annotated[
        str,
        typer.Argument(
            metavar="REQUEST_ID",
            parser=request_id_text,
            help="Or the id of a generation, hold, checkout, webhook, key or endpoint, or what "
            "Paddle calls a transaction, subscription, adjustment or event.",
        ),
    ],
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="STORE",
            help="Only this store's, by id, name or domain; asks one account, not all. Then "
            "REQUEST_ID may be the seq of a movement, which is a grant's id.",
        ),
    ] = None,
    user_id: Annotated[UUID | None, typer.Option("--user", help="Or this end user's.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show a request's whole life on one time line, and whose it is; all rows with --json."""
    if store is not None and user_id is not None:
        raise Misused("Name --store or --user, one of the two.")

    async def act(rooms: Rooms) -> "RequestsFound":
        return await _found(rooms, identifier, store, user_id)

    found = against(
        settings_of(data_dir=data_dir, database_url=database_url), act, may_only_read=True
    )
    if json:
        output.as_json(found)
        return
    _print(found)


async def _found(
    rooms: Rooms, identifier: str, store: str | None, user_id: UUID | None
) -> "RequestsFound":
    """What the id names. Raises `Failed` where it names nothing."""
    from contextlib import closing

    from storecredit.ledger.owners import Owner
    from storecredit.operator.requests import Requests
    from storecredit.postgres.errors import StatementCancelled

    owner = None if user_id is None else Owner.user(user_id)
    if store is not None:
        owner = Owner.store(await rooms.store_id(store))
    try:
        with closing(Requests(rooms.buckets)) as requests:
            found = await requests.find(identifier, owner)
    except StatementCancelled as error:
        raise Failed(
            "Looking through all accounts took too long. Say whose the request is, with --store "
            "or --user: then one account is asked."
        ) from error
    if found.is_nothing:
        raise Failed(f"There is no request {identifier}, nor anything else of that id.")
    return found


def _print(found: "RequestsFound") -> None:
    from msgspec.structs import asdict

    from storecredit.operator.time_lines import other_moments

    for request in found.requests:
        whose = {
            "request_id": request.request_id,
            "store_id": request.store_id,
            "store_name": request.store_name,
            "user_id": request.user_id,
            "found_as": request.found_as,
        }
        output.record({name: each for name, each in whose.items() if each is not None}, json=False)
        _print_line(request.time_line)
        if request.left_out:
            output.note(f"In the middle {request.left_out} moments are left out.")
    for thing in found.things:
        output.record(asdict(thing), json=False)
    _print_line(other_moments(found))
    if found.truncated:
        output.note("There are more requests of this id: name a --store or a --user.")


def _print_line(moments: "Sequence[Moment]") -> None:
    for moment in moments:
        typer.echo("")
        what = f"{moment.title} (ahead)" if moment.is_ahead else moment.title
        typer.echo(f"{output.shown(moment.at)}  {moment.kind.value}: {output.shown(what)}")
        for detail in moment.details:
            output.indented(f"{detail.label}: {_said(detail)}")


def _said(detail: "Detail") -> str:
    if detail.number is None:
        return output.shown(detail.at or detail.text)
    if detail.currency is None:
        return f"{detail.number:,}"
    return output.money(detail.number, detail.currency)
