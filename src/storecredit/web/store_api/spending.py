"""`/api/v1/credits/spend…`: credits taken for whatever the store sells, and given back in parts."""

from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import HTTPScope

from storecredit.web.http.envelope import Envelope, ErrorCode, Success
from storecredit.web.http.openapi import example, store_errors
from storecredit.web.parts import Parts
from storecredit.web.resources.spend_forms import (
    RefundBody,
    RefundMade,
    SpendAnswers,
    SpendBatch,
    SpendBody,
    SpendMade,
    SpendView,
)
from storecredit.web.resources.spending import (
    BATCH_EXAMPLE,
    SpendId,
    read_of,
    refund_to,
    replayed_as,
    spend_batch_from,
    spend_from,
)
from storecredit.web.store_api.accounts import account_of

SPEND_PATH: Final = "/api/v1/credits/spend"
BATCH_PATH: Final = f"{SPEND_PATH}/batch"


@post(
    "/credits/spend",
    summary="Spend credits",
    operation_id="spendCredits",
    response_description="The credits were taken",
    responses={
        **replayed_as(Envelope[SpendMade]),
        **store_errors(
            ErrorCode.INSUFFICIENT_CREDITS,
            ErrorCode.IDEMPOTENCY_CONFLICT,
            ErrorCode.PAYLOAD_TOO_LARGE,
        ),
    },
    **example({"amount": 5, "description": "Translation, 5 pages", "metadata": {"order": "1001"}}),
)
async def spend_credits(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], data: JSONBody[SpendBody]
) -> Response[Envelope[SpendMade]]:
    """Takes credits for whatever they pay for. The request id makes a retry safe."""
    return (await spend(request.scope, parts, data)).response()


async def spend(scope: HTTPScope, parts: Parts, body: SpendBody) -> Success[SpendMade]:
    """The whole of `spend_credits`, without the framework: a direct route."""
    return await spend_from(account_of(scope), scope, parts, body, SPEND_PATH)


@post(
    "/credits/spend/batch",
    status_code=200,
    summary="Spend credits, many at once",
    operation_id="spendCreditsInBatch",
    response_description="What became of each spend; look at `outcome`",
    responses=store_errors(ErrorCode.PAYLOAD_TOO_LARGE),
    **BATCH_EXAMPLE,
)
async def spend_credits_in_batch(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], data: JSONBody[SpendBatch]
) -> Response[Envelope[SpendAnswers]]:
    """Makes each spend by itself, in order, all in one transaction: all outcomes stand, or none.

    A spend that the credits do not suffice for keeps back none of those after it. The batch may be
    sent again as a whole: what was spent is `replayed` then.
    """
    return (await spend_batch(request.scope, parts, data)).response()


async def spend_batch(scope: HTTPScope, parts: Parts, body: SpendBatch) -> Success[SpendAnswers]:
    """The whole of `spend_credits_in_batch`, without the framework: a direct route."""
    return await spend_batch_from(account_of(scope), parts, body)


@post(
    "/credits/spend/{spend_request_id:str}/refund",
    summary="Give back a spend, or a part of it",
    operation_id="refundSpend",
    response_description="The credits were given back",
    responses={
        **replayed_as(Envelope[RefundMade]),
        **store_errors(
            ErrorCode.NOT_FOUND, ErrorCode.IDEMPOTENCY_CONFLICT, ErrorCode.REFUND_EXCEEDS_SPEND
        ),
    },
    **example({"amount": 2}),
)
async def refund_spend(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    spend_request_id: SpendId,
    data: JSONBody[RefundBody | None] = None,
) -> Response[Envelope[RefundMade]]:
    """In parts, if need be, and never more than was taken; all that is left if no amount is sent.

    The request id is the refund's own, and makes a retry safe. A generation is no spend: its
    credits come back when it fails.
    """
    account = account_of(request.scope)
    refunded = await refund_to(account, request.scope, parts, spend_request_id, data)
    return refunded.response()


@get(
    "/credits/spend/{spend_request_id:str}",
    summary="Read a spend",
    operation_id="getSpend",
    responses=store_errors(ErrorCode.NOT_FOUND),
)
async def get_spend(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], spend_request_id: SpendId
) -> Envelope[SpendView]:
    """Whether it was made, what was given back of it, and what still may be."""
    return Envelope(await read_of(account_of(request.scope), parts, spend_request_id))
