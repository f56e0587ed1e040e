"""`storecredit bucket`: which buckets there are and where, and moving them between nodes."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against, quiet
from storecredit.cli.options import (
    Actor,
    DatabaseUrl,
    DataDir,
    Json,
    Reason,
    context_of,
    settings_of,
)
from storecredit.cli.problems import Failed, Misused

if TYPE_CHECKING:
    from storecredit.settings import Settings

HERE = "here"
COLUMNS = ("number", "schema", "owners", "movements", "bytes", "node")

app = typer.Typer(
    name="bucket",
    help="Buckets of owners: schemas of their own, which may be on several nodes of a Citus "
    "cluster. `storecredit migrate --buckets` makes more of them.",
    no_args_is_help=True,
)


@app.command("list")
def show(data_dir: DataDir = None, database_url: DatabaseUrl = None, json: Json = False) -> None:
    """List the buckets: how many owners and, about, movements each has, and where it is."""

    async def act(rooms: Rooms) -> list[dict[str, Any]]:
        from storecredit.postgres.bucket_places import listed

        return [asdict(each) for each in await listed(rooms.buckets)]

    found = against(settings_of(data_dir=data_dir, database_url=database_url), act)
    if json:
        output.as_json({"buckets": found})
        return
    output.table(COLUMNS, ({**each, "node": each["node"] or HERE} for each in found))


@app.command("move")
def move(
    number: Annotated[int, typer.Argument(min=0, help="Which bucket, as `bucket list` has it.")],
    to: Annotated[str, typer.Option("--to", metavar="HOST:PORT", help="A node of the cluster.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    actor: Actor = None,
    reason: Reason = "",
) -> None:
    """Move a bucket to another node of a Citus cluster, while it is worked with."""
    from storecredit.postgres.bucket_places import move as move_bucket

    if not to.rpartition(":")[2].isdecimal():
        raise Misused(f"--to {output.shown(to)} is no HOST:PORT.")
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    before = asyncio.run(move_bucket(_url_of(settings), number, to))
    if before is None:
        typer.echo(f"Bucket {number} is on {to}: nothing was to do.")
        return

    async def write_down(rooms: Rooms) -> None:
        await rooms.operator.audit.bucket_moved(context_of(actor, reason), number, before, to)

    against(settings, write_down)
    typer.echo(f"Bucket {number} is on {to} now, and was on {before}.")


@app.command("rebalance")
def rebalance(
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    actor: Actor = None,
    reason: Reason = "",
) -> None:
    """Spread the buckets evenly over the nodes of a Citus cluster, while they are worked with."""
    from storecredit.postgres.bucket_places import rebalance as rebalance_buckets

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    done = asyncio.run(rebalance_buckets(_url_of(settings)))

    async def write_down(rooms: Rooms) -> None:
        await rooms.operator.audit.rebalanced(context_of(actor, reason), done.moved, done.ended)

    if done.moved or not done.is_done:
        against(settings, write_down)
    for schema, (before, now) in done.moved.items():
        typer.echo(f"{schema} is on {now} now, and was on {before}.")
    if not done.is_done:
        raise Failed(f"Citus ended the rebalancing as {done.ended}: see citus_rebalance_status().")
    if not done.moved:
        typer.echo("The buckets are spread evenly: nothing was to do.")


def _url_of(settings: "Settings") -> str:
    if settings.database_url is None:
        raise Misused(
            "The embedded database is one node, which has all buckets: they are moved between the "
            "nodes of a Citus cluster, which STORECREDIT_DATABASE_URL names."
        )
    quiet(settings)
    return settings.database_url.get_secret_value()
