"""`storecredit store`: make, list, show, change, suspend and resume stores."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import uuid4

import typer

from storecredit.cli import output, top_ups
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import (
    CREDITS_MAX,
    PAGE_DEFAULT,
    Actor,
    Below,
    Cursor,
    DatabaseUrl,
    DataDir,
    Json,
    Limit,
    Origins,
    StoreName,
    actor_of,
    search_text,
    settings_of,
)
from storecredit.cli.problems import Misused, unknown_store

COLUMNS = ("store_id", "name", "shop_domain", "tier", "status", "balance", "days_left")

# As ledger.owner_pages and stores.stores list them; named here so that `--help` loads neither.
SortName = Literal["balance", "name", "created"]
StatusName = Literal["active", "suspended"]


@dataclass(frozen=True, slots=True)
class LowThreshold:
    """At or below how many credits the balance is low; None: at 10 % of the last addition."""

    credits: int | None


def low_threshold_text(text: str) -> LowThreshold:
    """A number of credits, or `default`."""
    if text == "default":
        return LowThreshold(None)
    if not (text.isascii() and text.isdigit() and int(text) <= CREDITS_MAX):
        raise typer.BadParameter(f"0 to {CREDITS_MAX:,} credits, or default")
    return LowThreshold(int(text))


app = typer.Typer(help="Stores, which are your customers.", no_args_is_help=True)
top_ups.add_to(app)


@app.command("create")
def create(
    name: Annotated[str, typer.Option("--name", help="What people call it.")],
    shop_domain: Annotated[str, typer.Option("--shop-domain", help="The shop's domain name.")],
    tier: Annotated[str, typer.Option("--tier", help="Which rate limits it has.")] = "default",
    credits: Annotated[
        int, typer.Option("--credits", min=0, max=CREDITS_MAX, help="Credits to begin with.")
    ] = 0,
    origin: Origins = None,
    actor: Actor = None,
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
                actor=actor_of(actor),
            )
        except ValueError as error:
            raise Misused(f"{error}. Nothing was made.") from error

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act, create=True), json=json)
    output.note("This is the only time the API key is shown: keep it now.")


@app.command("list")
def list_stores(
    below: Below = None,
    sort: Annotated[
        SortName,
        typer.Option(
            "--sort", help="balance: the lowest first; name: A to Z; created: the newest first."
        ),
    ] = "created",
    status: Annotated[
        StatusName | None, typer.Option("--status", help="Only those of this status.")
    ] = None,
    tier: Annotated[str | None, typer.Option("--tier", help="Only those of this tier.")] = None,
    search: Annotated[
        str | None,
        typer.Option(
            "--search",
            parser=search_text,
            metavar="TEXT",
            help="Only those with this in their name, domain or id.",
        ),
    ] = None,
    limit: Limit = PAGE_DEFAULT,
    cursor: Cursor = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """List stores, their credits, and how many days those last at the pace of the last seven."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.ledger.owner_pages import OwnerFilter
        from storecredit.ledger.owners import OwnerKind

        wanted = OwnerFilter(below=below, status=status, tier=tier, search=search)
        page = await rooms.page(OwnerKind.STORE, wanted, sort=sort, limit=limit, cursor=cursor)
        items = await rooms.listed(await rooms.stores.several(page.owner_ids))
        return {"items": items, "next_cursor": page.next_cursor}

    found = against(settings_of(data_dir=data_dir, database_url=database_url), act)
    nothing = "There are no such stores. `storecredit store create` makes one."
    output.listing(found, COLUMNS, nothing=nothing, json=json)


@app.command("show")
def show(
    store: StoreName,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show a store and its credits."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        return await rooms.view(await rooms.store(store))

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


@app.command("update")
def update(
    store: StoreName,
    name: Annotated[str | None, typer.Option("--name", help="What people call it.")] = None,
    shop_domain: Annotated[
        str | None, typer.Option("--shop-domain", help="The shop's domain name.")
    ] = None,
    tier: Annotated[str | None, typer.Option("--tier", help="Which rate limits it has.")] = None,
    low_threshold: Annotated[
        LowThreshold | None,
        typer.Option(
            "--low-threshold",
            parser=low_threshold_text,
            metavar="CREDITS",
            help="Webhooks are told credits.low where the balance falls to so many; 0: never; "
            "default: at 10 % of the last addition.",
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Change a store's name, domain, tier or threshold; what is not given stays as it is."""
    if name is None and shop_domain is None and tier is None and low_threshold is None:
        raise Misused("Give what to change: --name, --shop-domain, --tier or --low-threshold.")
    act = _changing(
        store, name=name, shop_domain=shop_domain, tier=tier, low_threshold=low_threshold
    )
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


@app.command("suspend")
def suspend(
    store: StoreName,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Refuse all of a store's API keys, within a second; its credits stay."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, _changing(store, status="suspended")), json=json)


@app.command("resume")
def resume(
    store: StoreName,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Let a suspended store's API keys work again."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, _changing(store, status="active")), json=json)


@app.command("overage")
def overage(
    store: StoreName,
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
        found = await rooms.store(store)
        await rooms.credits.set_overage_limit(found.store_id, limit)
        return await rooms.view(found)

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


def _changing(
    store: str,
    *,
    name: str | None = None,
    shop_domain: str | None = None,
    tier: str | None = None,
    status: Literal["active", "suspended"] | None = None,
    low_threshold: LowThreshold | None = None,
) -> Callable[[Rooms], Awaitable[dict[str, Any]]]:
    async def act(rooms: Rooms) -> dict[str, Any]:
        store_id = await rooms.store_id(store)
        try:
            changed = await rooms.stores.update(
                store_id, name=name, shop_domain=shop_domain, tier=tier, status=status
            )
        except ValueError as error:
            raise Misused(f"{error}. Nothing was changed.") from error
        if changed is None:
            raise unknown_store(store_id)
        if low_threshold is not None:
            await rooms.credits.set_low_threshold(store_id, low_threshold.credits)
        return await rooms.view(changed)

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
    actor: str | None = None,
) -> dict[str, Any]:
    """A new store and its first API key, as they are shown. Raises `ValueError` for bad texts.

    `actor`: the operator who makes it; None: the service itself.
    """
    store = await rooms.stores.create(
        name=name,
        shop_domain=shop_domain,
        tier=tier,
        credit_count=credit_count,
        request_id=f"req_{uuid4()}",
        actor=actor,
    )
    issued = await rooms.api_keys.create(
        store.store_id, label=label, allowed_origins=allowed_origins
    )
    if issued is None:
        raise unknown_store(store.store_id)
    return {**await rooms.view(store), "api_key": issued.key, "key_id": issued.api_key.key_id}
