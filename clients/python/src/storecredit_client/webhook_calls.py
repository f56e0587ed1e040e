"""The calls for webhook endpoints, one function for each operation, as in `calls.py`.

The API takes no key for them: whoever registers an endpoint twice has two. So what does not only
read or set values is sent once, and raises NoAnswer where nobody knows what became of it; the
lists say. Registering and replacing a secret show the secret once, to this call.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from storecredit_client import models
from storecredit_client.calling import (
    PAGE_MAX,
    Call,
    changing_without_key,
    path_part,
    reading,
)

_PATH: Final = "/api/v1/webhooks"


def list_webhooks() -> Call[models.WebhookList]:
    """The endpoints, newest first."""
    return reading("listWebhooks", _PATH, models.WebhookList)


def create_webhook(
    url: str,
    *,
    event_types: Sequence[str] | None = None,
    description: str | None = None,
    ordered: bool = False,
) -> Call[models.WebhookIssued]:
    """Have events posted to `url`: those of `event_types`, or all that there are and will be.

    `ordered`: one after the other, in the order in which they happened.
    """
    body = models.WebhookBody(
        url=url, event_types=_listed(event_types), description=description, ordered=ordered
    )
    return changing_without_key("createWebhook", "POST", _PATH, models.WebhookIssued, body)


def get_webhook(endpoint_id: str) -> Call[models.WebhookView]:
    """An endpoint, and whether it is told anything."""
    return reading("getWebhook", _path(endpoint_id), models.WebhookView)


def update_webhook(
    endpoint_id: str,
    *,
    url: str | None = None,
    event_types: Sequence[str] | None = None,
    description: str | None = None,
    ordered: bool | None = None,
) -> Call[models.WebhookView]:
    """Change what is given; `event_types` is the whole new list."""
    body = models.WebhookChange(
        url=url, event_types=_listed(event_types), description=description, ordered=ordered
    )
    path = _path(endpoint_id)
    return changing_without_key("updateWebhook", "PATCH", path, models.WebhookView, body)


def delete_webhook(endpoint_id: str) -> Call[models.WebhookDeleted]:
    """End an endpoint, with its secrets and deliveries."""
    path = _path(endpoint_id)
    return changing_without_key("deleteWebhook", "DELETE", path, models.WebhookDeleted)


def rotate_webhook_secret(
    endpoint_id: str, *, overlap_seconds: int | None = None
) -> Call[models.SecretRotated]:
    """A new secret; the ones before it sign along for `overlap_seconds`, a day unless given."""
    path = f"{_path(endpoint_id)}/rotate"
    body = models.RotateSecretBody(overlap_seconds=overlap_seconds)
    return changing_without_key("rotateWebhookSecret", "POST", path, models.SecretRotated, body)


def enable_webhook(endpoint_id: str) -> Call[models.WebhookView]:
    """Tell an endpoint what happens from now on."""
    path = f"{_path(endpoint_id)}/enable"
    return changing_without_key("enableWebhook", "POST", path, models.WebhookView)


def disable_webhook(endpoint_id: str) -> Call[models.WebhookView]:
    """Tell an endpoint nothing any more."""
    path = f"{_path(endpoint_id)}/disable"
    return changing_without_key("disableWebhook", "POST", path, models.WebhookView)


def test_webhook(endpoint_id: str) -> Call[models.WebhookTested]:
    """Send an endpoint a `webhook.test`; its delivery says what came of it."""
    path = f"{_path(endpoint_id)}/test"
    return changing_without_key("testWebhook", "POST", path, models.WebhookTested)


def list_webhook_deliveries(
    endpoint_id: str,
    *,
    status: models.DeliveryStatus | None = None,
    type: str | None = None,  # noqa: A002 - the API's own name for it
    limit: int = PAGE_MAX,
    cursor: str | None = None,
) -> Call[models.DeliveryPageView]:
    """What an endpoint was told, newest first; `limit` of them at a time."""
    return reading(
        "listWebhookDeliveries",
        f"{_path(endpoint_id)}/deliveries",
        models.DeliveryPageView,
        status=status,
        type=type,
        limit=limit,
        cursor=cursor,
    )


def get_webhook_delivery(endpoint_id: str, event_id: str) -> Call[models.DeliveryAttempts]:
    """What was sent, and each attempt."""
    path = f"{_path(endpoint_id)}/deliveries/{path_part(event_id)}"
    return reading("getWebhookDelivery", path, models.DeliveryAttempts)


def resend_webhook_delivery(endpoint_id: str, event_id: str) -> Call[models.DeliveriesResent]:
    """Send an event again, under the same id, whatever became of it."""
    path = f"{_path(endpoint_id)}/deliveries/{path_part(event_id)}/resend"
    return changing_without_key("resendWebhookDelivery", "POST", path, models.DeliveriesResent)


def resend_webhook_deliveries(
    endpoint_id: str,
    since: datetime,
    *,
    status: models.ResendBodyStatus | None = None,
    cursor: str | None = None,
) -> Call[models.DeliveriesResent]:
    """Send again what has happened since then and has ended, the oldest first.

    `next_cursor` of the answer, while there is one, is the `cursor` for the rest.
    """
    path = f"{_path(endpoint_id)}/resend"
    body = models.ResendBody(since=since, status=status, cursor=cursor)
    return changing_without_key(
        "resendWebhookDeliveries", "POST", path, models.DeliveriesResent, body
    )


def _path(endpoint_id: str) -> str:
    return f"{_PATH}/{path_part(endpoint_id)}"


def _listed(texts: Sequence[str] | None) -> list[str] | None:
    return None if texts is None else list(texts)
