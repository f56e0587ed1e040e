"""`storecredit webhook`: where events are sent, registered, changed, and secrets replaced.

Of the operator's own endpoints, or with `--store` of a store's. `webhook_deliveries` has the
commands for what was sent there.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from storecredit.cli import output, webhook_deliveries
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
from storecredit.cli.problems import Failed, Misused
from storecredit.cli.webhook_options import (
    EndpointId,
    EventTypes,
    OfStore,
    description_text,
    of_store,
    unknown_endpoint,
)

if TYPE_CHECKING:
    from storecredit.operator.audit import ActionContext
    from storecredit.settings import Settings
    from storecredit.webhooks.endpoints import Endpoint, IssuedSecret, Status

COLUMNS = ("endpoint_id", "url", "event_types", "status", "disabled_reason", "failing_since")
SHOWN_ONCE = "This is the only time the secret is shown: keep it now."

Description = Annotated[
    str, typer.Option("--description", parser=description_text, help="What it is for.")
]

app = typer.Typer(
    help="Webhooks: URLs that are told what happens, to all owners or to one store.",
    no_args_is_help=True,
)


@app.command("create")
def create(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where events are posted to: https.")],
    type_: EventTypes = None,
    description: Description = "",
    ordered: Annotated[
        bool,
        typer.Option(
            "--ordered", help="One event after the other: one that fails holds up the rest."
        ),
    ] = False,
    store: OfStore = None,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Have events posted to a URL from now on; the secret that signs them is shown this once.

    Without --type it is told all that there are, and will be.
    """
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    _check(settings, url, type_, store)

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.webhooks.catalogue import EVERY
        from storecredit.webhooks.endpoints import ENDPOINTS_MAX, IssuedSecret

        account_id, store_id = await rooms.hearer(store)
        made = await rooms.operator.endpoints(context_of(actor, reason), of_store(store_id)).create(
            account_id,
            url=url,
            event_types=type_ or (EVERY,),
            description=description,
            ordered=ordered,
        )
        if not isinstance(made, IssuedSecret):
            raise Failed(
                f"There are {ENDPOINTS_MAX} endpoints, and there may not be more. Nothing was "
                "made; `storecredit webhook delete` removes one that is not needed."
            )
        return {**_view(made.endpoint, store_id), "secret": made.secret}

    output.record(against(settings, act), json=json)
    output.note(SHOWN_ONCE)


