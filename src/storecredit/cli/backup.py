"""`storecredit backup` and `storecredit restore`: the database, the signing key, the results."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from storecredit.cli import output
from storecredit.cli.database import quiet
from storecredit.cli.options import DatabaseUrl, DataDir, Json, moment, settings_of
from storecredit.cli.problems import FAILED, Misused
from storecredit.cli.verification import as_fields, print_report, verified

if TYPE_CHECKING:
    from storecredit.backups.manifest import Manifest
    from storecredit.backups.restoring import Restored
    from storecredit.backups.taking import Taken
    from storecredit.postgres.programs.recovery import Target

KEEP_MAX: Final = 10_000
LATEST, BACKUP = "latest", "backup"

OnProgress = Callable[[str, int, int | None], None]

TO_MIND: Final = (
    "Before you serve: what happened after that moment is forgotten here, and not by others. A "
    "request sent again takes its credit again, open generations run again or are refunded, "
    "revoked keys work again, and what Paddle told is to be replayed: docs/backup.md has the list."
)


def add_to(app: typer.Typer) -> None:
    """Put this module's commands into the command line."""
    app.command("backup")(backup)
    app.command("restore")(restore)


def backup(
    place: Annotated[
        str,
        typer.Argument(
            metavar="DIR|S3",
            help="Where backups are kept, each by a name of its own: a directory, or "
            "s3://bucket/prefix.",
        ),
    ],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    dump: Annotated[
        bool,
        typer.Option(
            "--dump",
            help="A dump, which goes into any PostgreSQL, instead of a copy of the embedded "
            "server's files, which a WAL archive can follow.",
        ),
    ] = False,
    results: Annotated[
        bool, typer.Option("--results", help="With the result images that are still kept.")
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep",
            min=1,
            max=KEEP_MAX,
            help="How many backups are to be there then; older ones are deleted.",
            show_default="all",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Back up database and signing key, while the service works or rests."""
    from storecredit.backups.places import place_of
    from storecredit.backups.taking import prune, take

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    quiet(settings)
    kept_in = place_of(place)
    with _progress_bar() as on_progress:
        taken = asyncio.run(
            take(
                settings,
                kept_in,
                results=results,
                dump=dump,
                on_progress=on_progress,
            )
        )
    if not json:
        _print_taken(taken)
    deleted = prune(settings, kept_in, taken, keep) if keep else []
    if json:
        placed = {"name": taken.name, "where": taken.where, "deleted": deleted}
        output.as_json(placed | _facts(taken.manifest))
    elif deleted:
        typer.echo(f"Deleted: {', '.join(deleted)}.")


def restore(
    backup: Annotated[
        str,
        typer.Argument(
            metavar="BACKUP", help="A backup, or where backups are kept: then the newest of them."
        ),
    ],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="MOMENT",
            help="A moment (2026-11-30T05:00:00Z; without an offset it is UTC), `latest`: all that "
            "the WAL archive has, or `backup`: the end of the backup.",
            show_default="latest, if there is a WAL archive",
        ),
    ] = None,
    timeline: Annotated[
        int | None,
        typer.Option(
            "--timeline",
            min=1,
            help="Which timeline of the WAL archive is replayed, if it has several.",
            show_default="the only one",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Restore a backup where there is no database of ours yet, and verify it."""
    from storecredit.backups.restoring import restore as restore_backup

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    quiet(settings)
    target = _target(to or (LATEST if settings.wal_archive else BACKUP), timeline)
    with _progress_bar() as on_progress:
        restored = asyncio.run(restore_backup(backup, settings, target, on_progress))
    # A look only: what is looked at and thrown away is to begin no timeline in the archive.
    report = verified(settings.model_copy(update={"wal_archive": None}))
    if json:
        output.as_json(_restored_facts(restored) | {"verified": as_fields(report)})
    else:
        where = "the external database" if settings.database_url else str(settings.data_dir)
        _print_restored(restored, where)
        print_report(report)
        output.note(TO_MIND)
    if not report.clean:
        raise typer.Exit(FAILED)


def _target(to: str, timeline: int | None) -> "Target":
    from storecredit.postgres.programs.recovery import Target

    if to in {BACKUP, LATEST}:
        return Target(to_the_end=to == LATEST, timeline=timeline)
    try:
        return Target(moment=moment(to), timeline=timeline)
    except ValueError:
        raise Misused(
            f"--to is a moment like 2026-11-30T05:00:00Z, `{LATEST}` or `{BACKUP}`, not {to!r}."
        ) from None


def _print_taken(taken: "Taken") -> None:
    made = taken.manifest
    typer.echo(
        f"Backed up to {taken.where}: {_size(made.bytes)}, as of {_moment(made.ended_at)}, "
        f"{_with(made)}."
    )
    output.note(
        "Whoever reads it can read what the data directory holds, and sign links to results: keep "
        "it as private."
    )


def _print_restored(restored: "Restored", where: str) -> None:
    made = restored.manifest
    typer.echo(f"Restored {restored.backup} ({made.kind}) into {where}, {_with(made)}.")
    typer.echo(_as_of(restored))


def _facts(made: "Manifest") -> dict[str, Any]:
    """A manifest as `--json` prints it."""
    from storecredit.backups.manifest import SIGNING_KEY

    return {
        "kind": made.kind,
        "storecredit": made.storecredit,
        "schema": made.schema,
        "postgres": made.postgres,
        "begun_at": made.begun_at,
        "ended_at": made.ended_at,
        "bytes": made.bytes,
        "signing_key": made.has(SIGNING_KEY),
        "results": made.results,
    }


def _restored_facts(restored: "Restored") -> dict[str, Any]:
    """What was restored, as `--json` prints it."""
    recovered = restored.recovered
    return {
        "name": restored.backup,
        "moment": restored.target.moment,
        "last_transaction_at": recovered.last_transaction_at if recovered else None,
        "timeline": recovered.timeline if recovered else None,
        "backup": _facts(restored.manifest),
    }


def _as_of(restored: "Restored") -> str:
    recovered, target = restored.recovered, restored.target
    last = recovered.last_transaction_at if recovered else None
    replayed = f"; the last transaction that was replayed is of {_moment(last)}" if last else ""
    if target.moment is not None:
        return f"It is as of {_moment(target.moment)}{replayed}."
    if target.to_the_end:
        return f"It has all that the WAL archive has{replayed}."
    return f"It is as of the end of the backup, {_moment(restored.manifest.ended_at)}."


def _with(made: "Manifest") -> str:
    """What is in a backup beside the database."""
    from storecredit.backups.manifest import SIGNING_KEY

    key = "with" if made.has(SIGNING_KEY) else "without"
    images = "without" if made.results is None else f"with {made.results}"
    return f"{key} the signing key, {images} result images"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def _size(size: int) -> str:
    from rich.filesize import decimal

    return decimal(size)


@contextmanager
def _progress_bar() -> Iterator[OnProgress]:
    """What to call with the progress; it is shown where somebody watches."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, expected: int | None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=expected)
            bar.update(tasks[what], completed=done, total=expected)

        yield show
