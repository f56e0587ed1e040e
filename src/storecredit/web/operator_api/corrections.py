"""Credits that the operator takes out, hands over, or lets end at another time."""

from dataclasses import replace
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

import msgspec
from litestar import Response, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from storecredit.ledger.owners import Owner
from storecredit.operator.audit import ActionContext
from storecredit.operator.credits import (
    ExpirySet,
    Insufficient,
    NotDone,
    Removed,
    Transferred,
)
from storecredit.operator.tokens import Scope
from storecredit.stores.stores import Store
from storecredit.web.http.envelope import Envelope, ErrorCode, Failure, invalid, not_found
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import action_errors, example
from storecredit.web.http.paging import SEQ_DIGITS_MAX
from storecredit.web.http.scopes import needs
from storecredit.web.operator_api.named_owners import named_owner
from storecredit.web.parts import Parts
from storecredit.web.resources.credit_forms import GrantChange, RemovalBody, TransferBody
from storecredit.web.resources.spending import replayed_as


class CreditsRemoved(msgspec.Struct, frozen=True):
    """Whether `amount` credits were taken out now, or had been by this request id."""

    removed: bool
    amount: int
    balance: int
    request_id: str


class CreditsTransferred(msgspec.Struct, frozen=True):
    """Whether `amount` credits were handed over now, or had been by this request id."""

    transferred: bool
    amount: int
    from_balance: int
    to_balance: int
    request_id: str


class GrantChanged(msgspec.Struct, frozen=True):
    """The grant that what was left is now: `credits` of it, until `expires_at` (null: for ever)."""

    grant_id: int
    credits: int
    expires_at: datetime | None


@post(
    "/stores/{store_id:str}/credits/remove",
    summary="Take credits out",
    operation_id="removeCredits",
    responses=replayed_as(Envelope[CreditsRemoved])
    | action_errors(ErrorCode.NOT_FOUND, ErrorCode.INSUFFICIENT_CREDITS),
    **example({"amount": 20, "request_id": "correction-1001", "reason": "Added by mistake"}),
    **needs(Scope.CREDITS),
)
async def remove_credits(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    store: NamedDependency[Store],
    data: JSONBody[RemovalBody],
) -> Response[Envelope[CreditsRemoved]]:
    """Takes credits out once per request id, never below zero; what is held stays.

    With `all`, and no `amount`, all that are there.
    """
    return await _removed(parts, context, Owner.store(store.store_id), data)


@post(
    "/users/{user_id:uuid}/credits/remove",
    summary="Take an end user's credits out",
    operation_id="removeUserCredits",
    responses=replayed_as(Envelope[CreditsRemoved])
    | action_errors(ErrorCode.NOT_FOUND, ErrorCode.INSUFFICIENT_CREDITS),
    **example({"amount": 5, "request_id": "correction-1002", "reason": "Added by mistake"}),
    **needs(Scope.CREDITS),
)
async def remove_user_credits(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    user_id: FromPath[UUID],
    data: JSONBody[RemovalBody],
) -> Response[Envelope[CreditsRemoved]]:
    """As of a store: once per request id, never below zero; with `all`, all that are there."""
    return await _removed(parts, context, Owner.user(user_id), data)


async def _removed(
    parts: Parts, context: ActionContext, owner: Owner, data: RemovalBody
) -> Response[Envelope[CreditsRemoved]]:
    if data.all is (data.amount is not None):
        message = "Give `amount`, or `all`: true; one of the two."
        raise invalid(message, [{"key": "amount", "source": "body", "message": message}])
    outcome = await parts.operator.credits.remove(
        replace(context, request_id=data.request_id, reason=data.reason), owner, data.amount
    )
    match outcome:
        case Removed(amount, balance, replayed):
            view = CreditsRemoved(not replayed, amount, balance, data.request_id)
            return _answer(view, replayed=replayed)
        case Insufficient() | NotDone():
            raise _refusal(outcome)
        case _:
            assert_never(outcome)


