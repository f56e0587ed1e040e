"""Credits set aside, then captured or released: what a store's doors and the operator's do alike.

A store asks about its own account, the operator about that of an end user.
"""

from typing import Annotated, Final, assert_never
from uuid import UUID

from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter
from litestar.types import HTTPScope

from storecredit import telemetry
from storecredit.ledger.credits import Cause
from storecredit.ledger.hold_records import HoldStatus
from storecredit.ledger.holds import (
    Ended,
    EndedOtherwise,
    EndOutcome,
    ExceedsHold,
    Extended,
    Held,
    HoldConflict,
    HoldReplayed,
    Insufficient,
    NoSuchHold,
)
from storecredit.ledger.owners import Account
from storecredit.web.http.envelope import Envelope, ErrorCode, Failure, Success, not_found
from storecredit.web.http.headers import CREDITS_REMAINING
from storecredit.web.http.links import location
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import example
from storecredit.web.http.paging import uuid_cursor
from storecredit.web.http.visits import visit_of
from storecredit.web.parts import Parts
from storecredit.web.resources.hold_views import (
    CaptureBody,
    ExtendBody,
    HoldBody,
    HoldExtended,
    HoldMade,
    HoldOver,
    HoldPage,
    HoldView,
    hold_view,
)
from storecredit.web.resources.payment_required import payment_required

REPLAYED: Final = {"Idempotent-Replayed": "true"}

HoldId = Annotated[
    str, PathParameter(format="uuid", description="The hold, as its creation named it.")
]


HOLD_ANSWERS: Final = {
    200: ResponseSpec(
        Envelope[HoldMade],
        description="This very request was sent before; nothing was set aside now",
        generate_examples=False,
    )
}
HOLD_EXAMPLE: Final = example(
    {"amount": 10, "expires_in_seconds": 600, "description": "a film", "metadata": {"order": "7"}}
)
HOLD_CODES: Final = (ErrorCode.INSUFFICIENT_CREDITS, ErrorCode.IDEMPOTENCY_CONFLICT)
CAPTURE_EXAMPLE: Final = example({"amount": 7})
CAPTURE_CODES: Final = (
    ErrorCode.NOT_FOUND,
    ErrorCode.HOLD_ENDED,
    ErrorCode.CAPTURE_EXCEEDS_HOLD,
)
EXTEND_EXAMPLE: Final = example({"expires_in_seconds": 3600})
END_CODES: Final = (ErrorCode.NOT_FOUND, ErrorCode.HOLD_ENDED)
EXTEND_CODES: Final = (*END_CODES, ErrorCode.IDEMPOTENCY_CONFLICT)


async def hold(
    scope: HTTPScope,
    parts: Parts,
    account: Account,
    body: HoldBody,
    address: str,
    actor: str | None = None,
) -> Success[HoldMade]:
    """Set credits aside; `address` is that of the account's holds.

    `actor`: the operator who does so; None: the owner itself. Raises Failure.
    """
    request_id = visit_of(scope).request_id
    outcome = await parts.holds.hold(
        account,
        body.amount,
        Cause(request_id, body.description or "", actor),
        seconds=body.expires_in_seconds,
        metadata=body.metadata,
    )
    match outcome:
        case Held(hold_id, expires_at, balance):
            status, replayed = HoldStatus.HELD, {}
        case HoldReplayed(hold_id, expires_at, balance):
            status, replayed = await _status(parts, account, hold_id), REPLAYED
        case Insufficient(balance):
            raise payment_required(
                scope, parts, balance=balance, required=body.amount, kind=account.owner.kind
            )
        case HoldConflict():
            raise Failure(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                "This request id was used for another request. Nothing was held; send a new id.",
            )
        case _:
            assert_never(outcome)
    telemetry.bind(hold_id=str(hold_id), amount=body.amount)
    made = HoldMade(hold_id, body.amount, utc(expires_at), balance, request_id, status)
    headers = {"Location": location(f"{address}/{hold_id}", parts)} | replayed
    return Success(made, 200 if replayed else 201, _remaining(balance) | headers)


async def _status(parts: Parts, account: Account, hold_id: UUID) -> HoldStatus:
    found = await parts.hold_records.get(account.id, hold_id)
    if found is None:
        raise AssertionError("a hold that was replayed is there, and none is ever removed")
    return found.status


