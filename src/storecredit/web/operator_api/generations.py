"""`/api/admin/stores/{store_id}/generations`: what became of a store's generations, and why."""

from typing import Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from storecredit.generation.sessions import Session, SessionStatus
from storecredit.ledger.owners import Owner
from storecredit.stores.stores import Store
from storecredit.web.http.envelope import Envelope, ErrorCode
from storecredit.web.http.links import link_base
from storecredit.web.http.openapi import operator_errors
from storecredit.web.http.paging import PAGE_DEFAULT, Limit, UuidCursor, WantedRequest, uuid_cursor
from storecredit.web.parts import Parts
from storecredit.web.resources.generation_views import Generation, generation_views


class OperatorGeneration(Generation, frozen=True):
    """A generation session, and the generator's own words about the last attempt that failed.

    They are kept for a week (a setting) after the session has ended.
    """

    generator_message: str | None


class OperatorGenerationPage(msgspec.Struct, frozen=True):
    """Generations, newest first."""

    items: list[OperatorGeneration]
    next_cursor: str | None


@get(
    "/stores/{store_id:str}/generations",
    summary="List a store's generations",
    operation_id="listStoreGenerations",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def list_generations(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    store: NamedDependency[Store],
    status: FromQuery[SessionStatus | None] = None,
    request_id: WantedRequest = None,
    limit: Limit = PAGE_DEFAULT,
    cursor: UuidCursor = None,
) -> Envelope[OperatorGenerationPage]:
    """As the store reads them, newest first, with what the generator said.

    With `request_id` the one that this request made.
    """
    owner = Owner.store(store.store_id)
    return await generations_of(request, parts, owner, status, request_id, limit, cursor)


async def generations_of(
    request: Request[Any, Any, Any],
    parts: Parts,
    owner: Owner,
    status: SessionStatus | None,
    request_id: str | None,
    limit: int,
    cursor: str | None,
) -> Envelope[OperatorGenerationPage]:
    """A page of an owner's generations, as the operator reads them."""
    page = await parts.sessions.list(
        await parts.credits.account_id(owner),
        status=status,
        limit=limit,
        before=uuid_cursor(cursor),
        request_id=request_id,
    )
    views = await generation_views(page.items, parts, link_base(request.scope, parts))
    return Envelope(
        OperatorGenerationPage(
            [
                _operator_view(view, session)
                for view, session in zip(views, page.items, strict=True)
            ],
            str(page.next_before) if page.next_before else None,
        )
    )


def _operator_view(seen_by_store: Generation, session: Session) -> OperatorGeneration:
    view = msgspec.structs.asdict(seen_by_store)
    return OperatorGeneration(**view, generator_message=session.generator_message)
