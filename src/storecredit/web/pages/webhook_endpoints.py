"""Pages of webhook endpoints: registered, changed, tested, switched, their secrets replaced."""

from datetime import timedelta
from typing import Any, Final, assert_never
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from storecredit.operator.audit import ActionContext
from storecredit.operator.tokens import Scope
from storecredit.operator.webhooks import SentBefore
from storecredit.web.http.envelope import not_found
from storecredit.web.http.scopes import needs
from storecredit.web.pages.forms import NO_FORM, Form, FormRefused, read_form
from storecredit.web.pages.hearing import Heard, Hearing
from storecredit.web.pages.signed_in import SEE_OTHER
from storecredit.web.resources.webhooks.views import (
    Description,
    EventTypes,
    Ordered,
    RotateSecretBody,
    Url,
)
from storecredit.webhooks.catalogue import EVERY
from storecredit.webhooks.endpoints import (
    ENDPOINTS_MAX,
    Disabled,
    Endpoint,
    IssuedSecret,
    Status,
    TooManyEndpoints,
    TooManySecrets,
)
from storecredit.webhooks.messages import message_id

OVERLAPS: Final = (
    ("0", "not at all"),
    (str(int(timedelta(hours=1).total_seconds())), "for an hour"),
    (str(int(timedelta(days=1).total_seconds())), "for a day"),
    (str(int(timedelta(days=7).total_seconds())), "for a week"),
    (str(int(timedelta(days=30).total_seconds())), "for 30 days"),
)
"""How long a replaced secret may sign along: seconds, and what the page calls them."""
FULL: Final = f"There are {ENDPOINTS_MAX} endpoints, and there may not be more. Delete one first."
NOT_FOR_STORES: Final = "This type of event is told to the operator alone."
DISABLED: Final = "The endpoint is disabled, so nothing is sent to it. Enable it first."


class EndpointForm(msgspec.Struct):
    """An endpoint as it is to be."""

    url: Url
    event_types: EventTypes
    description: Description = ""
    ordered: Ordered = False


@get("/")
async def endpoints_page(request: Request[Any, Any, Any], hearing: Heard) -> Response[str]:
    """All that there are, newest first, those that are disabled included."""
    found = await hearing.endpoints.list(hearing.account_id)
    done = request.query_params.get("done")
    return hearing.page(request, "webhooks.html", endpoints=found, done=done)


@get("/new", **needs(Scope.ALL))
async def new_endpoint_page(request: Request[Any, Any, Any], hearing: Heard) -> Response[str]:
    """Asks where events go to, and which."""
    return _asking(request, hearing, "webhook_new.html", NO_FORM)


