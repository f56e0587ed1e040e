"""`storecredit token`: tokens of operators, made, listed and revoked."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import (
    Actor,
    DatabaseUrl,
    DataDir,
    Json,
    Reason,
    actor_text,
    context_of,
    duration,
    settings_of,
)
from storecredit.cli.problems import Failed, Misused

if TYPE_CHECKING:
    from storecredit.operator.tokens import AdminToken

COLUMNS = ("token_id", "name", "token_start", "scopes", "expires_at", "revoked_at")
SHOWN_ONCE = "This is the only time the token is shown: keep it now."


def scope_text(text: str) -> str:
    """What may be done with a token."""
    from storecredit.operator.tokens import Scope

    if text not in tuple(Scope):
        raise typer.BadParameter(f"there is no such scope; there are {', '.join(Scope)}")
    return text


app = typer.Typer(
    help="Tokens of operators, for the console and the API below /api/admin.", no_args_is_help=True
)


@app.command("create")
def create(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            parser=actor_text,
            help="Whose it is, as the audit log names them; never given again.",
        ),
    ],
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope",
            parser=scope_text,
            metavar="SCOPE",
            help="What may be done with it; repeatable. read: look. credits: add, remove, hand "
            "over, spend, hold. keys: of stores. all: everything, tokens too.",
        ),
    ],
    expires_in: Annotated[
        timedelta | None,
        typer.Option(
            "--expires-in",
            parser=duration,
            metavar="TIME",
            help="How long it works: 90d, 12h, 30m or 2w.",
            show_default="until it is revoked",
        ),
    ] = None,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Give an operator a token, which is shown this once."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.operator.tokens import NameTaken, Scope

        expires_at = None if expires_in is None else datetime.now(UTC) + expires_in
        try:
            made = await rooms.operator.tokens.create(
                context_of(actor, reason), name, frozenset(map(Scope, scope)), expires_at
            )
        except NameTaken as error:
            raise Failed(
                f"Another token has the name {name}, or had it: the audit log tells them apart by "
                "it. Nothing was made."
            ) from error
        except ValueError as error:
            raise Misused(f"{error}. Nothing was made.") from error
        return {**_view(made.admin_token), "token": made.token}

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act, create=True), json=json)
    output.note(SHOWN_ONCE)


@app.command("list")
def list_tokens(
    data_dir: DataDir = None, database_url: DatabaseUrl = None, json: Json = False
) -> None:
    """List the newest tokens, those that stopped working included."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        return {"items": [_view(token) for token in await rooms.operator.tokens.list()]}

    found = against(settings_of(data_dir=data_dir, database_url=database_url), act)
    nothing = "There are no tokens. `storecredit token create` makes one."
    output.listing(found, COLUMNS, nothing=nothing, json=json)


@app.command("revoke")
def revoke(
    token: Annotated[str, typer.Argument(metavar="NAME", help="The token, by its name or id.")],
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Stop a token at once, for ever."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        found = await rooms.operator.tokens.named(token)
        if found is None:
            raise Failed(
                f"There is no token {output.shown(token)}. `storecredit token list` lists them."
            )
        await rooms.operator.tokens.revoke(context_of(actor, reason), found.token_id)
        return {"token_id": found.token_id, "name": found.name, "revoked": True}

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


def _view(token: "AdminToken") -> dict[str, Any]:
    """A token as the operator's API shows it."""
    return {
        "token_id": token.token_id,
        "name": token.name,
        "token_start": token.token_start,
        "scopes": sorted(token.scopes),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
    }
