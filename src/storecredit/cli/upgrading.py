"""`storecredit upgrade-postgres`: bring the embedded database up to this release's PostgreSQL."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storecredit.cli import output
from storecredit.cli.database import quiet
from storecredit.cli.options import DataDir, Json, settings_of
from storecredit.cli.problems import FAILED, Misused

if TYPE_CHECKING:
    from storecredit.ledger.discrepancies import Report
    from storecredit.postgres.embedded.upgrade import Upgraded
    from storecredit.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Put this module's command into the command line."""
    app.command("upgrade-postgres")(upgrade_postgres)


def upgrade_postgres(
    data_dir: DataDir = None,
    old_bin: Annotated[
        Path | None,
        typer.Option(
            "--old-bin",
            help="The directory with the programs of the PostgreSQL that made the database.",
            show_default="where packages put them",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Bring the embedded database up to the PostgreSQL of this release; the old one is kept.

    For a data directory of a release with an older major version of PostgreSQL. Stop the service
    first. The old database is not changed; it is set aside once every row of the new one has been
    compared with it and the ledger has been proven.
    """
    settings = settings_of(data_dir=data_dir)
    if settings.database_url is not None:
        raise Misused(
            "STORECREDIT_DATABASE_URL names a PostgreSQL of your own, which its own tools upgrade: "
            "unset it to upgrade the embedded one."
        )
    quiet(settings)
    upgraded, report = asyncio.run(_upgrade(settings, old_bin))
    if upgraded is None or report is None:
        output.note(f"{settings.data_dir} has this release's PostgreSQL already: nothing to do.")
        return
    clean = report.clean
    if json:
        output.as_json(asdict(upgraded) | {"kept": str(upgraded.kept), "clean": clean})
    else:
        typer.echo(
            f"The database is PostgreSQL {upgraded.after} now, and was {upgraded.before}. All of "
            f"its {upgraded.rows:,} rows, in {upgraded.tables:,} tables, are the same."
        )
    if not clean:
        output.note(
            f"`storecredit verify` names {len(report.discrepancies)} discrepancies, which the "
            "database had before."
        )
    output.note(
        f"The one of before is kept in {upgraded.kept}. Once you need no way back, remove it."
    )
    if not clean:
        raise typer.Exit(FAILED)


async def _upgrade(
    settings: "Settings", old_bin: Path | None
) -> "tuple[Upgraded | None, Report | None]":
    from storecredit.ledger.verify_all import verify_all
    from storecredit.postgres.buckets import opened
    from storecredit.postgres.embedded.upgrade import upgrade
    from storecredit.postgres.pool import Database

    report = None

    async def prove(url: str) -> None:
        nonlocal report
        database = await Database.open(url)
        try:
            async with opened(database) as buckets:
                report = await verify_all(buckets)
        finally:
            await database.close()

    upgraded = await upgrade(settings.data_dir, prove, old_programs=old_bin, tell=output.note)
    return upgraded, report