@post(
    "/credits/transfer",
    summary="Hand credits over",
    operation_id="transferCredits",
    responses=replayed_as(Envelope[CreditsTransferred])
    | action_errors(ErrorCode.NOT_FOUND, ErrorCode.INSUFFICIENT_CREDITS),
    **needs(Scope.CREDITS),
)
async def transfer_credits(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    data: JSONBody[TransferBody],
) -> Response[Envelope[CreditsTransferred]]:
    """Hands credits from one store or end user to another, both movements or neither.

    They stay what they are: paid or promo, and with the latest of their ends.
    """
    source = await named_owner(parts, data.from_, "from", "body")
    target = await named_owner(parts, data.to, "to", "body")
    outcome = await parts.operator.credits.transfer(
        replace(context, request_id=data.request_id, reason=data.reason),
        source,
        target,
        data.amount,
    )
    match outcome:
        case Transferred(amount, from_balance, to_balance, replayed):
            view = CreditsTransferred(
                not replayed, amount, from_balance, to_balance, data.request_id
            )
            return _answer(view, replayed=replayed)
        case Insufficient() | NotDone():
            raise _refusal(outcome)
        case _:
            assert_never(outcome)


@put(
    "/stores/{store_id:str}/grants/{seq:str}",
    summary="Set when a grant ends",
    operation_id="updateGrant",
    responses=action_errors(ErrorCode.NOT_FOUND),
    **example({"expires_at": "2999-12-31T00:00:00Z", "reason": "Extended"}),
    **needs(Scope.CREDITS),
)
async def update_grant(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    store: NamedDependency[Store],
    seq: FromPath[str],
    data: JSONBody[GrantChange],
) -> Envelope[GrantChanged]:
    """Lets what is left of a grant end at another time, or never, and says where it is now."""
    return await _changed(parts, context, Owner.store(store.store_id), seq, data)


@put(
    "/users/{user_id:uuid}/grants/{seq:str}",
    summary="Set when an end user's grant ends",
    operation_id="updateUserGrant",
    responses=action_errors(ErrorCode.NOT_FOUND),
    **example({"expires_at": "2999-12-31T00:00:00Z", "reason": "Extended"}),
    **needs(Scope.CREDITS),
)
async def update_user_grant(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    user_id: FromPath[UUID],
    seq: FromPath[str],
    data: JSONBody[GrantChange],
) -> Envelope[GrantChanged]:
    """As of a store: what is left of it ends at another time, or never."""
    return await _changed(parts, context, Owner.user(user_id), seq, data)


async def _changed(
    parts: Parts, context: ActionContext, owner: Owner, seq: str, data: GrantChange
) -> Envelope[GrantChanged]:
    if not (seq.isascii() and seq.isdigit() and len(seq) <= SEQ_DIGITS_MAX):
        raise not_found("grant")
    expires_at = None if data.expires_at is None else utc(data.expires_at)
    outcome = await parts.operator.credits.set_expiry(
        replace(context, reason=data.reason or context.reason), owner, int(seq), expires_at
    )
    match outcome:
        case ExpirySet(new_seq, credits, ends_at):
            return Envelope(GrantChanged(new_seq, credits, ends_at))
        case NotDone():
            raise _refusal(outcome)
        case _:
            assert_never(outcome)


def _answer(view: CreditsRemoved | CreditsTransferred, *, replayed: bool) -> Response[Any]:
    return Response(
        Envelope(view),
        status_code=200 if replayed else 201,
        headers={"Idempotent-Replayed": "true"} if replayed else None,
    )


def _refusal(outcome: Insufficient | NotDone) -> Failure:
    """The answer where nothing was done."""
    match outcome:
        case Insufficient(balance, required):
            return Failure(
                ErrorCode.INSUFFICIENT_CREDITS,
                f"There are {balance} credits, and nothing was done.",
                {"balance": balance, "required": required or 1},
            )
        case NotDone.CONFLICT:
            return Failure(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                "This request id did something else before. Nothing was done now.",
            )
        case NotDone.SAME_OWNER:
            message = "`from` and `to` are the same owner. Nothing was done."
            return invalid(message, [{"key": "to", "source": "body", "message": message}])
        case NotDone.PAST:
            message = "This time is past. Nothing was done."
            return invalid(message, [{"key": "expires_at", "source": "body", "message": message}])
        case NotDone.UNKNOWN_OWNER:
            return not_found("store or end user")
        case NotDone.NOT_FOUND:
            return not_found("grant")
        case NotDone.ENDED:
            return not_found("grant now: it is used up, has ended, or another took its place")
        case _:
            assert_never(outcome)