@app.command("list")
def list_endpoints(
    store: OfStore = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """List endpoints, newest first, those that are disabled included."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        account_id, store_id = await rooms.hearer(store)
        found = await rooms.endpoints.list(account_id)
        return {"items": [_view(each, store_id) for each in found]}

    found = against(settings_of(data_dir=data_dir, database_url=database_url), act)
    nothing = "There are no such endpoints. `storecredit webhook create` makes one."
    output.listing(found, COLUMNS, nothing=nothing, json=json)


@app.command("show")
def show(
    endpoint_id: EndpointId,
    store: OfStore = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show an endpoint; its secret is not shown again."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        account_id, store_id = await rooms.hearer(store)
        found = await rooms.endpoints.get(account_id, endpoint_id)
        return _found(found, endpoint_id, store, store_id)

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


@app.command("update")
def update(
    endpoint_id: EndpointId,
    url: Annotated[str | None, typer.Option("--url", help="Where events are posted to.")] = None,
    type_: EventTypes = None,
    description: Annotated[
        str | None,
        typer.Option("--description", parser=description_text, help="What it is for."),
    ] = None,
    ordered: Annotated[
        bool | None,
        typer.Option("--ordered/--not-ordered", help="Whether one event comes after the other."),
    ] = None,
    store: OfStore = None,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Change an endpoint; what is not given stays as it is. Types given replace all it had."""
    if url is None and not type_ and description is None and ordered is None:
        raise Misused("Give what to change: --url, --type, --description or --ordered.")
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    _check(settings, url, type_, store)

    async def act(rooms: Rooms) -> dict[str, Any]:
        account_id, store_id = await rooms.hearer(store)
        changed = await rooms.operator.endpoints(
            context_of(actor, reason), of_store(store_id)
        ).update(
            account_id,
            endpoint_id,
            url=url,
            event_types=type_ or None,
            description=description,
            ordered=ordered,
        )
        return _found(changed, endpoint_id, store, store_id)

    output.record(against(settings, act), json=json)


@app.command("rotate")
def rotate(
    endpoint_id: EndpointId,
    overlap_seconds: Annotated[
        int,
        typer.Option(
            "--overlap-seconds",
            min=0,
            max=30 * 24 * 3600,
            help="How long the secrets before it sign along, at most 30 days.",
        ),
    ] = 24 * 3600,
    store: OfStore = None,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Sign with a new secret, which is shown this once, and for a while with the old one, too."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        account_id, store_id = await rooms.hearer(store)
        rotated = await rooms.operator.endpoints(
            context_of(actor, reason), of_store(store_id)
        ).rotate(account_id, endpoint_id, overlap_seconds=overlap_seconds)
        from storecredit.webhooks.endpoints import TooManySecrets

        if isinstance(rotated, TooManySecrets):
            raise Failed(
                "So many secrets of this endpoint are valid that there cannot be another before "
                f"{output.shown(rotated.until)}. Nothing was changed; a shorter --overlap-seconds "
                "ends them sooner."
            )
        if rotated is None:
            raise unknown_endpoint(endpoint_id, store)
        return _rotated(rotated, store_id)

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)
    output.note(SHOWN_ONCE)


@app.command("enable")
def enable(
    endpoint_id: EndpointId,
    store: OfStore = None,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Send to an endpoint again; what was given up meanwhile, `resend` sends."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    _set_status(settings, context_of(actor, reason), endpoint_id, store, "enabled", json=json)


@app.command("disable")
def disable(
    endpoint_id: EndpointId,
    store: OfStore = None,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Stop sending to an endpoint, and give up what waits for it."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    _set_status(settings, context_of(actor, reason), endpoint_id, store, "disabled", json=json)


@app.command("delete")
def delete(
    endpoint_id: EndpointId,
    store: OfStore = None,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Remove an endpoint for ever, and what is known of its deliveries."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        account_id, store_id = await rooms.hearer(store)
        if not await rooms.operator.endpoints(context_of(actor, reason), of_store(store_id)).delete(
            account_id, endpoint_id
        ):
            raise unknown_endpoint(endpoint_id, store)
        return {"endpoint_id": endpoint_id, "deleted": True}

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


webhook_deliveries.add_to(app)


def _set_status(
    settings: "Settings",
    context: "ActionContext",
    endpoint_id: UUID,
    store: str | None,
    status: "Status",
    *,
    json: bool,
) -> None:
    async def act(rooms: Rooms) -> dict[str, Any]:
        account_id, store_id = await rooms.hearer(store)
        changed = await rooms.operator.endpoints(context, of_store(store_id)).set_status(
            account_id, endpoint_id, status
        )
        return _found(changed, endpoint_id, store, store_id)

    output.record(against(settings, act), json=json)


def _check(
    settings: "Settings", url: str | None, types: list[str] | None, store: str | None
) -> None:
    """Refuse what cannot be; `--type` knows the names already."""
    from storecredit.webhooks.catalogue import OPERATOR_EVENT_TYPES
    from storecredit.webhooks.urls import url_refusal

    if url is not None:
        refusal = url_refusal(url, allow_private_hosts=settings.allow_private_hosts)
        if refusal is not None:
            raise Misused(f"{refusal} Nothing was changed.{_way_out(settings, url)}")
    hidden = [each for each in types or () if each in OPERATOR_EVENT_TYPES]
    if store is not None and hidden:
        raise Misused(
            f"{hidden[0]} is told to the operator alone, to no store. Nothing was changed."
        )


def _way_out(settings: "Settings", url: str) -> str:
    """How a URL on this machine can be used: the setting counts here as where it is sent from."""
    from storecredit.webhooks.urls import url_refusal

    if settings.allow_private_hosts or url_refusal(url, allow_private_hosts=True) is not None:
        return ""
    return (
        " With STORECREDIT_ALLOW_PRIVATE_HOSTS=1, here and for the service, http and private "
        "addresses will do."
    )


def _found(
    endpoint: "Endpoint | None", endpoint_id: UUID, store: str | None, store_id: UUID | None
) -> dict[str, Any]:
    if endpoint is None:
        raise unknown_endpoint(endpoint_id, store)
    return _view(endpoint, store_id)


def _view(endpoint: "Endpoint", store_id: UUID | None) -> dict[str, Any]:
    """An endpoint as the operator's API shows it."""
    fields = asdict(endpoint)
    return {"endpoint_id": fields.pop("endpoint_id"), "store_id": store_id, **fields}


def _rotated(rotated: "IssuedSecret", store_id: UUID | None) -> dict[str, Any]:
    return {
        **_view(rotated.endpoint, store_id),
        "secret": rotated.secret,
        "previous_expires_at": rotated.previous_expires_at,
    }
