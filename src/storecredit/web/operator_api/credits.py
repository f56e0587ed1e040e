"""Credits that the operator adds, to a store or an end user."""

from dataclasses import replace
from typing import assert_never

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from storecredit.ledger.outcomes import Addition
from storecredit.ledger.owners import Owner
from storecredit.operator.audit import ActionContext
from storecredit.operator.tokens import Scope
from storecredit.stores.stores import Store
from storecredit.web.http.envelope import Envelope, ErrorCode, Failure, not_found
from storecredit.web.http.openapi import action_errors, example
from storecredit.web.http.scopes import needs
from storecredit.web.parts import Parts
from storecredit.web.resources.credit_forms import CreditsBody
from storecredit.web.resources.grant_terms import (
    refused_terms,
    terms_of,
)
from storecredit.web.resources.spending import replayed_as


class CreditsAdded(msgspec.Struct, frozen=True):
    """Whether the credits were added now, or had been by this request id; the balance since."""

    added: bool
    balance: int
    request_id: str


@post(
    "/stores/{store_id:str}/credits",
    summary="Add credits",
    operation_id="addCredits",
    responses=replayed_as(Envelope[CreditsAdded]) | action_errors(ErrorCode.NOT_FOUND),
    **example({"amount": 100, "type": "grant", "request_id": "welcome-1001"}),
    **needs(Scope.CREDITS),
)
async def add_credits(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    store: NamedDependency[Store],
    data: JSONBody[CreditsBody],
) -> Response[Envelope[CreditsAdded]]:
    """Adds credits once per request id; sending it again changes nothing."""
    return await added(parts, context, Owner.store(store.store_id), data)


async def added(
    parts: Parts, context: ActionContext, owner: Owner, data: CreditsBody
) -> Response[Envelope[CreditsAdded]]:
    """Add credits to a store or an end user, and say what came of it."""
    outcome = await parts.operator.credits.add(
        replace(context, request_id=data.request_id),
        owner,
        data.amount,
        data.type,
        data.description,
        terms_of(data.expires_at, data.kind, data.priority),
    )
    match outcome:
        case Addition.ADDED | Addition.ALREADY_ADDED:
            credits = await parts.credits.balance(owner)
            is_new = outcome is Addition.ADDED
            return Response(
                Envelope(CreditsAdded(is_new, credits.balance, data.request_id)),
                status_code=201 if is_new else 200,
                headers=None if is_new else {"Idempotent-Replayed": "true"},
            )
        case Addition.UNKNOWN_OWNER:
            raise not_found(owner.kind.value)
        case Addition.CONFLICT:
            raise Failure(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                "This request id added another amount or type, or with other terms, before. "
                "Nothing was added now.",
            )
        case Addition.EXPIRED | Addition.TOO_MANY_GRANTS:
            raise refused_terms(outcome)
        case _:
            assert_never(outcome)
