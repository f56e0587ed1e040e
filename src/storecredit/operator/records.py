"""What is told of a request: its rows of each table, without a generation's input.

Shapes only; the operator's API answers them as they are, and the command line prints them.
"""

from datetime import date, datetime
from uuid import UUID

import msgspec

from storecredit.operator.identifiers import IdentifierKind
from storecredit.postgres.job_queue import LivingJob


class MovementRow(msgspec.Struct, frozen=True):
    """One movement, and the state of its account after it.

    `origin_seq`: the movement that it gives back, ends or carries on, which may be another
    request's. `actor`: who made it, where an operator did.
    """

    seq: int
    type: str
    amount: int
    request_id: str
    origin_seq: int | None
    balance_after: int
    held_after: int
    total_spent_after: int
    total_clawed_back_after: int
    total_expired_after: int
    total_removed_after: int
    overage_used_after: int
    actor: str | None
    session_id: UUID | None
    description: str
    created_at: datetime


class SessionRow(msgspec.Struct, frozen=True):
    """The generation, and the generator's own words about its last attempt that failed.

    `job`: what waits in the queue for it, or is worked on; null: nothing is, as once it has ended.
    """

    session_id: UUID
    status: str
    credits_charged: int
    attempts: int
    error_code: str | None
    error_message: str | None
    generator_message: str | None
    metadata: dict[str, str] | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    job: LivingJob | None


class SpendRow(msgspec.Struct, frozen=True):
    """What was sent with a spend, besides its amount, which its movement tells."""

    metadata: dict[str, str] | None
    created_at: datetime


class HoldRow(msgspec.Struct, frozen=True):
    """Credits set aside; `captured` of them were spent when it ended, null: it has not."""

    hold_id: UUID
    status: str
    amount: int
    captured: int | None
    description: str
    metadata: dict[str, str] | None
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None


class CheckoutRow(msgspec.Struct, frozen=True):
    """A sale that the request began; `amount` in the currency's smallest unit."""

    checkout_id: UUID
    purchase_type: str
    plan: str
    credits: int
    amount: int
    currency: str
    transaction_id: str | None
    created_at: datetime


class PaymentRow(msgspec.Struct, frozen=True):
    """A payment that was booked under the request."""

    transaction_id: str
    subscription_id: str | None
    kind: str
    credits: int
    amount: int
    currency: str
    paid_at: datetime
    created_at: datetime


class ClawbackRow(msgspec.Struct, frozen=True):
    """Money of such a payment that went back; of `credits` asked for, `taken` could be taken."""

    adjustment_id: str
    transaction_id: str
    action: str
    amount: int
    credits: int
    taken: int
    created_at: datetime
    dismissed_at: datetime | None


class BillRow(msgspec.Struct, frozen=True):
    """A month's overage that was closed under the request."""

    period: date
    seq: int
    credits: int
    amount: int
    currency: str
    attempts: int
    transaction_id: str | None
    last_error: str | None
    created_at: datetime
    charged_at: datetime | None


class TopUpRow(msgspec.Struct, frozen=True):
    """Credits that a store bought by itself under the request, or was to; `dropped_at`: did not."""

    credits: int
    amount: int
    currency: str
    attempts: int
    transaction_id: str | None
    last_error: str | None
    created_at: datetime
    charged_at: datetime | None
    dropped_at: datetime | None


class EventRow(msgspec.Struct, frozen=True):
    """A webhook of the payment provider, and what became of it; `about`: the ids that it names."""

    event_id: str
    event_type: str
    about: list[str]
    status: str
    attempts: int
    reason: str | None
    occurred_at: datetime
    received_at: datetime
    settled_at: datetime | None


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A request of a store or an end user (the other is null), and all that it did.

    `found_as`: what the id that was asked for is in it. `movements` are those of the request, those
    that it gives back or carries on, and those of other requests that do so with them. Each list is
    in the order of time.
    """

    request_id: str
    store_id: UUID | None
    store_name: str | None
    user_id: UUID | None
    found_as: tuple[IdentifierKind, ...]
    movements: list[MovementRow] = msgspec.field(default_factory=list)
    sessions: list[SessionRow] = msgspec.field(default_factory=list)
    spends: list[SpendRow] = msgspec.field(default_factory=list)
    holds: list[HoldRow] = msgspec.field(default_factory=list)
    checkouts: list[CheckoutRow] = msgspec.field(default_factory=list)
    payments: list[PaymentRow] = msgspec.field(default_factory=list)
    clawbacks: list[ClawbackRow] = msgspec.field(default_factory=list)
    overage_bills: list[BillRow] = msgspec.field(default_factory=list)
    top_ups: list[TopUpRow] = msgspec.field(default_factory=list)
    events: list[EventRow] = msgspec.field(default_factory=list)


class RequestsFound(msgspec.Struct, frozen=True):
    """What an id names: requests, and webhooks that carry it and belong to none of them.

    `truncated`: there is more than is listed; with a store or an end user named there is not.
    """

    requests: list[RequestRecord]
    events: list[EventRow]
    truncated: bool
