"""`storecredit verify`: recompute every balance from the ledger and name what does not agree."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
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
    context_of,
    settings_of,
)
from storecredit.cli.problems import FAILED

if TYPE_CHECKING:
    from storecredit.ledger.discrepancies import Report
    from storecredit.ledger.verify import Progress
    from storecredit.operator.audit import ActionContext
    from storecredit.settings import Settings

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
    actor: Actor = None,
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Prove every balance from the ledger; exit status 1 if something does not agree."""
    report = verified(
        settings_of(data_dir=data_dir, database_url=database_url),
        every_row=every_row,
        context=context_of(actor, reason),
    )
    if json:
        output.as_json(as_fields(report))
    else:
        print_report(report)
    if not report.clean:
        raise typer.Exit(FAILED)


def verified(
    settings: "Settings", *, every_row: bool = False, context: "ActionContext | None" = None
) -> "Report":
    """What verifying the database of these settings finds; its progress is shown on a terminal.

    `context`: who asked for it, for the audit log; None: nobody did, it is part of something else.
    """

    async def act(rooms: Rooms) -> "Report":
        from storecredit.ledger.checkpoints.tampering import Evidence
        from storecredit.ledger.verify_all import verify_all

        with _progress_bar() as on_progress:
            report = await verify_all(
                rooms.buckets,
                every_row=every_row,
                on_progress=on_progress,
                evidence=Evidence.known(rooms.buckets, settings),
            )
        if context is not None and not rooms.database.only_reads:
            await rooms.operator.audit.verified(context, report)
        return report

    return against(settings, act, may_only_read=True)


def as_fields(report: "Report") -> dict[str, Any]:
    """A report as `--json` prints it."""
    return {"clean": report.clean, **asdict(report)}


def print_report(report: "Report") -> None:
    """A report for people."""
    typer.echo(
        f"Stores: {report.stores}, movements: {report.movements}, "
        f"generation sessions: {report.sessions}."
    )
    typer.echo(
        f"End users: {report.users}, movements: {report.user_movements}, "
        f"generation sessions: {report.user_sessions}. Payments: {report.payments}."
    )
    if report.archived_sessions:
        typer.echo(f"In the archive: {report.archived_sessions} generation sessions.")
    if report.checkpoints:
        typer.echo(
            f"Checkpoints: {report.checkpoints}, signatures looked at: {report.signatures}"
            f"{'' if report.signatures else ', since no key is known here'}."
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