@post("/new", status_code=200)
async def create_endpoint(
    request: Request[Any, Any, Any],
    hearing: Heard,
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[str]:
    """Registers it, and shows its secret this once."""
    try:
        wanted = _wanted(request, hearing, form)
        made = await hearing.acting_endpoints(context).create(
            hearing.account_id, **msgspec.structs.asdict(wanted)
        )
    except FormRefused as refused:
        return _asking(request, hearing, "webhook_new.html", refused.form)
    except SentBefore as before:
        return await _shown_before(request, hearing, before.endpoint_id)
    if isinstance(made, TooManyEndpoints):
        return _asking(request, hearing, "webhook_new.html", form.with_faults({"url": FULL}))
    return _shown_once(request, hearing, made, is_new=True)


@get("/{endpoint_id:uuid}/change", **needs(Scope.ALL))
async def change_page(
    request: Request[Any, Any, Any], hearing: Heard, endpoint_id: FromPath[UUID]
) -> Response[str]:
    """Asks what of it is to be otherwise."""
    endpoint = await hearing.endpoint(endpoint_id)
    return _asking(request, hearing, "webhook_change.html", NO_FORM, endpoint)


@post("/{endpoint_id:uuid}/change", status_code=200)
async def change_endpoint(
    request: Request[Any, Any, Any],
    hearing: Heard,
    endpoint_id: FromPath[UUID],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """What waits for it goes to its new URL."""
    endpoint = await hearing.endpoint(endpoint_id)
    try:
        wanted = _wanted(request, hearing, form)
    except FormRefused as refused:
        return _asking(request, hearing, "webhook_change.html", refused.form, endpoint)
    # What stays as it is, is not written down as changed; sent again, the form changes nothing.
    given = {
        name: value
        for name, value in msgspec.structs.asdict(wanted).items()
        if value != _as_form(getattr(endpoint, name))
    }
    if given:
        await hearing.acting_endpoints(context).update(hearing.account_id, endpoint_id, **given)
    return _back(hearing, endpoint_id, "changed")


@post("/{endpoint_id:uuid}/enable", status_code=200)
async def enable_endpoint(
    hearing: Heard, endpoint_id: FromPath[UUID], context: NamedDependency[ActionContext]
) -> Response[Any]:
    """Sends to it again what happens from now on."""
    return await _switched(hearing, endpoint_id, context, "enabled")


@get("/{endpoint_id:uuid}/disable", **needs(Scope.ALL))
async def disable_page(
    request: Request[Any, Any, Any], hearing: Heard, endpoint_id: FromPath[UUID]
) -> Response[str]:
    """Says what becomes of what waits."""
    endpoint = await hearing.endpoint(endpoint_id)
    return hearing.page(request, "webhook_disable.html", endpoint=endpoint)


@post("/{endpoint_id:uuid}/disable", status_code=200)
async def disable_endpoint(
    hearing: Heard, endpoint_id: FromPath[UUID], context: NamedDependency[ActionContext]
) -> Response[Any]:
    """Stops sending to it, and gives up what waits for it."""
    return await _switched(hearing, endpoint_id, context, "disabled")


@get("/{endpoint_id:uuid}/delete", **needs(Scope.ALL))
async def delete_page(
    request: Request[Any, Any, Any], hearing: Heard, endpoint_id: FromPath[UUID]
) -> Response[str]:
    """Says what goes with it."""
    endpoint = await hearing.endpoint(endpoint_id)
    return hearing.page(request, "webhook_delete.html", endpoint=endpoint)


@post("/{endpoint_id:uuid}/delete", status_code=200)
async def delete_endpoint(
    hearing: Heard, endpoint_id: FromPath[UUID], context: NamedDependency[ActionContext]
) -> Response[Any]:
    """Removes it for ever, with what it was told."""
    if not await hearing.acting_endpoints(context).delete(hearing.account_id, endpoint_id):
        raise not_found("webhook endpoint")
    return Redirect(f"{hearing.address}?done=deleted", status_code=SEE_OTHER)


@get("/{endpoint_id:uuid}/rotate", **needs(Scope.ALL))
async def rotate_page(
    request: Request[Any, Any, Any], hearing: Heard, endpoint_id: FromPath[UUID]
) -> Response[str]:
    """Asks how long the old secret signs along."""
    endpoint = await hearing.endpoint(endpoint_id)
    return _rotating(request, hearing, endpoint, NO_FORM)


@post("/{endpoint_id:uuid}/rotate", status_code=200)
async def rotate_secret(
    request: Request[Any, Any, Any],
    hearing: Heard,
    endpoint_id: FromPath[UUID],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[str]:
    """A new secret, shown this once."""
    endpoint = await hearing.endpoint(endpoint_id)
    try:
        wanted = read_form(request, form, RotateSecretBody)
        rotated = await hearing.acting_endpoints(context).rotate(
            hearing.account_id, endpoint_id, overlap_seconds=wanted.overlap_seconds
        )
    except FormRefused as refused:
        return _rotating(request, hearing, endpoint, refused.form)
    except SentBefore as before:
        return await _shown_before(request, hearing, before.endpoint_id)
    if isinstance(rotated, TooManySecrets):
        message = (
            "So many secrets sign along that one more has to wait until "
            f"{rotated.until:%Y-%m-%d %H:%M} UTC; or say that the old ones end sooner."
        )
        wrong = form.with_faults({"overlap_seconds": message})
        return _rotating(request, hearing, endpoint, wrong)
    if rotated is None:
        raise not_found("webhook endpoint")
    return _shown_once(request, hearing, rotated, is_new=False)


@post("/{endpoint_id:uuid}/test", status_code=200)
async def test_endpoint(
    hearing: Heard, endpoint_id: FromPath[UUID], context: NamedDependency[ActionContext]
) -> Response[Any]:
    """Tells it, and no other, of a `webhook.test` event; leads to what becomes of that."""
    match await hearing.acting_endpoints(context).test(hearing.account_id, endpoint_id):
        case UUID() as told:
            address = f"{hearing.address_of(endpoint_id)}/deliveries/{message_id(told)}?done=tested"
            return Redirect(address, status_code=SEE_OTHER)
        case Disabled():
            return _back(hearing, endpoint_id, "disabled-already")
        case None:
            raise not_found("webhook endpoint")
        case other:
            assert_never(other)


async def _switched(
    hearing: Hearing, endpoint_id: UUID, context: ActionContext, status: Status
) -> Response[Any]:
    changed = await hearing.acting_endpoints(context).set_status(
        hearing.account_id, endpoint_id, status
    )
    if changed is None:
        raise not_found("webhook endpoint")
    return _back(hearing, endpoint_id, status)


def _wanted(request: Request[Any, Any, Any], hearing: Hearing, form: Form) -> EndpointForm:
    wanted = read_form(request, form, EndpointForm)
    if not {*wanted.event_types} <= {EVERY, *dict(hearing.types)}:
        raise FormRefused(form.with_faults({"event_types": NOT_FOR_STORES}))
    return wanted


def _as_form(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _asking(
    request: Request[Any, Any, Any],
    hearing: Hearing,
    template: str,
    form: Form,
    endpoint: Endpoint | None = None,
) -> Response[str]:
    return hearing.page(
        request,
        template,
        status=400 if form.faults else 200,
        form=form,
        endpoint=endpoint,
        types=hearing.types,
    )


def _shown_once(
    request: Request[Any, Any, Any], hearing: Hearing, issued: IssuedSecret, *, is_new: bool
) -> Response[str]:
    return hearing.page(
        request,
        "webhook_secret.html",
        endpoint=issued.endpoint,
        secret=issued.secret,
        until=issued.previous_expires_at,
        is_new=is_new,
    )


async def _shown_before(
    request: Request[Any, Any, Any], hearing: Hearing, endpoint_id: UUID
) -> Response[str]:
    endpoint = await hearing.endpoint(endpoint_id)
    return hearing.page(
        request, "webhook_secret.html", endpoint=endpoint, secret=None, until=None, is_new=False
    )


def _rotating(
    request: Request[Any, Any, Any], hearing: Hearing, endpoint: Endpoint, form: Form
) -> Response[str]:
    return hearing.page(
        request,
        "webhook_rotate.html",
        status=400 if form.faults else 200,
        endpoint=endpoint,
        overlaps=OVERLAPS,
        form=form,
    )


def _back(hearing: Hearing, endpoint_id: UUID, done: str) -> Response[Any]:
    return Redirect(f"{hearing.address_of(endpoint_id)}?done={done}", status_code=SEE_OTHER)
