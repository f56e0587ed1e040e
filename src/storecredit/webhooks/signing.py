"""The headers of one attempt, signed. The library of Standard Webhooks signs.

Time and signatures are the attempt's own: receivers refuse what was signed five minutes ago.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from standardwebhooks.webhooks import Webhook

from storecredit import __version__
from storecredit.webhooks.messages import message_id

_HEADERS: Final = {
    "Content-Type": "application/json",
    "User-Agent": f"storecredit/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}


def headers_of(
    event_id: UUID, body: str, secrets: Sequence[bytes], now: datetime
) -> Mapping[str, str]:
    """The headers of an attempt at `now`, signed by each of the secrets, which are some."""
    # The library takes the numbers on the clock for UTC, whatever zone they are of.
    moment = now.astimezone(UTC)
    identifier = message_id(event_id)
    signatures = [Webhook(secret).sign(identifier, moment, body) for secret in secrets]
    return {
        **_HEADERS,
        "webhook-id": identifier,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
