"""`storecredit key`: make, list, change, revoke and rotate a store's API keys."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import (
    Actor,
    DatabaseUrl,
    DataDir,
    Json,
    KeyId,
    Origins,
    Reason,
    StoreName,
    context_of,
    moment_text,
    settings_of,
)
from storecredit.cli.problems import Failed, Misused, unknown_store

if TYPE_CHECKING:
    from uuid import UUID

    from storecredit.operator.stores import MadeKey
    from storecredit.stores.api_keys import ApiKey

COLUMNS = ("key_id", "key_start", "label", "allowed_origins", "expires_at", "revoked_at")
SHOWN_ONCE = "This is the only time the API key is shown: keep it now."

app = typer.Typer(help="API keys, with which stores call.", no_args_is_help=True)


@app.command("create")
def create(
    store: StoreName,
    label: Annotated[str, typer.Option("--label", help="What it is for.")] = "",
    origin: Origins = None,
    expires_at: Annotated[
        datetime | None,
        typer.Option(
            "--expires-at",
            parser=moment_text,
            metavar="TIME",
            help="When it stops working, as 2027-01-31 or 2027-01-31T12:00:00Z.",
            show_default="never",
        ),
    ] = None,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Give a store one more API key, which is shown this once."""
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise Misused("--expires-at is past: the key would never work. Nothing was made.")

    async def act(rooms: Rooms) -> dict[str, Any]:
        store_id = await rooms.store_id(store)
        try:
            made = await rooms.operator.stores.make_key(
                context_of(actor, reason),
                store_id,
                label=label,
                allowed_origins=origin or (),
                expires_at=expires_at,
            )
        except ValueError as error:
            raise Misused(f"{error}. Nothing was made.") from error
        if made is None:
            raise unknown_store(store_id)
        return _made_view(made)

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)
    output.note(SHOWN_ONCE)


@app.command("list")
def list_keys(
    store: StoreName,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """List a store's newest API keys, those that stopped working included."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        keys = await rooms.api_keys.list(await rooms.store_id(store))
        return {"items": [_view(key) for key in keys]}

    found = against(
        settings_of(data_dir=data_dir, database_url=database_url), act, may_only_read=True
    )
    nothing = "The store has no API keys. `storecredit key create` makes one."
    output.listing(found, COLUMNS, nothing=nothing, json=json)


@app.command("update")
def update(
    store: StoreName,
    key_id: KeyId,
    label: Annotated[str | None, typer.Option("--label", help="What it is for.")] = None,
    origin: Origins = None,
    no_origins: Annotated[
        bool, typer.Option("--no-origins", help="No browser may use the key any more.")
    ] = False,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Change an API key's label, or its origins: those given replace all it had."""
    if no_origins and origin:
        raise Misused("Give --origin or --no-origins, not both. Nothing was changed.")
    if label is None and not origin and not no_origins:
        raise Misused("Give what to change: --label, --origin or --no-origins.")

    async def act(rooms: Rooms) -> dict[str, Any]:
        store_id = await rooms.store_id(store)
        try:
            changed = await rooms.operator.stores.change_key(
                context_of(actor, reason),
                store_id,
                key_id,
                label=label,
                allowed_origins=(origin or ()) if origin or no_origins else None,
            )
        except ValueError as error:
            raise Misused(f"{error}. Nothing was changed.") from error
        if changed is None:
            raise _unknown_key(store_id, key_id, " that still works")
        return _view(changed)

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


@app.command("revoke")
def revoke(
    store: StoreName,
    key_id: KeyId,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Stop an API key within a second, for ever."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        store_id = await rooms.store_id(store)
        context = context_of(actor, reason)
        if not await rooms.operator.stores.revoke_key(context, store_id, key_id):
            raise _unknown_key(store_id, key_id)
        return {"key_id": key_id, "revoked": True}

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


@app.command("rotate")
def rotate(
    store: StoreName,
    key_id: KeyId,
    grace_seconds: Annotated[
        int,
        typer.Option("--grace-seconds", help="How long the old key works on, at most 30 days."),
    ] = 0,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Replace an API key by one with the same label and origins, which is shown this once."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        store_id = await rooms.store_id(store)
        try:
            made = await rooms.operator.stores.rotate_key(
                context_of(actor, reason), store_id, key_id, grace_seconds=grace_seconds
            )
        except ValueError as error:
            raise Misused(f"{error}. Nothing was changed.") from error
        if made is None:
            raise _unknown_key(store_id, key_id, " that still works")
        return _made_view(made)

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)
    output.note(SHOWN_ONCE)


def _unknown_key(store_id: "UUID", key_id: "UUID", kind: str = "") -> Failed:
    return Failed(
        f"The store {store_id} has no API key {key_id}{kind}. "
        f"`storecredit key list {store_id}` lists its keys."
    )


def _view(key: "ApiKey") -> dict[str, Any]:
    """An API key as the operator's API shows it."""
    return {
        "key_id": key.key_id,
        "store_id": key.store_id,
        "label": key.label,
        "key_start": key.key_start,
        "allowed_origins": sorted(key.allowed_origins),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


def _made_view(made: "MadeKey") -> dict[str, Any]:
    return {**_view(made.api_key), "api_key": made.key}
