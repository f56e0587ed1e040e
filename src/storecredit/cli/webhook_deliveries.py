"""`storecredit webhook test`, `deliveries`, `resend`: what was sent to an endpoint, sent again."""

import asyncio
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import (
    PAGE_DEFAULT,
    Actor,
    BeforeSeq,
    DatabaseUrl,
    DataDir,
    Json,
    Limit,
    Reason,
    context_of,
    moment_text,
    settings_of,
)
from storecredit.cli.problems import Failed, Misused
from storecredit.cli.webhook_options import (
    EndpointId,
    OfStore,
    of_store,
    told_event_type,
    unknown_endpoint,
)

if TYPE_CHECKING:
    from storecredit.webhooks.delivery_records import (
        Delivery,
        DeliveryRecords,
        Followed,
        Resent,
    )
    from storecredit.webhooks.endpoints import Disabled

COLUMNS = (
    *("event_id", "type", "created_at", "status", "attempts", "status_code", "error"),
    "next_attempt_at",
)
ATTEMPT_COLUMNS = ("attempt", "attempted_at", "milliseconds", "status_code", "error", "answer")
TEST_SECONDS_MAX: Final = 30.0
"""How long `test` waits for the first attempt; a receiver has half of it."""
LOOK_SECONDS: Final = 0.1

# As webhooks.delivery_records lists them; named here so that `--help` does not load it.
StatusName = Literal["pending", "delivered", "failed"]
EndedName = Literal["delivered", "failed"]


def event_id_text(text: str) -> UUID:
    """An event, as `webhook-id` names it."""
    try:
        return UUID(text.removeprefix("evt_"))
    except ValueError:
        raise typer.BadParameter(
            "an event's id is evt_ and 32 digits, as `deliveries` lists it"
        ) from None


