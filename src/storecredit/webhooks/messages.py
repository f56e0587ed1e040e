"""What a receiver is told: the body of an event, and what it is called.

Standard Webhooks 1.0.0 (https://www.standardwebhooks.com). The body is made of the event's row
alone, so it is the same bytes at every attempt.
"""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from storecredit.webhooks.catalogue import VERSION

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how a secret begins is none


class Event(msgspec.Struct, frozen=True):
    """Something that happened, as its row says; `data` is a JSON object.

    `owner_kind` is `store` or `user`; None: it is nobody's but the operator's.
    """

    event_id: UUID
    type: str
    created_at: datetime
    data: str
    owner_kind: str | None
    owner_id: UUID | None


def message_id(event_id: UUID) -> str:
    """What `webhook-id` says, the same at every attempt and for every endpoint."""
    return f"evt_{event_id.hex}"


def secret_text(secret: bytes) -> str:
    """A secret as its owner is shown it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def whose(event: Event) -> Mapping[str, UUID]:
    """The owner by the name of its id, `store_id` or `user_id`; nothing if it is nobody's."""
    if event.owner_kind is None or event.owner_id is None:
        return {}
    return {f"{event.owner_kind}_id": event.owner_id}


def body_of(event: Event) -> str:
    """The body: type, version, timestamp and data, with whose it is first in the data."""
    data = msgspec.json.decode(event.data, type=dict[str, object])
    return msgspec.json.encode(
        {
            "type": event.type,
            "version": VERSION,
            "timestamp": event.created_at,
            "data": {**whose(event), **data},
        }
    ).decode()
