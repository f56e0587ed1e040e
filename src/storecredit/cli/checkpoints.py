"""`storecredit checkpoint`: what was signed of all ledgers, to be kept by somebody else, too."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import DatabaseUrl, DataDir, Json, settings_of
from storecredit.cli.problems import Failed, Misused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from storecredit.data_files.checkpoint_keys import CheckpointKeys
    from storecredit.ledger.checkpoints.checkpoint import Checkpoint
    from storecredit.ledger.checkpoints.proofs import LogProof, Proofs
    from storecredit.settings import Settings

T = TypeVar("T")
COLUMNS = ("number", "made_at", "owners", "movements", "key_id")
NUMBER_MAX = 2**63 - 1

app = typer.Typer(
    help="What was signed of all ledgers: for somebody outside to keep, and to compare.",
    no_args_is_help=True,
)
Number = Annotated[
    int | None,
    typer.Argument(
        metavar="NUMBER", min=1, max=NUMBER_MAX, show_default=False, help="Without it, the newest."
    ),
]


@app.command("list")
def list_checkpoints(
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, metavar="N", help="So many, at most.")
    ] = 50,
    before: Annotated[
        int | None,
        typer.Option("--before", min=1, max=NUMBER_MAX, metavar="NUMBER", help="Only older ones."),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """List checkpoints, the newest first."""

    async def act(_rooms: Rooms, proofs: "Proofs") -> "list[Checkpoint]":
        return await proofs.page(limit=limit, before=before)

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    items = [_fields(each) for each in _asked(settings, act)]
    output.listing({"items": items}, COLUMNS, nothing="There is no checkpoint yet.", json=json)


@app.command("show")
def show(
    number: Number = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show a checkpoint."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)

    async def act(_rooms: Rooms, proofs: "Proofs") -> "Checkpoint":
        return await _one(proofs, number)

    output.record(_fields(_asked(settings, act)), json=json)


@app.command("make")
def make(data_dir: DataDir = None, database_url: DatabaseUrl = None, json: Json = False) -> None:
    """Chain what has happened and sign a checkpoint now, without waiting for the service."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)

    async def act(rooms: Rooms, _proofs: "Proofs") -> "Checkpoint | None":
        from storecredit.ledger.checkpoints.chaining import TurnLost
        from storecredit.ledger.checkpoints.making import Checkpoints

        try:
            return await Checkpoints(rooms.buckets, settings).make(at_once=True)
        except TurnLost as error:
            raise Failed("Another process is making one: try again in a minute.") from error

    made = _asked(settings, act)
    if made is None:
        raise Failed("Nothing is new since the last one, or another process is making one now.")
    output.record(_fields(made), json=json)