OptionalEventId = Annotated[
    UUID | None,
    typer.Argument(
        metavar="[EVENT_ID]", parser=event_id_text, help="One event, as `deliveries` lists it."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Put this module's commands into the command line."""
    app.command("test")(send_test)
    for command in (deliveries, resend):
        app.command(command.__name__)(command)


def send_test(
    endpoint_id: EndpointId,
    store: OfStore = None,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Send a test event to one endpoint, and show what was answered."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        account_id, store_id = await rooms.hearer(store)
        acting = rooms.operator.endpoints(context_of(actor, reason), of_store(store_id))
        event_id = await acting.test(account_id, endpoint_id)
        if event_id is None:
            raise unknown_endpoint(endpoint_id, store)
        if not isinstance(event_id, UUID):
            raise _disabled(endpoint_id)
        return await _first_attempt(rooms, account_id, endpoint_id, event_id)

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    found = against(settings, act)
    _show(found, json=json)
    if found["status"] != "delivered":
        raise typer.Exit(1)


async def _first_attempt(
    rooms: Rooms, account_id: int, endpoint_id: UUID, event_id: UUID
) -> dict[str, Any]:
    """The delivery, once it was attempted."""
    from storecredit.webhooks.messages import message_id

    try:
        async with asyncio.timeout(TEST_SECONDS_MAX):
            while True:
                found = await rooms.delivery_records.get(account_id, endpoint_id, event_id)
                if found is not None and found.attempts:
                    return _followed_view(found)
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise Failed(
            f"The event {message_id(event_id)} was not sent within {TEST_SECONDS_MAX:g} s: "
            "deliveries are made where `storecredit serve` or `storecredit worker` runs. It waits "
            "for that; `storecredit webhook deliveries` shows what becomes of it."
        ) from None


def deliveries(
    endpoint_id: EndpointId,
    event_id: OptionalEventId = None,
    status: Annotated[
        StatusName | None, typer.Option("--status", help="Only those of this status.")
    ] = None,
    type_: Annotated[
        str | None,
        typer.Option(
            "--type", parser=told_event_type, metavar="TYPE", help="Only events of this type."
        ),
    ] = None,
    limit: Limit = PAGE_DEFAULT,
    cursor: BeforeSeq = None,
    store: OfStore = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """List what an endpoint was told in 30 days; of one event each attempt, and its answer."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    if event_id is not None:
        if status is not None or type_ is not None or cursor is not None:
            raise Misused("Give an event, or what to list, not both.")
        _show(against(settings, _one(endpoint_id, event_id, store)), json=json)
        return

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.webhooks.delivery_records import DeliveryStatus

        account_id, _ = await rooms.hearer(store)
        if await rooms.endpoints.get(account_id, endpoint_id) is None:
            raise unknown_endpoint(endpoint_id, store)
        page = await rooms.delivery_records.list(
            account_id,
            endpoint_id,
            status=None if status is None else DeliveryStatus(status),
            type_=type_,
            limit=limit,
            before=cursor,
        )
        items = [_view(each) for each in page.items]
        return {"items": items, "next_cursor": page.next_before and str(page.next_before)}

    nothing = "The endpoint was told nothing of that kind in the last 30 days."
    output.listing(against(settings, act), COLUMNS, nothing=nothing, json=json)


def resend(
    endpoint_id: EndpointId,
    event_id: OptionalEventId = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--since",
            parser=moment_text,
            metavar="TIME",
            help="All that has happened since then and was delivered or given up: 2027-01-31 or "
            "2027-01-31T10:30+01:00.",
        ),
    ] = None,
    status: Annotated[
        EndedName | None, typer.Option("--status", help="With --since: only what has ended so.")
    ] = None,
    store: OfStore = None,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Send one event to an endpoint again, or all since a time; their ids stay."""
    if (event_id is None) == (since is None):
        raise Misused("Give an event or --since, which of the two is to be sent again.")
    if status is not None and since is None:
        raise Misused("--status goes with --since.")

    async def act(rooms: Rooms) -> dict[str, Any]:
        account_id, store_id = await rooms.hearer(store)
        if await rooms.endpoints.get(account_id, endpoint_id) is None:
            raise unknown_endpoint(endpoint_id, store)
        acting = rooms.operator.deliveries(context_of(actor, reason), of_store(store_id))
        if since is not None:
            return {"resent": await _resend_since(acting, account_id, endpoint_id, since, status)}
        assert event_id is not None
        resent = await acting.resend(account_id, endpoint_id, event_id)
        if resent is None:
            raise _unknown_delivery()
        return {"resent": _resent(resent, endpoint_id).count}

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


async def _resend_since(
    deliveries: "DeliveryRecords",
    account_id: int,
    endpoint_id: UUID,
    since: datetime,
    status: str | None,
) -> int:
    """How many are sent again; page by page, until there is no more."""
    from storecredit.webhooks.delivery_records import DeliveryStatus

    wanted = None if status is None else DeliveryStatus(status)
    count, after = 0, 0
    while True:
        resent = await deliveries.resend_since(
            account_id, endpoint_id, since, status=wanted, after=after
        )
        if resent is None:  # deleted meanwhile
            return count
        done = _resent(resent, endpoint_id)
        count += done.count
        if done.next_after is None:
            return count
        after = done.next_after


def _one(endpoint_id: UUID, event_id: UUID, store: str | None) -> Any:
    async def act(rooms: Rooms) -> dict[str, Any]:
        account_id, _ = await rooms.hearer(store)
        if await rooms.endpoints.get(account_id, endpoint_id) is None:
            raise unknown_endpoint(endpoint_id, store)
        found = await rooms.delivery_records.get(account_id, endpoint_id, event_id)
        if found is None:
            raise _unknown_delivery()
        return _followed_view(found)

    return act


def _resent(resent: "Resent | Disabled", endpoint_id: UUID) -> "Resent":
    from storecredit.webhooks.delivery_records import Resent

    if isinstance(resent, Resent):
        return resent
    raise _disabled(endpoint_id)


def _show(delivery: dict[str, Any], *, json: bool) -> None:
    """One delivery and its attempts."""
    if json:
        output.as_json(delivery)
        return
    attempted = delivery["attempted"]
    output.record({name: delivery[name] for name in delivery if name != "attempted"}, json=False)
    if attempted:
        output.table(ATTEMPT_COLUMNS, attempted)


def _view(delivery: "Delivery") -> dict[str, Any]:
    """A delivery as the operator's API shows it."""
    from storecredit.webhooks.messages import message_id

    fields = asdict(delivery)
    del fields["seq"]
    return {**fields, "event_id": message_id(delivery.event_id)}


def _followed_view(followed: "Followed") -> dict[str, Any]:
    """With what is sent and each attempt, likewise."""
    attempted = [asdict(each) for each in followed.attempts]
    return {**_view(followed.delivery), "body": followed.body, "attempted": attempted}


def _unknown_delivery() -> Failed:
    return Failed(
        "The endpoint was not to be told of this event in the last 30 days. "
        "`storecredit webhook deliveries` lists what it was told."
    )


def _disabled(endpoint_id: UUID) -> Failed:
    return Failed(
        f"The endpoint {endpoint_id} is disabled. Nothing was sent; "
        "`storecredit webhook enable` lets it be sent to again."
    )
