"""What webhook endpoints were told, and what became of it: for the doors of `doors.py`."""

from typing import Annotated
from uuid import UUID

from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter

from storecredit.web.http.envelope import Envelope, Failure, not_found
from storecredit.web.http.faults import Check
from storecredit.web.http.moments import utc
from storecredit.web.http.paging import PAGE_DEFAULT, Limit, SeqCursor, seq_cursor
from storecredit.web.resources.webhooks.hearers import (
    EndpointId,
    Hearer,
    endpoint_disabled,
    named_endpoint,
    no_such_endpoint,
)
from storecredit.web.resources.webhooks.views import (
    DeliveriesResent,
    DeliveryAttempts,
    DeliveryPageView,
    ResendBody,
    delivery_attempts,
    delivery_view,
    told_type_refusal,
)
from storecredit.webhooks.delivery_records import DeliveryStatus, Resent, read_event_id
from storecredit.webhooks.endpoints import Disabled

EventId = Annotated[
    str, PathParameter(description="The event, as `webhook-id` or a list of deliveries names it.")
]
EventType = Annotated[
    str | None,
    QueryParameter(name="type", max_length=100, description="Only events of this type."),
    Check(told_type_refusal),
]


async def list_deliveries(
    hearer: NamedDependency[Hearer],
    endpoint_id: EndpointId,
    status: FromQuery[DeliveryStatus | None] = None,
    type_: EventType = None,
    limit: Limit = PAGE_DEFAULT,
    cursor: SeqCursor = None,
) -> Envelope[DeliveryPageView]:
    """What it was told in the last 30 days, newest event first, and what became of that.

    Of one `type` a page may hold few or none though there are more: `next_cursor` says so.
    """
    id_ = await _existing(hearer, endpoint_id)
    page = await hearer.deliveries.list(
        hearer.account_id,
        id_,
        status=status,
        type_=type_,
        limit=limit,
        before=seq_cursor(cursor),
    )
    return Envelope(
        DeliveryPageView(
            [delivery_view(each) for each in page.items],
            None if page.next_before is None else str(page.next_before),
        )
    )


async def get_delivery(
    hearer: NamedDependency[Hearer],
    endpoint_id: EndpointId,
    event_id: EventId,
) -> Envelope[DeliveryAttempts]:
    """One event, what became of it at this endpoint, and each attempt with its answer."""
    id_ = await _existing(hearer, endpoint_id)
    found = await hearer.deliveries.get(hearer.account_id, id_, _named_event(event_id))
    if found is None:
        raise _no_such_delivery()
    return Envelope(delivery_attempts(found))


async def resend_delivery(
    hearer: NamedDependency[Hearer],
    endpoint_id: EndpointId,
    event_id: EventId,
) -> Envelope[DeliveriesResent]:
    """Sends one event again, or at last, at once, under the same `webhook-id`."""
    id_ = await _existing(hearer, endpoint_id)
    resent = await hearer.deliveries.resend(hearer.account_id, id_, _named_event(event_id))
    if resent is None:
        raise _no_such_delivery()
    return _resent(resent)


async def resend_since(
    hearer: NamedDependency[Hearer],
    endpoint_id: EndpointId,
    data: JSONBody[ResendBody],
) -> Envelope[DeliveriesResent]:
    """Sends again what has happened since a moment and was delivered or given up.

    The oldest first. What is pending stays so.
    """
    status = None if data.status is None else DeliveryStatus(data.status)
    resent = await hearer.deliveries.resend_since(
        hearer.account_id,
        named_endpoint(endpoint_id),
        utc(data.since),
        status=status,
        after=seq_cursor(data.cursor) or 0,
    )
    if resent is None:
        raise no_such_endpoint()
    return _resent(resent)


def _resent(resent: Resent | Disabled) -> Envelope[DeliveriesResent]:
    if isinstance(resent, Disabled):
        raise endpoint_disabled()
    after = resent.next_after
    return Envelope(DeliveriesResent(resent.count, None if after is None else str(after)))


async def _existing(hearer: Hearer, endpoint_id: str) -> UUID:
    found = await hearer.endpoints.get(hearer.account_id, named_endpoint(endpoint_id))
    if found is None:
        raise no_such_endpoint()
    return found.endpoint_id


def _named_event(event_id: str) -> UUID:
    try:
        return read_event_id(event_id)
    except ValueError:
        raise _no_such_delivery() from None


def _no_such_delivery() -> Failure:
    return not_found("delivery: the endpoint was not to be told of this event in the last 30 days")
