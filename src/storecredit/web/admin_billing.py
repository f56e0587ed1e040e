"""`/api/admin/billing`: what the operator must look at, and what can be done about it."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from storecredit.billing.problems import EventProblem, ShortClawback, UnpaidBill
from storecredit.ledger.owners import OwnerKind
from storecredit.web.envelope import Envelope, ErrorCode, not_found
from storecredit.web.openapi import operator_errors
from storecredit.web.paging import utc
from storecredit.web.parts import Parts


class EventView(msgspec.Struct, frozen=True):
    """An event of Paddle's that keeps failing or was set aside; nothing was booked for it.

    `about` is what was read of it: ids, amounts, status; of one that cannot be read, what is kept.
    `transaction_ids`: the payments that it is about; the same problem is shown once, though it may
    come with each month's payment.
    """

    event_id: str
    event_type: str
    occurred_at: datetime
    received_at: datetime
    status: str
    attempts: int
    reason: str | None
    about: dict[str, Any] | None
    transaction_ids: list[str]


class ShortClawbackView(msgspec.Struct, frozen=True):
    """A payment given back of which `credits` were to be taken back, and only `taken` could be."""

    adjustment_id: str
    transaction_id: str
    store_id: UUID | None
    user_id: UUID | None
    action: str
    credits: int
    taken: int
    created_at: datetime


class UnpaidBillView(msgspec.Struct, frozen=True):
    """A store's overage of a month that could not be charged so far, and why."""

    store_id: UUID
    period: date
    credits: int
    amount: int
    currency: str
    attempts: int
    last_error: str


class ProblemsView(msgspec.Struct, frozen=True):
    """Everything to look at, newest first; `truncated`: there is more than is listed."""

    events: list[EventView]
    clawbacks: list[ShortClawbackView]
    bills: list[UnpaidBillView]
    truncated: bool


class EventRetried(msgspec.Struct, frozen=True):
    """The event is looked at again, with all its attempts before it."""

    event_id: str
    retried: bool


class ProblemDismissed(msgspec.Struct, frozen=True):
    """The problem was dealt with and is no longer shown."""

    problem_id: str
    dismissed: bool


@get(
    "/billing/problems",
    summary="What billing could not settle by itself",
    operation_id="listBillingProblems",
    responses=operator_errors(),
)
async def list_problems(parts: NamedDependency[Parts]) -> Envelope[ProblemsView]:
    """Events that fail or fit nothing, credits that could not be taken back, uncharged overage."""
    found = await parts.problems.find()
    kinds = (found.events, found.clawbacks, found.bills)
    return Envelope(
        ProblemsView(
            [_event_view(event) for event in found.events.items],
            [_clawback_view(clawback) for clawback in found.clawbacks.items],
            [_bill_view(bill) for bill in found.bills.items],
            truncated=any(kind.truncated for kind in kinds),
        )
    )


@post(
    "/billing/events/{event_id:str}/retry",
    status_code=200,
    summary="Look at an event again",
    operation_id="retryPaddleEvent",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def retry_event(
    parts: NamedDependency[Parts], event_id: FromPath[str]
) -> Envelope[EventRetried]:
    """For an event that was set aside, once its cause is mended."""
    if not await parts.paddle_events.retry(event_id):
        raise not_found("event that was set aside and can be looked at again")
    return Envelope(EventRetried(event_id, retried=True))


@post(
    "/billing/problems/{problem_id:str}/dismiss",
    status_code=200,
    summary="Show a problem no longer",
    operation_id="dismissBillingProblem",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def dismiss_problem(
    parts: NamedDependency[Parts], problem_id: FromPath[str]
) -> Envelope[ProblemDismissed]:
    """For an event (by its id) or a clawback (by its adjustment's) that was dealt with by hand.

    No credits move.
    """
    if not await parts.problems.dismiss(problem_id):
        raise not_found("event or clawback among the problems")
    return Envelope(ProblemDismissed(problem_id, dismissed=True))


def _event_view(event: EventProblem) -> EventView:
    return EventView(
        event_id=event.event_id,
        event_type=event.event_type,
        occurred_at=utc(event.occurred_at),
        received_at=utc(event.received_at),
        status=event.status,
        attempts=event.attempts,
        reason=event.reason,
        about=event.about,
        transaction_ids=list(event.transaction_ids),
    )


def _clawback_view(clawback: ShortClawback) -> ShortClawbackView:
    owner = clawback.owner
    return ShortClawbackView(
        adjustment_id=clawback.adjustment_id,
        transaction_id=clawback.transaction_id,
        store_id=owner.id if owner.kind is OwnerKind.STORE else None,
        user_id=owner.id if owner.kind is OwnerKind.USER else None,
        action=clawback.action,
        credits=clawback.credits,
        taken=clawback.taken,
        created_at=utc(clawback.created_at),
    )


def _bill_view(bill: UnpaidBill) -> UnpaidBillView:
    return msgspec.convert(bill, UnpaidBillView, from_attributes=True)
