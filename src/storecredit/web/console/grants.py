"""`/console/…/grants`: what is left of each addition, and when it ends; credits set aside."""

import asyncio
from typing import Annotated, Any, Final, assert_never

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from storecredit.ledger.grants import Grant
from storecredit.ledger.hold_records import HoldStatus
from storecredit.operator.audit import ActionContext
from storecredit.operator.credits import ExpirySet, NotDone
from storecredit.operator.movement_words import MovementWords, words_of
from storecredit.operator.tokens import Scope
from storecredit.web.http.envelope import not_found
from storecredit.web.http.moments import utc
from storecredit.web.http.paging import (
    PAGE_DEFAULT,
    SEQ_DIGITS_MAX,
    SeqCursor,
    given_out,
    seq_cursor,
    uuid_cursor,
)
from storecredit.web.http.scopes import needs
from storecredit.web.pages.forms import NO_FORM, Form, FormRefused, read_form
from storecredit.web.pages.places import Place
from storecredit.web.pages.queries import read_query
from storecredit.web.pages.signed_in import SEE_OTHER
from storecredit.web.parts import Parts
from storecredit.web.resources.credit_forms import Expiry

GONE: Final = "grant with credits left: it is used up, has ended, or another took its place"


class GrantsQuery(msgspec.Struct, frozen=True):
    """From where on the two lists are wanted."""

    cursor: SeqCursor = None
    holds: Annotated[str | None, QueryParameter(max_length=100), given_out(uuid_cursor)] = None


class NewEnd(msgspec.Struct, frozen=True):
    """When what is left of a grant is to end; None: never."""

    expires_at: Expiry | None = None


@get("/grants")
async def grants_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> Response[str]:
    """What is left of each addition, in the order of spending, and the open holds."""
    query = read_query(request, GrantsQuery)
    wanted = query.wanted or GrantsQuery()
    account_id = await parts.credits.account_id(place.owner)
    grants, holds = await asyncio.gather(
        parts.grants.list(account_id, limit=PAGE_DEFAULT, after=seq_cursor(wanted.cursor)),
        parts.hold_records.list(
            account_id,
            status=HoldStatus.HELD,
            limit=PAGE_DEFAULT,
            before=uuid_cursor(wanted.holds),
        ),
    )
    return place.page(
        request,
        "grants.html",
        status=query.status,
        form=query.form,
        asked=query,
        grants=grants,
        holds=holds,
        words_of=lambda grant: _said(parts, grant),
        done=request.query_params.get("done"),
    )


@get("/grants/{seq:str}", **needs(Scope.CREDITS))
async def grant_page(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    seq: FromPath[str],
) -> Response[str]:
    """One grant, and when it is to end."""
    return await _asking(request, parts, place, seq, NO_FORM)


@post("/grants/{seq:str}", **needs(Scope.CREDITS))
async def set_grant(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    seq: FromPath[str],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Lets what is left of it end at another time, or never."""
    try:
        expires_at = read_form(request, form, NewEnd).expires_at
    except FormRefused as refused:
        return await _asking(request, parts, place, seq, refused.form)
    outcome = await parts.operator.credits.set_expiry(
        context, place.owner, _seq(seq), expires_at and utc(expires_at)
    )
    match outcome:
        case ExpirySet():
            return Redirect(f"{place.address}/grants?done=set", status_code=SEE_OTHER)
        case NotDone.PAST:
            past = form.with_faults({"expires_at": "This time is past."})
            return await _asking(request, parts, place, seq, past)
        case NotDone():
            raise not_found(GONE)
        case _:
            assert_never(outcome)


async def _asking(
    request: Request[Any, Any, Any], parts: Parts, place: Place, seq: str, form: Form
) -> Response[str]:
    grant = await _grant(parts, place, seq)
    status = 400 if form.faults else 200
    said = _said(parts, grant)
    return place.page(request, "grant.html", status=status, grant=grant, said=said, form=form)


def _said(parts: Parts, grant: Grant) -> MovementWords:
    return words_of(grant.type, grant.description, parts.catalogue)


async def _grant(parts: Parts, place: Place, seq: str) -> Grant:
    account_id = await parts.credits.account_id(place.owner)
    grant = await parts.grants.get(account_id, _seq(seq))
    if grant is None:
        raise not_found(GONE)
    return grant


def _seq(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= SEQ_DIGITS_MAX):
        raise not_found(GONE)
    return int(text)


HANDLERS: Final = (
    grants_page,  # GET /grants
    grant_page,  # GET /grants/{seq}
    set_grant,  # POST /grants/{seq}
)
