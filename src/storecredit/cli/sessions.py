"""`storecredit session`: generations that ended long ago, archived, found again, and checked."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import DatabaseUrl, DataDir, Json, request_id_text, settings_of
from storecredit.cli.problems import Failed, Misused

if TYPE_CHECKING:
    from storecredit.settings import Settings

app = typer.Typer(help="Generations that are in the archive, or due to be.", no_args_is_help=True)


@app.callback()
def _sessions() -> None:
    pass


@app.command("archive")
def archive(
    days: Annotated[
        int | None,
        typer.Option(
            "--days",
            min=1,
            metavar="DAYS",
            help="Archive those that ended so long ago, instead of what "
            "STORECREDIT_SESSIONS_KEPT_DAYS says.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be archived, and leave it.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Archive now what is due, as slowly as the service does; safe to break off and repeat."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    kept = days or settings.sessions_kept_days
    if kept is None:
        raise Misused("Say how long they are kept: --days, or STORECREDIT_SESSIONS_KEPT_DAYS.")
    if dry_run:
        _print_due(settings, kept, json=json)
        return
    if settings.archive is None:
        raise Misused("Say where to: STORECREDIT_ARCHIVE, a directory or s3://bucket/prefix.")
    archived = _archived(settings, kept)
    output.record({"archived": archived}, json=json)


def _print_due(settings: "Settings", days: int, *, json: bool) -> None:
    async def act(rooms: Rooms) -> dict[str, Any]:
        from dataclasses import asdict

        from storecredit.generation.archived import Archives

        return asdict(await Archives(rooms.buckets).due(days))

    output.record(against(settings, act), json=json)


def _archived(settings: "Settings", days: int) -> int:
    """How many were archived. Raises `Failed`, with what had gone wrong."""

    async def act(rooms: Rooms) -> int | None:
        import asyncio

        from storecredit.generation.archiving import Archiving
        from storecredit.telemetry import Metrics

        archiving = Archiving(rooms.buckets, settings, Metrics())
        return await archiving.archive_now(asyncio.Event(), days=days)

    from storecredit.generation.archive_names import ArchiveUnusable

    try:
        archived = against(settings, act)
    except ArchiveUnusable as error:
        raise Failed(f"{error} Nothing of that file was removed.") from error
    if archived is None:
        raise Failed("Another process is archiving, or did a minute ago: try again then.")
    return archived


@app.command("find")
def find(
    identifier: Annotated[
        str,
        typer.Argument(
            metavar="ID", parser=request_id_text, help="Of the generation, or of its request."
        ),
    ],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Read archived generations back from their files, which have to be what was written."""
    from storecredit.generation.archive_names import ArchiveUnusable
    from storecredit.generation.archived import ArchiveDamaged

    async def act(rooms: Rooms) -> list[dict[str, Any]]:
        return await _found(rooms, identifier)

    try:
        found = against(settings_of(data_dir=data_dir, database_url=database_url), act)
    except (ArchiveUnusable, ArchiveDamaged) as error:
        raise Failed(str(error)) from error
    if not found:
        raise Failed(
            f"There is no archived generation of {identifier}. `storecredit request show` looks "
            "among all that is not archived, too."
        )
    if json:
        output.as_json(found)
        return
    for each in found:
        output.record(each, json=False)


async def _found(rooms: Rooms, identifier: str) -> list[dict[str, Any]]:
    """What the files say of each."""
    from storecredit.generation.archived import Archives, read
    from storecredit.operator.requests import Requests

    archives = Archives(rooms.buckets)
    found = []
    with closing(Requests(rooms.buckets)) as requests:
        records = (await requests.find(identifier)).requests
    for record in records:
        for row in record.archived:
            noted = await archives.named(row.file)
            found += [
                {"archive": noted.number, **each}
                for each in await read(noted)
                if each["session_id"] == str(row.session_id)
            ]
    return found


@app.command("check")
def check(data_dir: DataDir = None, database_url: DatabaseUrl = None, json: Json = False) -> None:
    """Read every file of the archive; exit status 1 if one is missing or not what was written."""

    async def act(rooms: Rooms) -> tuple[int, int, list[dict[str, Any]]]:
        return await _checked(rooms)

    files, sessions, damaged = against(
        settings_of(data_dir=data_dir, database_url=database_url), act
    )
    if json:
        output.as_json({"files": files, "sessions": sessions, "damaged": damaged})
    else:
        typer.echo(f"Files: {files}, generations: {sessions}.")
        if damaged:
            output.table(("archive", "file", "reason"), damaged)
    if damaged:
        raise typer.Exit(1)


async def _checked(rooms: Rooms) -> tuple[int, int, list[dict[str, Any]]]:
    from storecredit.generation.archive_names import ArchiveUnusable
    from storecredit.generation.archived import ArchiveDamaged, Archives, read

    files, sessions, damaged = 0, 0, []
    async for noted in Archives(rooms.buckets).noted():
        files, sessions = files + 1, sessions + noted.sessions
        try:
            await read(noted)
        except (ArchiveUnusable, ArchiveDamaged) as error:
            damaged.append({"archive": noted.number, "file": noted.file, "reason": str(error)})
    return files, sessions, damaged
