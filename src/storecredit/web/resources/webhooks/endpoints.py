"""Webhook endpoints, registered and changed: what the doors of `doors.py` do with them."""

from typing import assert_never

from litestar import Response
from litestar.di import NamedDependency
from litestar.params import JSONBody

from storecredit import telemetry
from storecredit.web.http.envelope import Envelope, ErrorCode, Failure, invalid
from storecredit.web.http.links import location
from storecredit.web.http.moments import utc
from storecredit.web.parts import Parts
from storecredit.web.resources.webhooks.hearers import (
    EndpointId,
    Hearer,
    endpoint_disabled,
    named_endpoint,
    no_such_endpoint,
)
from storecredit.web.resources.webhooks.views import (
    RotateSecretBody,
    SecretRotated,
    WebhookBody,
    WebhookChange,
    WebhookDeleted,
    WebhookIssued,
    WebhookList,
    WebhookTested,
    WebhookView,
    secret_rotated,
    webhook_issued,
    webhook_view,
)
from storecredit.webhooks.catalogue import OPERATOR_EVENT_TYPES
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


async def list_endpoints(hearer: NamedDependency[Hearer]) -> Envelope[WebhookList]:
    """All of them, newest first, those that are disabled included."""
    found = await hearer.endpoints.list(hearer.account_id)
    return Envelope(WebhookList([webhook_view(each, hearer.store_id) for each in found]))


async def create_endpoint(
    parts: NamedDependency[Parts],
    hearer: NamedDependency[Hearer],
    data: JSONBody[WebhookBody],
) -> Response[Envelope[WebhookIssued]]:
    """What happens from now on is posted to the URL; the secret is shown this once."""
    _refuse_types(hearer, data.event_types)
    made = await hearer.endpoints.create(
        hearer.account_id,
        url=data.url,
        event_types=data.event_types,
        description=data.description,
        ordered=data.ordered,
    )
    match made:
        case IssuedSecret():
            endpoint_id = made.endpoint.endpoint_id
            telemetry.bind(endpoint_id=str(endpoint_id))
            return Response(
                Envelope(webhook_issued(made, hearer.store_id)),
                headers={"Location": location(f"{hearer.address}/{endpoint_id}", parts)},
            )
        case TooManyEndpoints():
            raise Failure(
                ErrorCode.LIMIT_REACHED,
                f"There are {ENDPOINTS_MAX} webhook endpoints, and there may not be more. Nothing "
                "was made; delete one that is not needed.",
            )
        case _:
            assert_never(made)


async def get_endpoint(
    hearer: NamedDependency[Hearer], endpoint_id: EndpointId
) -> Envelope[WebhookView]:
    """One endpoint. Its secret is not shown again."""
    return _shown(
        hearer, await hearer.endpoints.get(hearer.account_id, named_endpoint(endpoint_id))
    )


async def update_endpoint(
    hearer: NamedDependency[Hearer],
    endpoint_id: EndpointId,
    data: JSONBody[WebhookChange],
) -> Envelope[WebhookView]:
    """Changes what is given. What waits for the endpoint goes to its new URL."""
    _refuse_types(hearer, data.event_types or [])
    changed = await hearer.endpoints.update(
        hearer.account_id,
        named_endpoint(endpoint_id),
        url=data.url,
        event_types=data.event_types,
        description=data.description,
        ordered=data.ordered,
    )
    return _shown(hearer, changed)


async def delete_endpoint(
    hearer: NamedDependency[Hearer], endpoint_id: EndpointId
) -> Envelope[WebhookDeleted]:
    """Nothing more is sent to it, not even what waits for it, and its deliveries are gone."""
    id_ = named_endpoint(endpoint_id)
    if not await hearer.endpoints.delete(hearer.account_id, id_):
        raise no_such_endpoint()
    return Envelope(WebhookDeleted(id_, deleted=True))


async def rotate_secret(
    hearer: NamedDependency[Hearer],
    endpoint_id: EndpointId,
    data: JSONBody[RotateSecretBody | None] = None,
) -> Envelope[SecretRotated]:
    """A new secret, shown this once. Those before it sign along until the overlap is over."""
    rotated = await hearer.endpoints.rotate(
        hearer.account_id,
        named_endpoint(endpoint_id),
        overlap_seconds=(data or RotateSecretBody()).overlap_seconds,
    )
    match rotated:
        case IssuedSecret():
            return Envelope(secret_rotated(rotated, hearer.store_id))
        case TooManySecrets(until):
            raise Failure(
                ErrorCode.LIMIT_REACHED,
                "So many secrets of this endpoint are valid that there cannot be another before "
                f"{utc(until):%Y-%m-%d %H:%M:%S} UTC. Nothing was changed; a shorter "
                "`overlap_seconds` ends them sooner.",
            )
        case None:
            raise no_such_endpoint()
        case _:
            assert_never(rotated)


async def enable_endpoint(
    hearer: NamedDependency[Hearer], endpoint_id: EndpointId
) -> Envelope[WebhookView]:
    """Sends to it again what happens from now on. What was given up meanwhile can be resent."""
    return await _with_status(hearer, endpoint_id, "enabled")


async def disable_endpoint(
    hearer: NamedDependency[Hearer], endpoint_id: EndpointId
) -> Envelope[WebhookView]:
    """Stops sending to it, and gives up what waits for it.

    What happens while it is disabled is listed as failed, for 30 days, and can be resent then.
    """
    return await _with_status(hearer, endpoint_id, "disabled")


async def test_endpoint(
    parts: NamedDependency[Parts], hearer: NamedDependency[Hearer], endpoint_id: EndpointId
) -> Response[Envelope[WebhookTested]]:
    """Tells it, and no other, of a `webhook.test` event, whatever types it hears."""
    id_ = named_endpoint(endpoint_id)
    told = await hearer.endpoints.test(hearer.account_id, id_)
    if isinstance(told, Disabled):
        raise endpoint_disabled()
    if told is None:
        raise no_such_endpoint()
    event_id = message_id(told)
    address = location(f"{hearer.address}/{id_}/deliveries/{event_id}", parts)
    return Response(Envelope(WebhookTested(event_id)), headers={"Location": address})


async def _with_status(hearer: Hearer, endpoint_id: str, status: Status) -> Envelope[WebhookView]:
    changed = await hearer.endpoints.set_status(
        hearer.account_id, named_endpoint(endpoint_id), status
    )
    return _shown(hearer, changed)


def _shown(hearer: Hearer, endpoint: Endpoint | None) -> Envelope[WebhookView]:
    if endpoint is None:
        raise no_such_endpoint()
    return Envelope(webhook_view(endpoint, hearer.store_id))


def _refuse_types(hearer: Hearer, event_types: list[str]) -> None:
    """A store hears of itself, and of nothing that is the operator's."""
    if hearer.store_id is None:
        return
    message = "This type of event is told to the operator alone."
    wrong = [
        {"key": f"event_types[{place}]", "source": "body", "message": message}
        for place, type_ in enumerate(event_types)
        if type_ in OPERATOR_EVENT_TYPES
    ]
    if wrong:
        raise invalid(f"{message} Nothing was changed.", wrong)
