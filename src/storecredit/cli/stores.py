"""`storecredit store`: make, list, show, change, suspend and resume stores."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
    Reason,
    StoreName,
    context_of,
    search_text,
    settings_of,
)
from storecredit.cli.problems import Misused, unknown_store

if TYPE_CHECKING:
    from storecredit.operator.audit import ActionContext

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
    shop_domain: Annotated[
        str,
        typer.Option("--shop-domain", help="The shop's domain; of an address the domain is kept."),
    ],
    tier: Annotated[str, typer.Option("--tier", help="Which rate limits it has.")] = "default",
    credits: Annotated[
        int, typer.Option("--credits", min=0, max=CREDITS_MAX, help="Credits to begin with.")
    ] = 0,
    origin: Origins = None,
    actor: Actor = None,
    reason: Reason = "",
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
                context=context_of(actor, reason),
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

    found = against(
        settings_of(data_dir=data_dir, database_url=database_url), act, may_only_read=True
    )
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
    output.record(against(settings, act, may_only_read=True), json=json)


@app.command("update")
def update(
    store: StoreName,
    name: Annotated[str | None, typer.Option("--name", help="What people call it.")] = None,
    shop_domain: Annotated[
        str | None,
        typer.Option("--shop-domain", help="The shop's domain; of an address the domain is kept."),
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
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Change a store's name, domain, tier or threshold; what is not given stays as it is."""
    if name is None and shop_domain is None and tier is None and low_threshold is None:
        raise Misused("Give what to change: --name, --shop-domain, --tier or --low-threshold.")
    changes: dict[str, Any] = {"name": name, "shop_domain": shop_domain, "tier": tier}
    if low_threshold is not None:
        changes["low_threshold"] = low_threshold.credits
    act = _changing(store, context_of(actor, reason), changes)
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


@app.command("suspend")
def suspend(
    store: StoreName,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Refuse all of a store's API keys, within a second; its credits stay."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(
        against(settings, _changing(store, context_of(actor, reason), {"status": "suspended"})),
        json=json,
    )


@app.command("resume")
def resume(
    store: StoreName,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Let a suspended store's API keys work again."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(
        against(settings, _changing(store, context_of(actor, reason), {"status": "active"})),
        json=json,
    )


@app.command("overage")
def overage(
    store: StoreName,
    limit: Annotated[
        int,
        typer.Option("--limit", min=0, max=CREDITS_MAX, help="Until the next bill; 0: off."),
    ],
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Let a store go on at a balance of zero, up to a limit; it is billed once a month."""
    act = _changing(store, context_of(actor, reason), {"overage_limit": limit})
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


def _changing(
    store: str, context: "ActionContext", changes: Mapping[str, Any]
) -> Callable[[Rooms], Awaitable[dict[str, Any]]]:
    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.operator.stores import StoreChanges

        store_id = await rooms.store_id(store)
        try:
            changed = await rooms.operator.stores.change(context, store_id, StoreChanges(**changes))
        except ValueError as error:
            raise Misused(f"{error}. Nothing was changed.") from error
        if changed is None:
            raise unknown_store(store_id)
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
    context: "ActionContext",
    allowed_origins: Sequence[str] = (),
) -> dict[str, Any]:
    """A new store and its first API key, as they are shown. Raises `ValueError` for bad texts."""
    from storecredit.operator.stores import NewStore

    new = NewStore(name, shop_domain, tier, credit_count, tuple(allowed_origins), label)
    done = await rooms.operator.stores.make(context, new)
    return {**await rooms.view(done.store), "api_key": done.key, "key_id": done.key_id}
