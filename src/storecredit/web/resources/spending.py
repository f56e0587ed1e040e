"""Credits taken for whatever is sold, and given back in parts: a store's, or an end user's.

A store spends its own; those of an end user the operator spends.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar, assert_never

from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter
from litestar.types import HTTPScope

from storecredit import telemetry
from storecredit.ledger.owners import Account
from storecredit.ledger.spending import (
    Conflict,
    ExceedsSpend,
    Insufficient,
    NoSpend,
    RefundConflict,
    Refunded,
    Spend,
    SpendOutcome,
    Spent,
)
from storecredit.web.http.envelope import ErrorCode, Failure, Success, not_found
from storecredit.web.http.headers import CREDITS_REMAINING
from storecredit.web.http.links import location
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import example
from storecredit.web.http.paths import encoded_request, named_request
from storecredit.web.http.request_ids import is_request_id
from storecredit.web.http.visits import visit_of
from storecredit.web.parts import Parts
from storecredit.web.resources.payment_required import payment_required
from storecredit.web.resources.spend_forms import (
    RefundBody,
    RefundMade,
    RefundView,
    SpendAnswer,
    SpendAnswers,
    SpendBatch,
    SpendBody,
    SpendItem,
    SpendMade,
    SpendView,
)

BATCH_EXAMPLE: Final = example(
    {"items": [{"request_id": "call-1", "amount": 1}, {"request_id": "call-2", "amount": 3}]}
)
Made = TypeVar("Made", SpendMade, RefundMade)

SpendId = Annotated[str, PathParameter(description="The spend, by the request id that made it.")]


def replayed_as(answer: Any) -> dict[int, ResponseSpec]:
    """The 200 of a request that was answered 201 before."""
    said = "This very request was sent before; nothing was moved now"
    return {200: ResponseSpec(answer, description=said, generate_examples=False)}


async def spend_from(
    account: Account,
    scope: HTTPScope,
    parts: Parts,
    body: SpendBody,
    path: str,
    actor: str | None = None,
) -> Success[SpendMade]:
    """Spend an owner's credits; below `path` the spend can be read.

    `actor`: the operator who spends them; None: the owner itself.
    """
    request_id = visit_of(scope).request_id
    telemetry.bind(amount=body.amount)
    outcome = await parts.spending.spend(account, _spend(request_id, body, actor))
    match outcome:
        case Spent(balance, charged_as, replayed):
            made = SpendMade(request_id, body.amount, balance, charged_as)
            address = location(f"{path}/{encoded_request(request_id)}", parts)
            headers = {CREDITS_REMAINING: str(balance), "Location": address}
            return _moved(made, headers, replayed=replayed)
        case Insufficient(balance):
            raise payment_required(
                scope, parts, balance=balance, required=body.amount, kind=account.owner.kind
            )
        case Conflict():
            raise Failure(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                "This request id was used for another request. Nothing was charged; send a new id.",
            )
        case _:
            assert_never(outcome)


async def spend_batch_from(
    account: Account, parts: Parts, body: SpendBatch, actor: str | None = None
) -> Success[SpendAnswers]:
    """Make an owner's spends, in order; `actor` as of a single one."""
    spends = [_spend(item.request_id, item, actor) for item in body.items]
    outcomes = await parts.spending.spend_many(account, spends)
    answers = [_answer(*each) for each in zip(spends, outcomes, strict=True)]
    telemetry.bind(spends=len(answers), amount=_taken(answers))
    return Success(SpendAnswers(answers), 200, {CREDITS_REMAINING: str(answers[-1].balance)})


def _moved(made: Made, headers: dict[str, str], *, replayed: bool) -> Success[Made]:
    if replayed:
        return Success(made, 200, {**headers, "Idempotent-Replayed": "true"})
    return Success(made, 201, headers)


def _spend(request_id: str, body: SpendBody | SpendItem, actor: str | None = None) -> Spend:
    return Spend(request_id, body.amount, body.description or "", body.metadata, actor)


def _answer(spend: Spend, outcome: SpendOutcome) -> SpendAnswer:
    request_id, amount = spend.request_id, spend.amount
    match outcome:
        case Spent(balance, charged_as, replayed=False):
            return SpendAnswer(request_id, "spent", amount, balance, charged_as)
        case Spent(balance, charged_as):
            return SpendAnswer(request_id, "replayed", amount, balance, charged_as)
        case Insufficient(balance):
            return SpendAnswer(request_id, "insufficient", amount, balance, None)
        case Conflict(balance):
            return SpendAnswer(request_id, "conflict", amount, balance, None)
        case _:
            assert_never(outcome)


def _taken(answers: Sequence[SpendAnswer]) -> int:
    return sum(answer.amount for answer in answers if answer.outcome == "spent")


async def refund_to(
    account: Account,
    scope: HTTPScope,
    parts: Parts,
    spend_part: str,
    body: RefundBody | None,
    actor: str | None = None,
) -> Success[RefundMade]:
    """Give back to an owner; `spend_part` of the path names the spend, `actor` as of a spend."""
    spend_request_id, request_id = _known_request(spend_part), visit_of(scope).request_id
    outcome = await parts.spending.refund(
        account, spend_request_id, request_id, body.amount if body else None, actor
    )
    match outcome:
        case Refunded(amount, refundable, balance, replayed):
            telemetry.bind(amount=amount)
            made = RefundMade(request_id, spend_request_id, amount, refundable, balance)
            headers = {CREDITS_REMAINING: str(balance)}
            return _moved(made, headers, replayed=replayed)
        case NoSpend():
            raise _no_spend()
        case ExceedsSpend(refundable):
            raise Failure(
                ErrorCode.REFUND_EXCEEDS_SPEND,
                f"Left to give back of this spend: {refundable}. Nothing was given back now.",
                {"refundable": refundable},
            )
        case RefundConflict():
            raise Failure(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                "This request id was used for something else, or for another amount. Nothing was "
                "given back; a refund has an id of its own.",
            )
        case _:
            assert_never(outcome)


def _no_spend() -> Failure:
    return not_found("spend. A generation is none: its credits come back when it fails")


def _known_request(part: str) -> str:
    """The request id in a path. Raises Failure for one that no request can have."""
    request_id = named_request(part)
    if not is_request_id(request_id):
        raise _no_spend()
    return request_id


async def read_of(account: Account, parts: Parts, spend_part: str) -> SpendView:
    """An owner's spend. Raises Failure where there is none."""
    record = await parts.spending.read(account, _known_request(spend_part))
    if record is None:
        raise _no_spend()
    return SpendView(
        request_id=record.request_id,
        amount=record.amount,
        charged_as=record.charged_as,
        description=record.description,
        metadata=record.metadata,
        created_at=utc(record.created_at),
        refunded=record.refunded,
        refundable=record.refundable,
        refunds=[
            RefundView(each.request_id, each.amount, utc(each.created_at))
            for each in record.refunds
        ],
    )
