"""`storecredit verify`: recompute every balance from the ledger and name what does not agree."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import DatabaseUrl, DataDir, Json, settings_of
from storecredit.cli.problems import FAILED

if TYPE_CHECKING:
    from storecredit.ledger.discrepancies import Report
    from storecredit.ledger.verify import Progress

COLUMNS = ("kind", "store_id", "user_id", "seq", "request_id", "session_id", "detail")


def add_to(app: typer.Typer) -> None:
    """Put this module's command into the command line."""
    app.command("verify")(verify)


def verify(
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    every_row: Annotated[
        bool,
        typer.Option(
            "--every-row",
            help="Look at each row also when the sums agree, which leaves nothing to chance and "
            "takes ten to fifty times as long.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Prove every balance from the ledger; exit status 1 if something does not agree."""

    async def act(rooms: Rooms) -> "Report":
        from storecredit.ledger.verify import verify as verify_ledger

        with _progress_bar() as on_progress:
            return await verify_ledger(rooms.database, every_row=every_row, on_progress=on_progress)

    report = against(settings_of(data_dir=data_dir, database_url=database_url), act)
    if json:
        output.as_json({"clean": report.clean, **asdict(report)})
    else:
        _print(report)
    if not report.clean:
        raise typer.Exit(FAILED)


def _print(report: "Report") -> None:
    typer.echo(
        f"Stores: {report.stores}, movements: {report.movements}, "
        f"generation sessions: {report.sessions}."
    )
    typer.echo(
        f"End users: {report.users}, movements: {report.user_movements}, "
        f"generation sessions: {report.user_sessions}. Payments: {report.payments}."
    )
    if report.clean:
        typer.echo("All of it agrees.")
        return
    at_least = "at least " if report.truncated else ""
    typer.echo(f"Discrepancies: {at_least}{len(report.discrepancies)}.")
    output.table(COLUMNS, map(asdict, report.discrepancies))


@contextmanager
def _progress_bar() -> "Iterator[Callable[[Progress], None] | None]":
    """What to call with the progress; None where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as ProgressBar

    with ProgressBar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Verifying", total=None)

        def show(progress: "Progress") -> None:
            bar.update(task, completed=progress.checked, total=progress.total)

        yield show
