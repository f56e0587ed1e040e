"""What is told of a request: its rows of each table, without a generation's input.

Shapes only; the operator's API answers them as they are, and the command line prints them.
"""

from datetime import date, datetime
from uuid import UUID

import msgspec

from storecredit.ledger.owners import Owner
from storecredit.operator.acted import ActionRow
from storecredit.operator.identifiers import IdentifierKind
from storecredit.operator.moments import Moment
from storecredit.operator.things import ThingRow
from storecredit.operator.told import ToldRow
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


class FailedAttemptRow(msgspec.Struct, frozen=True):
    """An attempt that made no image; `said`: the generator's own words, for as long as kept.

    `counts`: whether it is one of the attempts that a session may have; one at which the generator
    only asked to wait is not, and has the number of the next one.
    """

    attempt: int
    failed_at: datetime
    counts: bool
    said: str | None


class SessionRow(msgspec.Struct, frozen=True):
    """The generation, and the generator's own words about its last attempt that failed.

    `failed_attempts`: those that others followed, and the last one after them, oldest first.
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
    failed_attempts: list[FailedAttemptRow]
    job: LivingJob | None


class ArchivedRow(msgspec.Struct, frozen=True):
    """A generation that was archived: in which file, and by then it had this status."""

    session_id: UUID
    status: str
    number: int
    archived_at: datetime
    place: str
    file: str


class SpendRow(msgspec.Struct, frozen=True):
    """What was sent with a spend, besides its amount, which its movement tells."""

    metadata: dict[str, str] | None
    created_at: datetime


class HoldRow(msgspec.Struct, frozen=True):
    """Credits set aside; `captured` of them were spent when it ended, null: it has not.

    `extended_by`: the request that last made it live longer, by which it lives `extended_seconds`
    from then on at least.
    """

    hold_id: UUID
    status: str
    amount: int
    captured: int | None
    description: str
    metadata: dict[str, str] | None
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    extended_by: str | None
    extended_seconds: int | None


class GrantRow(msgspec.Struct, frozen=True):
    """The terms of credits that came in; `seq` is that of their movement, and names the grant.

    `noticed_at`: when its owner was told that they will expire.
    """

    seq: int
    amount: int
    kind: str
    priority: int
    expires_at: datetime | None
    noticed_at: datetime | None


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
    that it gives back or carries on, and those of other requests that do so with them. `told` are
    webhooks of ours, `events` those of the payment provider. Each list is in the order of time.

    `time_line` tells all of it once more, as one; `left_out` moments in its middle are not told.
    """

    request_id: str
    store_id: UUID | None
    store_name: str | None
    user_id: UUID | None
    found_as: tuple[IdentifierKind, ...]
    movements: list[MovementRow] = msgspec.field(default_factory=list)
    sessions: list[SessionRow] = msgspec.field(default_factory=list)
    archived: list[ArchivedRow] = msgspec.field(default_factory=list)
    spends: list[SpendRow] = msgspec.field(default_factory=list)
    holds: list[HoldRow] = msgspec.field(default_factory=list)
    grants: list[GrantRow] = msgspec.field(default_factory=list)
    checkouts: list[CheckoutRow] = msgspec.field(default_factory=list)
    payments: list[PaymentRow] = msgspec.field(default_factory=list)
    clawbacks: list[ClawbackRow] = msgspec.field(default_factory=list)
    overage_bills: list[BillRow] = msgspec.field(default_factory=list)
    top_ups: list[TopUpRow] = msgspec.field(default_factory=list)
    events: list[EventRow] = msgspec.field(default_factory=list)
    told: list[ToldRow] = msgspec.field(default_factory=list)
    actions: list[ActionRow] = msgspec.field(default_factory=list)
    time_line: list[Moment] = msgspec.field(default_factory=list)
    left_out: int = 0

    @property
    def owner(self) -> Owner | None:
        """Whose it is; None: an account that there is not."""
        if self.store_id is not None:
            return Owner.store(self.store_id)
        return None if self.user_id is None else Owner.user(self.user_id)


class RequestsFound(msgspec.Struct, frozen=True, kw_only=True):
    """What an id names: requests, and what carries the id and belongs to none of them.

    `truncated`: there is more than is listed; with a store or an end user named there is not.
    """

    requests: list[RequestRecord] = msgspec.field(default_factory=list)
    events: list[EventRow] = msgspec.field(default_factory=list)
    told: list[ToldRow] = msgspec.field(default_factory=list)
    actions: list[ActionRow] = msgspec.field(default_factory=list)
    things: list[ThingRow] = msgspec.field(default_factory=list)
    truncated: bool = False

    @property
    def is_nothing(self) -> bool:
        """Whether the id names nothing at all."""
        return not (self.requests or self.events or self.told or self.actions or self.things)
