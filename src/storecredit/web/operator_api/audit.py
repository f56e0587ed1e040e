"""`GET /api/admin/audit`: what operators did."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.operator import audit_cursors
from storecredit.operator.audit import Action, Door
from storecredit.operator.audit_entries import AuditFilter, Entry
from storecredit.operator.owner_names import NAME_MAX
from storecredit.web.http.envelope import Envelope, ErrorCode, invalid
from storecredit.web.http.faults import Check, no_nul
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import operator_errors, said
from storecredit.web.http.paging import (
    NOT_GIVEN_OUT,
    PAGE_DEFAULT,
    From,
    Limit,
    To,
    WantedRequest,
    bounds,
    given_out,
)
from storecredit.web.operator_api.named_owners import named_owner
from storecredit.web.parts import Parts

WantedOwner = Annotated[
    str | None,
    QueryParameter(
        min_length=1,
        max_length=NAME_MAX,
        description="Only what was done to this store (by id, name or domain) or end user (by id).",
    ),
    Check(no_nul),
]
WantedActor = Annotated[
    str | None,
    QueryParameter(min_length=1, max_length=100, description="Only what this operator did."),
    Check(no_nul),
]
AuditCursor = Annotated[
    str | None,
    QueryParameter(
        max_length=audit_cursors.CURSOR_MAX, description="`next_cursor` of the page before."
    ),
    given_out(audit_cursors.check),
]


class EntryView(msgspec.Struct, frozen=True):
    """What an operator did. `to_store_id`, `to_user_id`: who was given what was handed over."""

    entry_id: str
    acted_at: datetime
    actor: str
    door: Annotated[Door, said("How they came in.")]
    action: Action
    store_id: UUID | None
    user_id: UUID | None
    to_store_id: UUID | None
    to_user_id: UUID | None
    subject: Annotated[str, said("The id of what it is about besides: a key, a grant, …")]
    reason: str
    request_id: str
    idempotency_key: str | None
    asked: Annotated[dict[str, Any], said("What was asked for.")]
    outcome: Annotated[dict[str, Any], said("What came of it.")]


class AuditPageView(msgspec.Struct, frozen=True):
    """Entries, newest first."""

    items: list[EntryView]
    next_cursor: Annotated[str | None, said("The `cursor` of the next page; null: there is none.")]


@get(
    "/audit",
    summary="Read what operators did",
    operation_id="listAudit",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def list_audit(
    parts: NamedDependency[Parts],
    owner: WantedOwner = None,
    actor: WantedActor = None,
    action: FromQuery[Action | None] = None,
    request_id: WantedRequest = None,
    from_: From = None,
    to: To = None,
    limit: Limit = PAGE_DEFAULT,
    cursor: AuditCursor = None,
) -> Envelope[AuditPageView]:
    """Who did what, when, why and to whom, newest first. Nobody can change what is written here."""
    first, last = bounds(from_, to)
    whose = None if owner is None else await named_owner(parts, owner, "owner", "query")
    wanted = AuditFilter(actor, action, whose, request_id, first, last)
    try:
        page = await parts.operator.audit_entries.page(wanted, limit=limit, cursor=cursor)
    except ValueError:  # a cursor of more buckets than there are
        fault = {"key": "cursor", "source": "query", "message": NOT_GIVEN_OUT}
        raise invalid(NOT_GIVEN_OUT, [fault]) from None
    return Envelope(AuditPageView([_view(entry) for entry in page.items], page.next_cursor))


def _view(entry: Entry) -> EntryView:
    return EntryView(
        entry_id=str(entry.entry_id),
        acted_at=utc(entry.acted_at),
        actor=entry.actor,
        door=entry.door,
        action=entry.action,
        store_id=_id_of(entry.owner, OwnerKind.STORE),
        user_id=_id_of(entry.owner, OwnerKind.USER),
        to_store_id=_id_of(entry.other, OwnerKind.STORE),
        to_user_id=_id_of(entry.other, OwnerKind.USER),
        subject=entry.subject,
        reason=entry.reason,
        request_id=entry.request_id,
        idempotency_key=entry.idempotency_key,
        asked=entry.asked,
        outcome=entry.outcome,
    )


def _id_of(owner: Owner | None, kind: OwnerKind) -> UUID | None:
    return owner.id if owner is not None and owner.kind is kind else None
