"""`storecredit psql`: PostgreSQL's own terminal, on the service's database."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer

from storecredit.cli.database import quiet
from storecredit.cli.options import DatabaseUrl, DataDir, settings_of

if TYPE_CHECKING:
    from storecredit.settings import Settings

PASSED_ON: Final = {"allow_extra_args": True, "ignore_unknown_options": True}
"""What this command does not know is for psql."""


def add_to(app: typer.Typer) -> None:
    """Put this module's command into the command line."""
    app.command("psql", context_settings=PASSED_ON)(psql)


def psql(
    context: typer.Context,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    admin: Annotated[
        bool,
        typer.Option(
            "--admin", help="As the owner of the database, who may change and break everything."
        ),
    ] = False,
    bucket: Annotated[
        int,
        typer.Option("--bucket", min=0, help="Whose tables are found without a schema's name."),
    ] = 0,
) -> None:
    """Open psql on the database, to look at it: as the service's role, and read-only.

    Further arguments are psql's own: `storecredit psql -c 'TABLE stores'`.
    """
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    quiet(settings)
    status = asyncio.run(_run(settings, context.args, admin=admin, bucket=bucket))
    raise typer.Exit(status)


async def _run(settings: "Settings", arguments: list[str], *, admin: bool, bucket: int) -> int:
    from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
    from storecredit.postgres.programs.terminal import run_psql

    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        return await run_psql(url, arguments, read_only=not admin, bucket=bucket)
    postgres = EmbeddedPostgres(settings.data_dir)
    await postgres.start(create=False)
    try:
        url = postgres.admin_url if admin else postgres.app_url
        return await run_psql(url, arguments, read_only=not admin, bucket=bucket)
    finally:
        await postgres.stop()
