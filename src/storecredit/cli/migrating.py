"""`storecredit migrate`: brings the database to this version, and makes further buckets."""

import asyncio
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from storecredit.cli import output
from storecredit.cli.database import a_moment, quiet
from storecredit.cli.options import DatabaseUrl, DataDir, Json, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storecredit.postgres.schema.migrate import Migrated
    from storecredit.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Put this module's command into the command line."""
    app.command("migrate")(migrate)


def migrate(
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    interface: Annotated[
        str | None,
        typer.Option(
            "--interface",
            metavar="SCHEMA",
            help="Where the views and functions for other programs are to be; `none`: nowhere.",
            show_default="where they are; at first public, if their names are free there",
        ),
    ] = None,
    buckets: Annotated[
        int | None,
        typer.Option(
            "--buckets",
            min=1,
            help="How many buckets of owners there are to be: never fewer than there are.",
            show_default="as many as there are; at first 1",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Bring the database to this version; changes nothing when it is."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    quiet(settings)
    migrated = asyncio.run(_migrate(settings, interface, buckets))
    if json:
        output.as_json(asdict(migrated))
        return
    for sentence in _done_by(migrated):
        typer.echo(sentence)


def _done_by(migrated: "Migrated") -> "Iterator[str]":
    """What a migration did, in sentences."""
    if not migrated.changed:
        yield "The database was up to date: nothing was to do."
    elif migrated.applied:
        yield f"Applied {', '.join(migrated.applied)}, functions and privileges."
    else:
        yield "No migration was to be applied; functions and privileges were renewed."
    yield from migrated.renewed
    yield from migrated.notes
    if not migrated.changed:
        return
    now, before = migrated.interface, migrated.interface_before
    if now is not None:
        yield f"Views and functions for other programs are in the schema {now}."
    if before not in (now, None):
        if now is None:
            yield "Views and functions for other programs are nowhere now."
        yield (
            f"They were in the schema {before}, which stays, without them: whoever calls them "
            "there is refused from now on."
        )


async def _migrate(settings: "Settings", interface: str | None, buckets: int | None) -> "Migrated":
    from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
    from storecredit.postgres.opening import once_there
    from storecredit.postgres.schema.migrate import migrate as migrate_database

    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        migrating = partial(migrate_database, url, interface_schema=interface, buckets=buckets)
        return await once_there(migrating, a_moment(), is_quick=False)
    postgres = EmbeddedPostgres(settings.data_dir)
    await postgres.start()
    try:
        return await migrate_database(
            postgres.admin_url, interface_schema=interface, app_may_login=True, buckets=buckets
        )
    finally:
        await postgres.stop()
