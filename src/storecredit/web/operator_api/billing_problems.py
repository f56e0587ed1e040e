"""`/api/admin/billing`: what the operator must look at, and what can be done about it."""

from datetime import date, datetime
from typing import Annotated, Any, assert_never
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from storecredit.billing.bookings import BOOKED_BY_HAND, Booked, NotBooked
from storecredit.billing.charge_attempt import ChargeKind
from storecredit.billing.problems import EventProblem, ShortClawback, UnpaidBill
from storecredit.ledger.credits import AMOUNT_MAX
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.operator.audit import ActionContext
from storecredit.web.http.bodies import Body
from storecredit.web.http.envelope import Envelope, ErrorCode, Failure, invalid, not_found
from storecredit.web.http.faults import Check, no_nul
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import action_errors, example, operator_errors
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
    """What a store could not be charged so far, and why: overage of a month, or a top-up.

    `period`: the month's first day; null for a top-up.
    """

    store_id: UUID
    kind: ChargeKind
    period: date | None
    request_id: str
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


class BookingBody(Body, frozen=True):
    """How many credits a transaction is worth.

    `store_id` or `user_id` is needed where no checkout or subscription says whose it is.
    """

    credits: Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MAX)]
    description: Annotated[str, msgspec.Meta(max_length=500), Check(no_nul)] = ""
    store_id: UUID | None = None
    user_id: UUID | None = None


class BookingView(msgspec.Struct, frozen=True):
    """A transaction that was booked by hand, for a store or an end user; the other is null.

    `amount` is what was paid, before tax and in the currency's smallest unit.
    """

    transaction_id: str
    store_id: UUID | None
    user_id: UUID | None
    credits: int
    amount: int
    currency: str


@get(
    "/billing/problems",
    summary="What billing could not settle by itself",
    operation_id="listBillingProblems",
    responses=operator_errors(),
)
async def list_problems(parts: NamedDependency[Parts]) -> Envelope[ProblemsView]:
    """Events that fail or fit nothing, credits that could not be taken, charges not made."""
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
    responses=action_errors(ErrorCode.NOT_FOUND),
)
async def retry_event(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    event_id: FromPath[str],
) -> Envelope[EventRetried]:
    """For an event that was set aside, once its cause is mended."""
    if not await parts.billing_actions.retry_event(context, event_id):
        raise not_found("event that was set aside and can be looked at again")
    return Envelope(EventRetried(event_id, retried=True))


@post(
    "/billing/problems/{problem_id:str}/dismiss",
    status_code=200,
    summary="Show a problem no longer",
    operation_id="dismissBillingProblem",
    responses=action_errors(ErrorCode.NOT_FOUND),
)
async def dismiss_problem(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    problem_id: FromPath[str],
) -> Envelope[ProblemDismissed]:
    """For an event (by its id) or a clawback (by its adjustment's) that was dealt with by hand.

    No credits move.
    """
    if not await parts.billing_actions.dismiss(context, problem_id):
        raise not_found("event or clawback among the problems")
    return Envelope(ProblemDismissed(problem_id, dismissed=True))


@post(
    "/billing/transactions/{transaction_id:str}/book",
    summary="Book a transaction by hand",
    operation_id="bookTransaction",
    responses=action_errors(ErrorCode.NOT_FOUND, ErrorCode.SERVICE_UNAVAILABLE),
    **example({"credits": 5000, "description": "Custom plan, November"}),
)
async def book_transaction(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    transaction_id: FromPath[str],
    data: JSONBody[BookingBody],
) -> Response[Envelope[BookingView]]:
    """Adds credits for what was paid at Paddle and is no plan, pack or checkout of ours.

    Once per transaction; sent again with the same credits, it changes nothing. What was paid is as
    Paddle says, so that a refund takes its share back. Its problem is settled.
    """
    outcome = await parts.billing_actions.book(
        context,
        transaction_id,
        data.credits,
        data.description or BOOKED_BY_HAND,
        _owner(data),
    )
    match outcome:
        case Booked():
            return Response(
                Envelope(_booking_view(outcome)),
                status_code=200 if outcome.replayed else 201,
                headers={"Idempotent-Replayed": "true"} if outcome.replayed else None,
            )
        case NotBooked.UNKNOWN_TRANSACTION:
            raise not_found("transaction at Paddle that says what was paid")
        case NotBooked.NOT_ASKED:
            raise not_found(
                "transaction among the events that were kept, and Paddle cannot be asked: billing "
                "is off (STORECREDIT_PADDLE_API_KEY and STORECREDIT_PADDLE_WEBHOOK_SECRET switch "
                "it on)"
            )
        case NotBooked.NOT_COMPLETED:
            raise invalid("The transaction is not completed: nothing was paid. Nothing was booked.")
        case NotBooked.OTHER_OWNER:
            raise invalid("The transaction is another store's or user's. Nothing was booked.")
        case NotBooked.UNKNOWN_OWNER:
            raise invalid(
                "No record says whose the transaction is: name a `store_id` or `user_id` that is "
                "known. Nothing was booked."
            )
        case NotBooked.ALREADY_BOOKED | NotBooked.CONFLICT:
            raise Failure(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                "The transaction has been booked, for other credits than these. Nothing was added.",
            )
        case _:
            assert_never(outcome)


def _owner(data: BookingBody) -> Owner | None:
    if data.store_id is not None and data.user_id is not None:
        raise invalid("Name `store_id` or `user_id`, one of the two.")
    if data.store_id is not None:
        return Owner.store(data.store_id)
    return None if data.user_id is None else Owner.user(data.user_id)


def _booking_view(booked: Booked) -> BookingView:
    owner = booked.owner
    return BookingView(
        transaction_id=booked.transaction_id,
        store_id=owner.id if owner.kind is OwnerKind.STORE else None,
        user_id=owner.id if owner.kind is OwnerKind.USER else None,
        credits=booked.credits,
        amount=booked.amount,
        currency=booked.currency,
    )


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
