"""`storecredit request`: everything about a request, whoever's it is."""

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import DatabaseUrl, DataDir, Json, request_id_text, settings_of
from storecredit.cli.problems import Failed, Misused

if TYPE_CHECKING:
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
            help="Or the id of a generation, hold or checkout, or what Paddle calls a transaction, "
            "subscription, adjustment or event.",
        ),
    ],
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="STORE",
            help="Only this store's, by id, name or domain; asks one account, not all.",
        ),
    ] = None,
    user_id: Annotated[UUID | None, typer.Option("--user", help="Or this end user's.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show a request: its movements, generation, job, sales and webhooks, and whose it is."""
    if store is not None and user_id is not None:
        raise Misused("Name --store or --user, one of the two.")

    async def act(rooms: Rooms) -> "RequestsFound":
        return await _found(rooms, identifier, store, user_id)

    found = against(settings_of(data_dir=data_dir, database_url=database_url), act)
    if json:
        output.as_json(found)
        return
    _print(found)


async def _found(
    rooms: Rooms, identifier: str, store: str | None, user_id: UUID | None
) -> "RequestsFound":
    """What the id names. Raises `Failed` where it names nothing."""
    from storecredit.ledger.owners import Owner
    from storecredit.operator.requests import Requests
    from storecredit.postgres.errors import StatementCancelled

    owner = None if user_id is None else Owner.user(user_id)
    if store is not None:
        owner = Owner.store(await rooms.store_id(store))
    try:
        found = await Requests(rooms.database).find(identifier, owner)
    except StatementCancelled as error:
        raise Failed(
            "Looking through all accounts took too long. Say whose the request is, with --store "
            "or --user: then one account is asked."
        ) from error
    if not (found.requests or found.events):
        raise Failed(f"There is no request {identifier}, nor anything else of that id.")
    return found


def _print(found: "RequestsFound") -> None:
    from msgspec.structs import asdict

    for request in found.requests:
        fields = asdict(request)
        parts = {name: rows for name, rows in fields.items() if isinstance(rows, list)}
        head = {name: value for name, value in fields.items() if name not in parts}
        output.record(
            {name: value for name, value in head.items() if value is not None}, json=False
        )
        for name, rows in parts.items():
            _print_rows(name, [_flat(asdict(row)) for row in rows])
    _print_rows("events of no request", [_flat(asdict(event)) for event in found.events])
    if found.truncated:
        output.note("There are more requests of this id: name a --store or a --user.")


def _print_rows(name: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        typer.echo(f"\n{name.replace('_', ' ')}")
        output.table([field for field in rows[0] if _says_something(field, rows)], rows)


def _says_something(field: str, rows: list[dict[str, Any]]) -> bool:
    """Whether people are shown this column: not where it is empty, or a total still nothing."""
    is_total = field.endswith("_after") and field != "balance_after"
    nothing = (None, "", 0) if is_total else (None, "")
    return any(row[field] not in nothing for row in rows)


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    """A row for the table: of a job only whether it waits or is worked on."""
    return {**fields, "job": fields["job"] and fields["job"].status} if "job" in fields else fields
