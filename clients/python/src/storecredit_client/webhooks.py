"""Webhooks of the service: what they say, if they are really from there.

Needs the extra `webhooks`: `pip install "storecredit-client[webhooks]"`. Signatures are those of
Standard Webhooks (https://www.standardwebhooks.com), checked by its own library.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from standardwebhooks import Webhook, WebhookVerificationError
from standardwebhooks.webhooks import EmptyWebhookSecretError

from storecredit_client.errors import WebhookRefused


def verified(body: bytes, headers: Mapping[str, str], secret: str) -> dict[str, Any]:
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
        return msgspec.json.decode(body, type=dict[str, Any])
    except WebhookVerificationError as refused:
        raise WebhookRefused(f"This is no webhook of ours: {refused}.") from refused
    # What the library takes apart before it compares, and a body that is not an object.
    except (ValueError, msgspec.MsgspecError) as unreadable:
        raise WebhookRefused("This is no webhook of ours: it cannot be read.") from unreadable
