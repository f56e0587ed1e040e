"""`storecredit store portal-link`: let somebody into a store's portal."""

from datetime import timedelta
from typing import Annotated, Any, Final

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.demo import address_of_service
from storecredit.cli.options import (
    Actor,
    DatabaseUrl,
    DataDir,
    Json,
    Reason,
    StoreName,
    context_of,
    duration,
    settings_of,
)
from storecredit.cli.problems import Failed

DAY: Final = timedelta(days=1)


def short_duration(text: str) -> timedelta:
    """A length of time of at most a day."""
    length = duration(text)
    if length > DAY:
        raise typer.BadParameter("at most 24h")
    return length


def add_to(app: typer.Typer) -> None:
    """Make it one of `storecredit store`'s commands."""
    app.command("portal-link")(portal_link)


def portal_link(
    store: StoreName,
    expires_in: Annotated[
        timedelta | None,
        typer.Option(
            "--expires-in",
            parser=short_duration,
            metavar="TIME",
            help="How long the link can be used: 10m, 2h; at most 24h.",
            show_default="5m",
        ),
    ] = None,
    sign_in_for: Annotated[
        timedelta | None,
        typer.Option(
            "--sign-in-for",
            parser=short_duration,
            metavar="TIME",
            help="How long whoever uses it stays signed in; at most 24h.",
            show_default="1h",
        ),
    ] = None,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Print a link that signs one browser in to a store's portal, once."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.operator.sign_ins import LINK_SECONDS, PORTAL_SECONDS

        found = await rooms.store(store)
        link = await rooms.operator.portal_links.give_out(
            context_of(actor, reason),
            found,
            None,
            seconds=_seconds(sign_in_for, PORTAL_SECONDS),
            link_seconds=_seconds(expires_in, LINK_SECONDS),
        )
        if link is None:
            raise Failed(
                f"{found.name} is suspended, so nobody is let into its portal. "
                "`storecredit store resume` lets it in again."
            )
        base = address_of_service(settings)
        return {
            "store_id": found.store_id,
            "url": base.rstrip("/") + link.path,
            "expires_at": link.expires_at,
        }

    output.record(against(settings, act), json=json)
    output.note("It works once, and whoever has it can use it.")


def _seconds(length: timedelta | None, usual: int) -> int:
    return usual if length is None else int(length.total_seconds())
