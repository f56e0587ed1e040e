"""`/console/tokens`: tokens of operators, made, listed and revoked."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from storecredit.operator.audit import ACTOR_MAX, ActionContext
from storecredit.operator.tokens import IssuedToken, NameTaken, Scope
from storecredit.web.http.envelope import not_found
from storecredit.web.http.faults import Check, no_nul
from storecredit.web.http.scopes import needs
from storecredit.web.pages.forms import NO_FORM, Form, FormRefused, read_form
from storecredit.web.pages.rendering import page
from storecredit.web.parts import Parts

DAYS_MAX = 3650


class TokenForm(msgspec.Struct, frozen=True):
    """A token to make; without `days` it works until it is revoked."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=ACTOR_MAX), Check(no_nul)]
    scopes: Annotated[list[Scope], msgspec.Meta(min_length=1, max_length=len(Scope))]
    days: Annotated[int, msgspec.Meta(ge=1, le=DAYS_MAX)] | None = None


@get("/tokens", **needs(Scope.ALL))
async def tokens_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Response[str]:
    """The newest hundred tokens, and the form for another."""
    return await _page(request, parts)


@post("/tokens")
async def create_token(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[str]:
    """Makes a token, shown this once."""
    try:
        wanted = read_form(request, form, TokenForm)
        made = await _made(parts, context, form, wanted)
    except FormRefused as refused:
        return await _page(request, parts, form=refused.form)
    return await _page(request, parts, made=made)


@get("/tokens/{token_id:uuid}/revoke", **needs(Scope.ALL))
async def revoke_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], token_id: FromPath[UUID]
) -> Response[str]:
    """Asks whether this one is meant."""
    token = await parts.operator.tokens.named(str(token_id))
    if token is None:
        raise not_found("token")
    return page(request, "token_revoke.html", token=token)


@post("/tokens/{token_id:uuid}/revoke")
async def revoke_token(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    token_id: FromPath[UUID],
) -> Redirect:
    """The token stops working at once, and whoever is signed in with it is signed out."""
    if not await parts.operator.tokens.revoke(context, token_id):
        raise not_found("token")
    return Redirect("/console/tokens?done=revoked", status_code=303)


async def _made(parts: Parts, context: ActionContext, form: Form, wanted: TokenForm) -> IssuedToken:
    ends = None if wanted.days is None else _end_of_day(wanted.days)
    try:
        return await parts.operator.tokens.create(
            context, wanted.name, frozenset(wanted.scopes), ends
        )
    except NameTaken:
        fault = "Another token has this name, or had it: the audit log tells them apart by it."
    except ValueError as error:
        fault = f"This cannot be a name: {error}."
    raise FormRefused(form.with_faults({"name": fault}))


def _end_of_day(days: int) -> datetime:
    """The end of a day (UTC): the same for a form that is sent twice."""
    day = datetime.now(UTC).date() + timedelta(days=days + 1)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


async def _page(
    request: Request[Any, Any, Any],
    parts: Parts,
    *,
    form: Form = NO_FORM,
    made: IssuedToken | None = None,
) -> Response[str]:
    return page(
        request,
        "tokens.html",
        status=400 if form.faults else 200,
        tokens=await parts.operator.tokens.list(),
        now=datetime.now(UTC),
        scopes=SCOPES,
        form=form,
        made=made,
        done=request.query_params.get("done"),
    )


SCOPES = (
    (Scope.READ, "Look at everything."),
    (Scope.CREDITS, "Add credits, remove, hand over; spend and hold for end users."),
    (Scope.KEYS, "Make, change, replace and revoke stores' API keys."),
    (Scope.ALL, "Everything, tokens included."),
)
