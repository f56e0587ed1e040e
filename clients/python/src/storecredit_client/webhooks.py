"""Webhooks of the service: what they say, if they are really from there.

Needs the extra `webhooks`: `pip install "storecredit-client[webhooks]"`. Signatures are those of
Standard Webhooks (https://www.standardwebhooks.com), checked by its own library.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, get_args, get_type_hints

import msgspec
from standardwebhooks import Webhook, WebhookVerificationError
from standardwebhooks.webhooks import EmptyWebhookSecretError

from storecredit_client.errors import WebhookRefused
from storecredit_client.models import WebhookEvent


@dataclass(frozen=True, kw_only=True, slots=True)
class UnknownEvent:
    """An event that this version does not know: a later service may tell of more."""

    type: Literal["unknown"] = "unknown"
    body: Mapping[str, Any]
    """All that came in; its own type is `body["type"]`."""


Event: TypeAlias = WebhookEvent | UnknownEvent
"""What an endpoint may be told: `match` it, or compare its `type`."""


def verified(body: bytes, headers: Mapping[str, str], secret: str) -> Event:
    """The event that this request carries, if whoever has the secret has sent it just now.

    `body` is what came in, byte for byte: parsed and written anew it is another. `headers` may be
    those of any web framework. `secret` is the endpoint's, `whsec_…`; while it is being replaced, a
    webhook is signed with both. The same event may come twice: `webhook-id` is the same then.

    Raises WebhookRefused: answer 400, and do nothing. Raises ValueError where the secret is none.
    """
    try:
        webhook = Webhook(secret)
    except (ValueError, EmptyWebhookSecretError) as none:
        raise ValueError("This is no webhook secret: it is `whsec_` and base64.") from none
    try:
        webhook.verify(body, dict(headers.items()), json_parse=False)
        return _read(body)
    except WebhookVerificationError as refused:
        raise WebhookRefused(f"This is no webhook of ours: {refused}.") from refused
    # What the library takes apart before it compares, and a body that is no event.
    except (ValueError, msgspec.MsgspecError) as unreadable:
        raise WebhookRefused("This is no webhook of ours: it cannot be read.") from unreadable


class _Head(msgspec.Struct, frozen=True):
    """What says how the rest is read."""

    type: str
    version: int | None = None


def _read(body: bytes) -> Event:
    """The event of a body. Raises msgspec's errors where it is none."""
    head = msgspec.json.decode(body, type=_Head)
    form = _FORMS.get((head.type, head.version))
    if form is None:
        return UnknownEvent(body=msgspec.json.decode(body, type=dict[str, Any]))
    event: WebhookEvent = msgspec.json.decode(body, type=form)
    return event


def _forms() -> Iterator[tuple[tuple[object, object], type[WebhookEvent]]]:
    for form in get_args(WebhookEvent):
        hints = get_type_hints(form)
        for kind in get_args(hints["type"]):
            for version in get_args(hints["version"]):
                yield (kind, version), form


_FORMS: Final = MappingProxyType(dict(_forms()))
"""How an event is read, by its type and the version of its form."""
