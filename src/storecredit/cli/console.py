"""`storecredit console`: a link that signs in to the operator's console, once."""

from typing import TYPE_CHECKING, Any

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.demo import address_of_service
from storecredit.cli.options import Actor, DatabaseUrl, DataDir, Json, actor_of, settings_of

if TYPE_CHECKING:
    from storecredit.operator.sign_ins import Link


def add_to(app: typer.Typer) -> None:
    """Put this module's command into the command line."""
    app.command("console")(console)


def console(
    actor: Actor = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Print a link that signs in to the console: once, and within fifteen minutes."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)

    async def act(rooms: Rooms) -> dict[str, Any]:
        link = await rooms.operator.sign_ins.console_link(actor_of(actor))
        url = address_of_service(settings)
        return {"url": address_of(url, link), "expires_at": link.expires_at}

    made = against(settings, act)
    if json:
        output.as_json(made)
        return
    typer.echo(made["url"])
    output.note(f"It signs in once, until {output.shown(made['expires_at'])}.")


def address_of(url: str, link: "Link") -> str:
    """Where a link leads, at a service that is reached under `url`."""
    return f"{url.rstrip('/')}/console/sign-in/{link.code}"
