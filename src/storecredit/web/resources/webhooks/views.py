"""What is sent to the doors of webhook endpoints, and what they answer: to whomever they are."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from storecredit.settings import Settings
from storecredit.web.http.bodies import Body
from storecredit.web.http.faults import Check, nearest, no_nul
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import said
from storecredit.web.http.paging import given_out, seq_cursor
from storecredit.webhooks.catalogue import EVENT_TYPES, EVERY, TEST
from storecredit.webhooks.delivery_records import (
    ATTEMPTS_MAX,
    RESENT_MAX,
    Attempt,
    Delivery,
    DeliveryStatus,
    Followed,
)
from storecredit.webhooks.endpoints import (
    DESCRIPTION_LENGTH_MAX,
    OVERLAP_SECONDS_DEFAULT,
    OVERLAP_SECONDS_MAX,
    TYPES_MAX,
    URL_LENGTH_MAX,
    DisabledReason,
    Endpoint,
    IssuedSecret,
    Status,
)
from storecredit.webhooks.messages import message_id
from storecredit.webhooks.urls import url_refusal


def _url_refusal(url: str, settings: Settings) -> str | None:
    return url_refusal(url, allow_private_hosts=settings.allow_private_hosts)


def _type_refusal(type_: str, _settings: Settings) -> str | None:
    return None if type_ == EVERY else _unknown(type_)


def _unknown(type_: str) -> str | None:
    if type_ in EVENT_TYPES:
        return None
    near = nearest(type_, dict.fromkeys(EVENT_TYPES))
    known = f"There is no such type of event; there are {', '.join(f'`{t}`' for t in EVENT_TYPES)}."
    return f"{known} Did you mean `{near}`?" if near else known


def told_type_refusal(type_: str, _settings: Settings) -> str | None:
    """Why no endpoint can have been told of events of a type; None: it can."""
    return None if type_ == TEST else _unknown(type_)


def _since_refusal(moment: datetime, _settings: Settings) -> str | None:
    try:
        utc(moment)
    except OverflowError:
        return "This time is beyond the years 1 to 9999."
    return None


Url = Annotated[
    str,
    msgspec.Meta(
        max_length=URL_LENGTH_MAX,
        description="Where events are posted to: https, and no private address.",
    ),
    Check(no_nul),
    Check(_url_refusal),
]
EventTypes = Annotated[
    list[Annotated[str, Check(_type_refusal)]],
    msgspec.Meta(
        min_length=1,
        max_length=TYPES_MAX,
        description="The types of event to be told; `*`: all that there are, and will be.",
    ),
]
Description = Annotated[
    str,
    msgspec.Meta(max_length=DESCRIPTION_LENGTH_MAX, description="What it is for."),
    Check(no_nul),
]
Ordered = Annotated[
    bool,
    said(
        "One event after the other, in the order in which they happened: one that cannot be "
        "delivered holds up the rest."
    ),
]


class WebhookBody(Body, frozen=True):
    """A webhook endpoint to register."""

    url: Url
    event_types: EventTypes = msgspec.field(default_factory=lambda: [EVERY])
    description: Description = ""
    ordered: Ordered = False


class WebhookChange(Body, frozen=True):
    """What to change of an endpoint; what is left out stays. The types are the whole new list."""

    url: Url | None = None
    event_types: EventTypes | None = None
    description: Description | None = None
    ordered: Ordered | None = None


class RotateSecretBody(Body, frozen=True):
    """How long the replaced secret signs along."""

    overlap_seconds: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=OVERLAP_SECONDS_MAX,
            description="How long deliveries are signed with the secrets before it, too; a day "
            "unless given, 30 at most. 0: no longer.",
        ),
    ] = OVERLAP_SECONDS_DEFAULT


class ResendBody(Body, frozen=True):
    """What to send again."""

    since: Annotated[datetime, Check(_since_refusal), said("What has happened since then.")]
    status: Annotated[
        Literal["delivered", "failed"] | None, said("Only what has ended so; else both.")
    ] = None
    cursor: Annotated[
        Annotated[str, msgspec.Meta(max_length=100), given_out(seq_cursor)] | None,
        said("`next_cursor` of the answer before."),
    ] = None


class WebhookView(msgspec.Struct, frozen=True):
    """A webhook endpoint; its secret is never shown again."""

    endpoint_id: Annotated[UUID, said("The endpoint's id.")]
    store_id: Annotated[UUID | None, said("The store whose events it is told; null: all owners'.")]
    url: Annotated[str, said("Where events are posted to.")]
    event_types: Annotated[list[str], said("The types of event it is told; `*`: all of them.")]
    description: str
    ordered: Ordered
    status: Annotated[Status, said("Whether events are sent to it.")]
    disabled_reason: Annotated[
        DisabledReason | None,
        said(
            "`requested`: somebody asked for it. `gone`: it answered 410. `failing`: every attempt "
            "failed for five days."
        ),
    ]
    disabled_at: Annotated[datetime | None, said("Since when nothing is sent to it.")]
    failing_since: Annotated[
        datetime | None, said("Since when every attempt has failed; null: the last one did not.")
    ]
    created_at: datetime
    updated_at: Annotated[datetime, said("When its owner changed it last.")]


class WebhookIssued(WebhookView, frozen=True):
    """An endpoint and its new secret, shown this once."""

    secret: Annotated[str, said("What its deliveries are signed with.")]


class SecretRotated(WebhookIssued, frozen=True):
    """An endpoint and its new secret, shown this once."""

    previous_expires_at: Annotated[
        datetime | None, said("Until when deliveries are signed with the secrets before it, too.")
    ]


class WebhookList(msgspec.Struct, frozen=True):
    """Webhook endpoints, newest first."""

    items: list[WebhookView]


class WebhookDeleted(msgspec.Struct, frozen=True):
    """The endpoint is no more."""

    endpoint_id: Annotated[UUID, said("The endpoint.")]
    deleted: Annotated[bool, said("It is.")]


class WebhookTested(msgspec.Struct, frozen=True):
    """The endpoint is being told of a `webhook.test` event."""

    event_id: Annotated[str, said("The event: its delivery says what came of it.")]


class DeliveryView(msgspec.Struct, frozen=True):
    """One event, and what became of it at this endpoint."""

    event_id: Annotated[str, said("As it stands in `webhook-id`.")]
    type: Annotated[str, said("The type of the event.")]
    created_at: Annotated[datetime, said("When it happened.")]
    status: Annotated[
        DeliveryStatus,
        said("`pending`: it is on its way, or will be tried again at `next_attempt_at`."),
    ]
    attempts: Annotated[int, said("How often it was sent.")]
    status_code: Annotated[
        int | None, said("What the last attempt was answered; null: nothing, or there was none.")
    ]
    error: Annotated[
        str | None, said("Why the last attempt failed, where `status_code` does not say it.")
    ]
    next_attempt_at: Annotated[
        datetime | None, said("When it is tried again; null: at once, or never.")
    ]
    ended_at: Annotated[datetime | None, said("When it was delivered, or given up.")]


class AttemptView(msgspec.Struct, frozen=True):
    """One attempt at a delivery."""

    attempt: Annotated[int, said("The first is 1.")]
    attempted_at: Annotated[datetime, said("When it was sent.")]
    milliseconds: Annotated[int, said("How long it took.")]
    status_code: Annotated[int | None, said("What was answered; null: nothing.")]
    error: Annotated[str | None, said("Why it failed, where `status_code` does not say it.")]
    answer: Annotated[str | None, said("The first 500 bytes of the answer.")]


class DeliveryAttempts(DeliveryView, frozen=True):
    """One event, what became of it at this endpoint, and each attempt."""

    body: Annotated[str, said("What is sent, the same at every attempt.")]
    attempted: Annotated[list[AttemptView], said(f"Newest first, at most {ATTEMPTS_MAX}.")]


class DeliveryPageView(msgspec.Struct, frozen=True):
    """Deliveries, newest event first."""

    items: list[DeliveryView]
    next_cursor: Annotated[str | None, said("The `cursor` of the next page; null: there is none.")]


class DeliveriesResent(msgspec.Struct, frozen=True):
    """So many deliveries are pending again."""

    resent: Annotated[int, said(f"How many; at most {RESENT_MAX:,} at once.")]
    next_cursor: Annotated[
        str | None, said("Send it as `cursor` to go on with the rest; null: there is none.")
    ]


def webhook_view(endpoint: Endpoint, store_id: UUID | None) -> WebhookView:
    """An endpoint as its owner sees it."""
    return WebhookView(
        endpoint_id=endpoint.endpoint_id,
        store_id=store_id,
        url=endpoint.url,
        event_types=list(endpoint.event_types),
        description=endpoint.description,
        ordered=endpoint.ordered,
        status=endpoint.status,
        disabled_reason=endpoint.disabled_reason,
        disabled_at=endpoint.disabled_at and utc(endpoint.disabled_at),
        failing_since=endpoint.failing_since and utc(endpoint.failing_since),
        created_at=utc(endpoint.created_at),
        updated_at=utc(endpoint.updated_at),
    )


def webhook_issued(issued: IssuedSecret, store_id: UUID | None) -> WebhookIssued:
    """A new endpoint and its secret."""
    view = webhook_view(issued.endpoint, store_id)
    return WebhookIssued(**msgspec.structs.asdict(view), secret=issued.secret)


def secret_rotated(issued: IssuedSecret, store_id: UUID | None) -> SecretRotated:
    """An endpoint and its new secret, and until when those before it sign along."""
    return SecretRotated(
        **msgspec.structs.asdict(webhook_issued(issued, store_id)),
        previous_expires_at=issued.previous_expires_at and utc(issued.previous_expires_at),
    )


def delivery_view(delivery: Delivery) -> DeliveryView:
    """A delivery as its endpoint's owner sees it."""
    return DeliveryView(
        event_id=message_id(delivery.event_id),
        type=delivery.type,
        created_at=utc(delivery.created_at),
        status=delivery.status,
        attempts=delivery.attempts,
        status_code=delivery.status_code,
        error=delivery.error,
        next_attempt_at=delivery.next_attempt_at and utc(delivery.next_attempt_at),
        ended_at=delivery.ended_at and utc(delivery.ended_at),
    )


def delivery_attempts(followed: Followed) -> DeliveryAttempts:
    """A delivery with what is sent and its attempts."""
    return DeliveryAttempts(
        **msgspec.structs.asdict(delivery_view(followed.delivery)),
        body=followed.body,
        attempted=[_attempt_view(each) for each in followed.attempts],
    )


def _attempt_view(attempt: Attempt) -> AttemptView:
    return AttemptView(
        attempt=attempt.attempt,
        attempted_at=utc(attempt.attempted_at),
        milliseconds=attempt.milliseconds,
        status_code=attempt.status_code,
        error=attempt.error,
        answer=attempt.answer,
    )
