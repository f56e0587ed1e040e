"""`storecredit import`: bring along what another system held, and prove it."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

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
from storecredit.cli.problems import FAILED, Failed, Misused
from storecredit.cli.verification import as_fields, print_report, verified

if TYPE_CHECKING:
    from storecredit.moving.importing import Progress, Written
    from storecredit.moving.sources import Source
    from storecredit.settings import Settings

EXAMPLES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be brought along, and whether that is only to be said."""

    history: bool
    descriptions: bool
    dry_run: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What was found, and what was written; None: nothing was to be, or could be."""

    found: dict[str, Any]
    is_refused: bool
    written: "Written | None"


def add_to(app: typer.Typer) -> None:
    """Put this module's command into the command line."""
    app.command("import")(bring_along)


def bring_along(
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            envvar="STORECREDIT_IMPORT_FROM",
            metavar="URL|DIRECTORY",
            help="The PostgreSQL database with the tables of the system before, in its schema "
            "public, or a directory of CSV files. A password is safer in "
            "STORECREDIT_IMPORT_FROM.",
            show_default="the database that --database-url names",
        ),
    ] = None,
    history: Annotated[
        bool,
        typer.Option(
            "--history", help="Every movement of the ledgers, not only the balances as they are."
        ),
    ] = False,
    descriptions: Annotated[
        bool,
        typer.Option(
            "--descriptions/--no-descriptions",
            help="With --history: what movements are called, less e-mail addresses.",
        ),
    ] = True,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what there is, and what of it does not fit."),
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    actor: Actor = None,
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Bring along stores, keys, end users, balances and generations of the system before.

    Run again, it changes nothing, or goes on where it was stopped. Afterwards the ledger is
    verified.
    """
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    opened = _source_of(source, settings)
    wanted = _Wanted(history=history, descriptions=descriptions, dry_run=dry_run)
    outcome = _carried_out(settings, opened, wanted, who=(actor, reason))
    written = None if outcome.written is None else asdict(outcome.written)
    if not json:
        _print_found(outcome)
    report = None if written is None else verified(settings)
    if json:
        verification = None if report is None else as_fields(report)
        output.as_json({**outcome.found, "written": written, "verification": verification})
    elif report is not None:
        print_report(report)
    if outcome.is_refused or (report is not None and not report.clean):
        raise typer.Exit(FAILED)


def _carried_out(
    settings: "Settings", source: "Source", wanted: _Wanted, who: tuple[str | None, str]
) -> _Outcome:
    from storecredit.moving.importing import fields_of, planned_import
    from storecredit.postgres.copying import CannotCopy
    from storecredit.postgres.errors import LockTimedOut
    from storecredit.postgres.opening import owner_url

    async def look_at_it(_: Rooms) -> None:
        """Made, migrated, and nobody can write around the functions: or it is refused."""

    async def carry_out() -> _Outcome:
        with _shown_progress() as on_progress:
            async with (
                owner_url(settings) as url,
                planned_import(
                    url,
                    source,
                    has_history=wanted.history,
                    has_descriptions=wanted.descriptions,
                    tiers=settings.rate_limits,
                    on_progress=on_progress,
                ) as planned,
            ):
                found, refuses = fields_of(planned), planned.findings.refuses
                written = None if wanted.dry_run or refuses else await planned.write()
        return _Outcome(found, refuses, written)

    async def write_down(rooms: Rooms) -> None:
        assert outcome.written is not None, "it is called after that"
        told = {**outcome.found["found"], **asdict(outcome.written)}
        await rooms.operator.audit.imported(context_of(*who), {"history": wanted.history}, told)

    against(settings, look_at_it, create=not wanted.dry_run)
    try:
        outcome = asyncio.run(carry_out())
    except CannotCopy as error:
        raise Failed(str(error)) from error
    except LockTimedOut as error:
        raise Failed("Another import is under way, or one that was killed just ends.") from error
    if outcome.written is not None:
        against(settings, write_down)
    return outcome


def _source_of(named: str | None, settings: "Settings") -> "Source":
    from storecredit.moving.sources import CsvSource, DatabaseSource

    if named is None:
        if settings.database_url is None:
            raise Misused("Say where to import from: --from URL, or --from DIRECTORY.")
        return DatabaseSource(settings.database_url.get_secret_value())
    if "://" in named:
        return DatabaseSource(named)
    if not Path(named).is_dir():
        raise Misused(f"--from {output.shown(named)} is neither a database URL nor a directory.")
    return CsvSource(Path(named))


def _print_found(outcome: _Outcome) -> None:
    from storecredit.moving.findings import WHAT_FOLLOWS

    found = outcome.found["found"]
    typer.echo(
        f"Stores: {found['stores']}, API keys: {found['keys']}, end users: {found['users']}; "
        f"imported before: {found['imported_before']}."
    )
    typer.echo(
        f"Credits: {found['credits']}, movements: {found['movements']}, "
        f"generations: {found['generations']}, events: {found['events']}."
    )
    for misfit in outcome.found["does_not_fit"]:
        typer.echo(f"{misfit['kind']}: {misfit['count']}. {WHAT_FOLLOWS[misfit['kind']]}")
        examples = misfit["examples"][:EXAMPLES_SHOWN]
        output.table(("owner", "detail"), examples)
    if not outcome.found["does_not_fit"]:
        typer.echo("All of it fits.")
    if outcome.written is not None:
        written = outcome.written
        typer.echo(
            f"Written: {written.owners} owners, {written.movements} movements, "
            f"{written.events} events."
        )
    elif outcome.is_refused:
        typer.echo("Nothing can be imported.")
    else:
        typer.echo("Nothing was changed.")


@contextmanager
def _shown_progress() -> "Iterator[Callable[[Progress], None]]":
    """What to call with the progress; a bar where somebody watches, else a line for each step."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import Progress as ProgressBar

    with ProgressBar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Reading", total=None)

        def show(progress: "Progress") -> None:
            bar.update(
                task, description=progress.step, completed=progress.done, total=progress.total
            )

        yield show


class _Lines:
    """A line for each step, and for each tenth of it."""

    def __init__(self) -> None:
        self._told = ""

    def __call__(self, progress: "Progress") -> None:
        """Tell of it unless the same was told."""
        line = f"{progress.step} …"
        if progress.step == "Writing" and progress.total:
            tenths = 10 * progress.done // progress.total
            line = f"{progress.step}: {tenths * 10} %"
        if line != self._told:
            self._told = line
            output.note(line)
