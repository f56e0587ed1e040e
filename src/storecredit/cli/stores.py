"""`storecredit store`: make, list, show, change, suspend and resume stores."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID, uuid4

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import (
    CREDITS_MAX,
    PAGE_DEFAULT,
    DatabaseUrl,
    DataDir,
    Json,
    Limit,
    Origins,
    StoreId,
    settings_of,
)
from storecredit.cli.problems import Misused, unknown_store

if TYPE_CHECKING:
    from storecredit.stores.stores import Store

COLUMNS = ("store_id", "name", "shop_domain", "tier", "status", "balance")

app = typer.Typer(help="Stores, which are your customers.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Option("--name", help="What people call it.")],
    shop_domain: Annotated[str, typer.Option("--shop-domain", help="The shop's domain name.")],
    tier: Annotated[str, typer.Option("--tier", help="Which rate limits it has.")] = "default",
    credits: Annotated[
        int, typer.Option("--credits", min=0, max=CREDITS_MAX, help="Credits to begin with.")
    ] = 0,
    origin: Origins = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Make a store with its first API key, which is shown this once."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        try:
            return await made(
                rooms,
                name=name,
                shop_domain=shop_domain,
                tier=tier,
                credit_count=credits,
                label="first key",
                allowed_origins=origin or (),
            )
        except ValueError as error:
            raise Misused(f"{error}. Nothing was made.") from error

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act, create=True), json=json)
    output.note("This is the only time the API key is shown: keep it now.")


@app.command("list")
def list_stores(
    limit: Limit = PAGE_DEFAULT,
    cursor: Annotated[UUID | None, typer.Option("--cursor", help="Go on after this store.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """List stores and their credits, newest first."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        stores = await rooms.stores.list(limit, cursor)
        balances = await rooms.balances([store.store_id for store in stores.items])
        items = [_view(store, balances[store.store_id]) for store in stores.items]
        return {
            "items": items,
            "next_cursor": str(stores.next_cursor) if stores.next_cursor else None,
        }

    found = against(settings_of(data_dir=data_dir, database_url=database_url), act)
    if json:
        output.as_json(found)
        return
    nothing = "There are no stores. `storecredit store create` makes one."
    output.page(found["items"], COLUMNS, nothing=nothing, next_cursor=found["next_cursor"])


@app.command("show")
def show(
    store_id: StoreId,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show a store and its credits."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        return _view(await rooms.store(store_id), await rooms.balance(store_id))

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


@app.command("update")
def update(
    store_id: StoreId,
    name: Annotated[str | None, typer.Option("--name", help="What people call it.")] = None,
    shop_domain: Annotated[
        str | None, typer.Option("--shop-domain", help="The shop's domain name.")
    ] = None,
    tier: Annotated[str | None, typer.Option("--tier", help="Which rate limits it has.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Change a store's name, domain or tier; what is not given stays as it is."""
    if name is None and shop_domain is None and tier is None:
        raise Misused("Give what to change: --name, --shop-domain or --tier.")
    act = _changing(store_id, name=name, shop_domain=shop_domain, tier=tier)
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


@app.command("suspend")
def suspend(
    store_id: StoreId,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Refuse all of a store's API keys, within a second; its credits stay."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, _changing(store_id, status="suspended")), json=json)


@app.command("resume")
def resume(
    store_id: StoreId,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Let a suspended store's API keys work again."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, _changing(store_id, status="active")), json=json)


@app.command("overage")
def overage(
    store_id: StoreId,
    limit: Annotated[
        int,
        typer.Option("--limit", min=0, max=CREDITS_MAX, help="Until the next bill; 0: off."),
    ],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Let a store go on at a balance of zero, up to a limit; it is billed once a month."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        if not await rooms.credits.set_overage_limit(store_id, limit):
            raise unknown_store(store_id)
        return _view(await rooms.store(store_id), await rooms.balance(store_id))

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


def _changing(
    store_id: UUID,
    *,
    name: str | None = None,
    shop_domain: str | None = None,
    tier: str | None = None,
    status: Literal["active", "suspended"] | None = None,
) -> Callable[[Rooms], Awaitable[dict[str, Any]]]:
    async def act(rooms: Rooms) -> dict[str, Any]:
        try:
            store = await rooms.stores.update(
                store_id, name=name, shop_domain=shop_domain, tier=tier, status=status
            )
        except ValueError as error:
            raise Misused(f"{error}. Nothing was changed.") from error
        if store is None:
            raise unknown_store(store_id)
        return _view(store, await rooms.balance(store_id))

    return act


async def made(
    rooms: Rooms,
    *,
    name: str,
    shop_domain: str,
    tier: str,
    credit_count: int,
    label: str,
    allowed_origins: "list[str] | tuple[()]" = (),
) -> dict[str, Any]:
    """A new store and its first API key, as they are shown. Raises `ValueError` for bad texts."""
    store = await rooms.stores.create(
        name=name,
        shop_domain=shop_domain,
        tier=tier,
        credit_count=credit_count,
        request_id=f"req_{uuid4()}",
    )
    issued = await rooms.api_keys.create(
        store.store_id, label=label, allowed_origins=allowed_origins
    )
    if issued is None:
        raise unknown_store(store.store_id)
    view = _view(store, await rooms.balance(store.store_id))
    return {**view, "api_key": issued.key, "key_id": issued.api_key.key_id}


def _view(store: "Store", credits: dict[str, int]) -> dict[str, Any]:
    """A store as the operator's API shows it."""
    fields = asdict(store)
    moments = {name: fields.pop(name) for name in ("created_at", "updated_at")}
    return {**fields, **credits, **moments}