async def capture(
    parts: Parts,
    account: Account,
    hold_id: str,
    body: CaptureBody | None,
    actor: str | None = None,
) -> Success[HoldOver]:
    """Spend what is held, or some of it. Raises Failure."""
    id_ = _known_form(hold_id)
    amount = None if body is None else body.amount
    return _over(id_, await parts.holds.capture(account, id_, amount, actor))


async def release(
    parts: Parts, account: Account, hold_id: str, actor: str | None = None
) -> Success[HoldOver]:
    """Give back what is held. Raises Failure."""
    id_ = _known_form(hold_id)
    return _over(id_, await parts.holds.release(account, id_, actor))


async def extend(
    scope: HTTPScope, parts: Parts, account: Account, hold_id: str, body: ExtendBody
) -> Success[HoldExtended]:
    """Let a hold last longer. Raises Failure."""
    id_ = _known_form(hold_id)
    request_id = visit_of(scope).request_id
    outcome = await parts.holds.extend(account, id_, body.expires_in_seconds, request_id)
    match outcome:
        case Extended(expires_at, balance, is_replay):
            extended = HoldExtended(id_, HoldStatus.HELD, utc(expires_at), balance)
            headers = _remaining(balance) | (REPLAYED if is_replay else {})
            return Success(extended, headers=headers)
        case HoldConflict():
            raise Failure(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                "This request extended the hold by other seconds. Nothing changed; send a new id.",
            )
        case EndedOtherwise():
            raise _ended_otherwise(outcome)
        case NoSuchHold():
            raise _no_such_hold()
        case _:
            assert_never(outcome)


async def read_hold(parts: Parts, account: Account, hold_id: str) -> HoldView:
    """One hold of the account. Raises Failure where it has none of that id."""
    found = await parts.hold_records.get(account.id, _known_form(hold_id))
    if found is None:
        raise _no_such_hold()
    return hold_view(found)


async def read_holds(
    parts: Parts, account: Account, status: HoldStatus | None, limit: int, cursor: str | None
) -> HoldPage:
    """A page of the account's holds, newest first."""
    page = await parts.hold_records.list(
        account.id, status=status, limit=limit, before=uuid_cursor(cursor)
    )
    return HoldPage(
        [hold_view(each) for each in page.items],
        str(page.next_before) if page.next_before else None,
    )


def _over(hold_id: UUID, outcome: EndOutcome) -> Success[HoldOver]:
    match outcome:
        case Ended(status, amount, captured, ended_at, balance, is_replay):
            telemetry.bind(hold_id=str(hold_id), amount=captured)
            over = HoldOver(
                hold_id, status, amount, captured, amount - captured, utc(ended_at), balance
            )
            return Success(over, headers=_remaining(balance) | (REPLAYED if is_replay else {}))
        case EndedOtherwise():
            raise _ended_otherwise(outcome)
        case ExceedsHold(held):
            raise Failure(
                ErrorCode.CAPTURE_EXCEEDS_HOLD,
                f"Only {held:,} credits are held. Nothing was captured, and they are still held.",
                {"held": held},
            )
        case NoSuchHold():
            raise _no_such_hold()
        case _:
            assert_never(outcome)


def _ended_otherwise(outcome: EndedOtherwise) -> Failure:
    """409: the hold is no longer one, and how it ended."""
    return Failure(
        ErrorCode.HOLD_ENDED,
        f"The hold is over: it was {outcome.status.value} before. Nothing changed now."
        if outcome.status is not HoldStatus.EXPIRED
        else "The hold is over: its time was up, and its credits are part of the balance again.",
        {
            "status": outcome.status,
            "captured": outcome.captured,
            "ended_at": utc(outcome.ended_at),
        },
    )


def _no_such_hold() -> Failure:
    return not_found("hold")


def _known_form(hold_id: str) -> UUID:
    """The id that a path names. Raises Failure for what cannot be one."""
    try:
        return UUID(hold_id)
    except ValueError:
        raise _no_such_hold() from None


def _remaining(balance: int) -> dict[str, str]:
    return {CREDITS_REMAINING: str(balance)}