@app.command("export")
def export(
    number: Number = None,
    since: Annotated[
        int | None,
        typer.Option(
            "--since",
            min=1,
            max=NUMBER_MAX,
            metavar="NUMBER",
            help="With the proof that it continues this earlier one.",
        ),
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(
            "--owner",
            metavar="STORE",
            help="With the proof that this store's or end user's ledger is what was signed; named "
            "as for `credits remove`.",
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Print a checkpoint as JSON, to give away: `checkpoint check` and the verifier read it."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)

    async def act(rooms: Rooms, proofs: "Proofs") -> dict[str, Any]:
        from storecredit.ledger.checkpoints import exported

        later = await _one(proofs, number)
        log = None if since is None else await _log(proofs, since, later)
        public_keys = _keys(settings).public_keys
        if owner is None:
            return exported.of_checkpoint(later, public_keys, log)
        account_id = await rooms.credits.account_id(await rooms.owner(owner))
        proof = await proofs.of_account(account_id, later)
        if proof is None:
            raise Failed(f"Nothing of {output.shown(owner)} is in checkpoint {later.number} yet.")
        return exported.of_owner(proof, public_keys, log)

    output.as_json(_asked(settings, act))


@app.command("check")
def check(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="As exported.")
    ],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Compare a checkpoint that somebody kept with the database; exit status 1 if it differs."""
    from storecredit.ledger.checkpoints import exported

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    try:
        held = exported.read(file.read_bytes())
    except ValueError as error:
        raise Misused(f"{file} is no exported checkpoint: {error}.") from error

    async def act(rooms: Rooms, _proofs: "Proofs") -> str | None:
        from storecredit.ledger.checkpoints.proofs import compared

        return await compared(rooms.buckets, _keys(settings), held)

    wrong = _asked(settings, act)
    if wrong is not None:
        raise Failed(wrong)
    typer.echo(f"The database has checkpoint {held.number} as it was signed.")


@app.command("key")
def key(data_dir: DataDir = None, json: Json = False) -> None:
    """Print the public keys that checkpoints are signed by, to give away; the newest last."""
    keys = _keys(settings_of(data_dir=data_dir))
    items = [
        {"key_id": key_id.hex(), "public_key": public.hex()}
        for key_id, public in keys.public_keys.items()
    ]
    columns = ("key_id", "public_key")
    nothing = "There is no key yet: the service makes one with its first checkpoint."
    output.listing({"items": items}, columns, nothing=nothing, json=json)


@app.command("rotate")
def rotate(data_dir: DataDir = None, json: Json = False) -> None:
    """Sign with a new key from the next checkpoint on; the old public key stays known."""
    from storecredit.data_files import checkpoint_keys

    settings = settings_of(data_dir=data_dir)
    if settings.checkpoint_key is not None:
        raise Misused(
            "The key is STORECREDIT_CHECKPOINT_KEY: set a new one there, and add the public key of "
            "the old one to STORECREDIT_CHECKPOINT_OLD_KEYS. Nothing was changed."
        )
    _keys(settings)
    made = checkpoint_keys.rotate(settings)
    fields = {"key_id": made.key_id.hex(), "public_key": made.public_key.hex()}
    output.record(fields, json=json)


@app.command("accept")
def accept(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Say that you restored the database to an earlier moment: signing goes on from there."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)

    async def act(_rooms: Rooms, proofs: "Proofs") -> "Checkpoint | None":
        return await proofs.newest()

    from storecredit.data_files import checkpoint_keys

    newest = _asked(settings, act)
    if newest is None:
        checkpoint_keys.forget_signed(settings.data_dir)
        typer.echo("The database has no checkpoint: the next one is the first.")
        return
    checkpoint_keys.note_signed(
        settings.data_dir, checkpoint_keys.NewestSigned(newest.number, newest.hash)
    )
    typer.echo(
        f"Signing goes on after checkpoint {newest.number} of the database. Whoever holds a later "
        "one is told that history was set back: say so to them."
    )


def _asked(settings: "Settings", act: "Callable[[Rooms, Proofs], Awaitable[T]]") -> T:
    from storecredit.data_files.checkpoint_keys import KeyFileDamaged
    from storecredit.ledger.checkpoints.checkpoint import NotAsSigned

    async def acting(rooms: Rooms) -> T:
        from storecredit.ledger.checkpoints.proofs import Proofs

        return await act(rooms, Proofs(rooms.buckets))

    try:
        return against(settings, acting)
    except (NotAsSigned, KeyFileDamaged, OSError) as error:
        raise Failed(str(error)) from error


async def _one(proofs: "Proofs", number: int | None) -> "Checkpoint":
    found = await (proofs.newest() if number is None else proofs.one(number))
    if found is None:
        which = "yet" if number is None else f"of number {number}"
        raise Failed(f"There is no checkpoint {which}.")
    return found


async def _log(proofs: "Proofs", since: int, later: "Checkpoint") -> "LogProof":
    if since >= later.number:
        raise Misused(f"--since names a checkpoint that is earlier than {later.number}.")
    return await proofs.of_log(await _one(proofs, since), later)


def _keys(settings: "Settings") -> "CheckpointKeys":
    from storecredit.data_files.checkpoint_keys import CheckpointKeys, KeyFileDamaged

    try:
        return CheckpointKeys.known(settings)
    except KeyFileDamaged as error:
        raise Failed(str(error)) from error


def _fields(checkpoint: "Checkpoint") -> dict[str, Any]:
    from storecredit.ledger.checkpoints import exported

    return exported.fields_of(checkpoint)
