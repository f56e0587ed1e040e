"""`/api/admin/users/{user_id}/spend…`: end users' credits, which the operator's server spends.

Bodies and answers are those of a store that spends its own.
"""

from typing import Any
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from storecredit.operator.tokens import Scope
from storecredit.web.http.addresses import ADMIN
from storecredit.web.http.envelope import Envelope, ErrorCode
from storecredit.web.http.openapi import example, operator_errors
from storecredit.web.http.scopes import needs
from storecredit.web.http.visits import principal_of
from storecredit.web.operator_api.user_accounts import account_of_user, charged_user
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


@post(
    "/users/{user_id:uuid}/spend",
    summary="Spend a user's credits",
    operation_id="spendUserCredits",
    response_description="The credits were taken",
    responses={
        **replayed_as(Envelope[SpendMade]),
        **operator_errors(
            ErrorCode.NOT_FOUND,
            ErrorCode.USER_ERASED,
            ErrorCode.INSUFFICIENT_CREDITS,
            ErrorCode.IDEMPOTENCY_CONFLICT,
            ErrorCode.PAYLOAD_TOO_LARGE,
        ),
    },
    **example({"amount": 5, "description": "Translation, 5 pages"}),
    **needs(Scope.CREDITS),
)
async def spend_user_credits(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    user_id: FromPath[UUID],
    data: JSONBody[SpendBody],
) -> Response[Envelope[SpendMade]]:
    """As a store spends its own. The request id makes a retry safe; it is the user's alone."""
    account = await charged_user(parts, user_id)
    path = f"{ADMIN}/users/{user_id}/spend"
    spent = await spend_from(
        account, request.scope, parts, data, path, principal_of(request.scope).name
    )
    return spent.response()


@post(
    "/users/{user_id:uuid}/spend/batch",
    status_code=200,
    summary="Spend a user's credits, many at once",
    operation_id="spendUserCreditsInBatch",
    response_description="What became of each spend; look at `outcome`",
    responses=operator_errors(
        ErrorCode.NOT_FOUND, ErrorCode.USER_ERASED, ErrorCode.PAYLOAD_TOO_LARGE
    ),
    **BATCH_EXAMPLE,
    **needs(Scope.CREDITS),
)
async def spend_user_credits_in_batch(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    user_id: FromPath[UUID],
    data: JSONBody[SpendBatch],
) -> Response[Envelope[SpendAnswers]]:
    """As a store spends its own: each by itself, in order, all in one transaction."""
    account = await charged_user(parts, user_id)
    return (
        await spend_batch_from(account, parts, data, principal_of(request.scope).name)
    ).response()


@post(
    "/users/{user_id:uuid}/spend/{spend_request_id:str}/refund",
    summary="Give a user's spend back, or a part of it",
    operation_id="refundUserSpend",
    response_description="The credits were given back",
    responses={
        **replayed_as(Envelope[RefundMade]),
        **operator_errors(
            ErrorCode.NOT_FOUND, ErrorCode.IDEMPOTENCY_CONFLICT, ErrorCode.REFUND_EXCEEDS_SPEND
        ),
    },
    **example({"amount": 2}),
    **needs(Scope.CREDITS),
)
async def refund_user_spend(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    user_id: FromPath[UUID],
    spend_request_id: SpendId,
    data: JSONBody[RefundBody | None] = None,
) -> Response[Envelope[RefundMade]]:
    """In parts, if need be, never more than was taken; all that is left if no amount is sent."""
    account = await account_of_user(parts, user_id)
    refunded = await refund_to(
        account, request.scope, parts, spend_request_id, data, principal_of(request.scope).name
    )
    return refunded.response()


@get(
    "/users/{user_id:uuid}/spend/{spend_request_id:str}",
    summary="Read a user's spend",
    operation_id="getUserSpend",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def get_user_spend(
    parts: NamedDependency[Parts], user_id: FromPath[UUID], spend_request_id: SpendId
) -> Envelope[SpendView]:
    """Whether it was made, what was given back of it, and what still may be."""
    return Envelope(await read_of(await account_of_user(parts, user_id), parts, spend_request_id))
