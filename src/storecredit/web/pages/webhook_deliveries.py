"""Pages of what webhook endpoints were told, and what became of it; sent again from there."""

import asyncio
import json
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from storecredit.operator.audit import ActionContext
from storecredit.operator.tokens import Scope
from storecredit.web.http.envelope import not_found
from storecredit.web.http.faults import Check
from storecredit.web.http.moments import utc
from storecredit.web.http.paging import given_out, seq_cursor
from storecredit.web.http.scopes import needs
from storecredit.web.pages.forms import NO_FORM, Form, FormRefused, read_form
from storecredit.web.pages.hearing import Heard, Hearing
from storecredit.web.pages.queries import read_query
from storecredit.web.pages.signed_in import SEE_OTHER
from storecredit.web.pages.webhook_endpoints import DISABLED
from storecredit.web.resources.webhooks.views import told_type_refusal
from storecredit.webhooks.catalogue import TEST
from storecredit.webhooks.delivery_records import (
    AFTER_ALL,
    DeliveryPage,
    DeliveryStatus,
    Resent,
    read_event_id,
)
from storecredit.webhooks.endpoints import Disabled
from storecredit.webhooks.messages import message_id

SHOWN: Final = 25
FAILED_SHOWN: Final = 5
NOT_TOLD: Final = "delivery: the endpoint was not to be told of this event in the last 30 days"


class DeliveryQuery(msgspec.Struct):
    """Which deliveries are wanted."""

    status: DeliveryStatus | None = None
    type: Annotated[str, msgspec.Meta(max_length=100), Check(told_type_refusal)] | None = None
    cursor: Annotated[str, msgspec.Meta(max_length=100), given_out(seq_cursor)] | None = None


class ResendForm(msgspec.Struct):
    """What is to be sent again: what has happened since then, and ended so."""

    since: datetime
    status: Literal["failed", "delivered"] | None = None
    after: Annotated[int, msgspec.Meta(ge=0, le=AFTER_ALL)] = 0


@get("/{endpoint_id:uuid}")
async def endpoint_page(
    request: Request[Any, Any, Any], hearing: Heard, endpoint_id: FromPath[UUID]
) -> Response[str]:
    """An endpoint, what it did not take, and all that it was told, newest first."""
    endpoint = await hearing.endpoint(endpoint_id)
    query = read_query(request, DeliveryQuery)
    listed, failed = await asyncio.gather(
        _listed(hearing, endpoint_id, query.wanted),
        hearing.deliveries.list(
            hearing.account_id, endpoint_id, status=DeliveryStatus.FAILED, limit=FAILED_SHOWN
        ),
    )
    more = None if listed.next_before is None else str(listed.next_before)
    return hearing.page(
        request,
        "webhook.html",
        status=query.status,
        endpoint=endpoint,
        asked=query,
        form=query.form,
        types=[*hearing.types, (TEST, TEST)],
        deliveries=listed.items,
        failed=failed.items if query.is_bare else (),
        next_address=query.next(more),
        message_id=message_id,
        done=request.query_params.get("done"),
    )


@get("/{endpoint_id:uuid}/deliveries/{event_id:str}")
async def delivery_page(
    request: Request[Any, Any, Any],
    hearing: Heard,
    endpoint_id: FromPath[UUID],
    event_id: FromPath[str],
) -> Response[str]:
    """One event, what is sent, and each attempt with its answer."""
    endpoint = await hearing.endpoint(endpoint_id)
    found = await hearing.deliveries.get(hearing.account_id, endpoint_id, _named(event_id))
    if found is None:
        raise not_found(NOT_TOLD)
    return hearing.page(
        request,
        "webhook_delivery.html",
        endpoint=endpoint,
        delivery=found.delivery,
        attempts=found.attempts,
        body=json.dumps(json.loads(found.body), indent=2, ensure_ascii=False),
        event_id=message_id(found.delivery.event_id),
        done=request.query_params.get("done"),
    )


@post("/{endpoint_id:uuid}/deliveries/{event_id:str}/resend", status_code=200)
async def resend_delivery(
    hearing: Heard,
    endpoint_id: FromPath[UUID],
    event_id: FromPath[str],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Sends one event again, at once, under the same `webhook-id`."""
    resent = await hearing.acting_deliveries(context).resend(
        hearing.account_id, endpoint_id, _named(event_id)
    )
    if resent is None:
        raise not_found(NOT_TOLD)
    done = "resent" if isinstance(resent, Resent) else "disabled-already"
    address = f"{hearing.address_of(endpoint_id)}/deliveries/{event_id}?done={done}"
    return Redirect(address, status_code=SEE_OTHER)


@get("/{endpoint_id:uuid}/resend", **needs(Scope.ALL))
async def resend_page(
    request: Request[Any, Any, Any], hearing: Heard, endpoint_id: FromPath[UUID]
) -> Response[str]:
    """Asks since when, and what of it."""
    return await _resend_asked(request, hearing, endpoint_id, NO_FORM)


@post("/{endpoint_id:uuid}/resend", status_code=200)
async def resend_since(
    request: Request[Any, Any, Any],
    hearing: Heard,
    endpoint_id: FromPath[UUID],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Sends again what has happened since then and has ended, the oldest first."""
    try:
        wanted = read_form(request, form, ResendForm)
    except FormRefused as refused:
        return await _resend_asked(request, hearing, endpoint_id, refused.form)
    resent = await hearing.acting_deliveries(context).resend_since(
        hearing.account_id,
        endpoint_id,
        utc(wanted.since),
        status=None if wanted.status is None else DeliveryStatus(wanted.status),
        after=wanted.after,
    )
    if isinstance(resent, Disabled):
        wrong = form.with_faults({"since": DISABLED})
        return await _resend_asked(request, hearing, endpoint_id, wrong)
    if resent is None:
        raise not_found("webhook endpoint")
    if resent.next_after is not None:
        return await _resend_asked(request, hearing, endpoint_id, form.with_faults({}), resent)
    address = f"{hearing.address_of(endpoint_id)}?done=resent"
    return Redirect(address, status_code=SEE_OTHER)


async def _resend_asked(
    request: Request[Any, Any, Any],
    hearing: Hearing,
    endpoint_id: UUID,
    form: Form,
    resent: Resent | None = None,
) -> Response[str]:
    endpoint = await hearing.endpoint(endpoint_id)
    status = 400 if form.faults else 200
    values = {"endpoint": endpoint, "form": form, "resent": resent}
    return hearing.page(request, "webhook_resend.html", status=status, **values)


async def _listed(
    hearing: Hearing, endpoint_id: UUID, wanted: DeliveryQuery | None
) -> DeliveryPage:
    if wanted is None:
        return DeliveryPage((), None)
    return await hearing.deliveries.list(
        hearing.account_id,
        endpoint_id,
        status=wanted.status,
        type_=wanted.type,
        limit=SHOWN,
        before=seq_cursor(wanted.cursor),
    )


def _named(event_id: str) -> UUID:
    try:
        return read_event_id(event_id)
    except ValueError:
        raise not_found(NOT_TOLD) from None
