"""`/api/admin/tokens`: tokens of operators, made, listed and revoked."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from storecredit.operator.audit import ACTOR_MAX, ActionContext
from storecredit.operator.tokens import AdminToken, NameTaken, Scope
from storecredit.web.http.bodies import Body, wrong
from storecredit.web.http.envelope import Envelope, ErrorCode, not_found
from storecredit.web.http.faults import Check, no_nul
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import action_errors, example, operator_errors, said
from storecredit.web.http.scopes import needs
from storecredit.web.parts import Parts
from storecredit.web.resources.store_fields import Expiry

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=ACTOR_MAX), Check(no_nul)]
Scopes = Annotated[list[Scope], msgspec.Meta(min_length=1, max_length=len(Scope))]


class TokenBody(Body, frozen=True):
    """A token to make: whose it is, as the audit log names them, and what may be done with it."""

    name: Name
    scopes: Scopes
    expires_at: Expiry | None = None


class TokenView(msgspec.Struct, frozen=True):
    """A token, by its first characters; the token itself is kept nowhere."""

    token_id: UUID
    name: str
    token_start: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class TokenMade(TokenView, frozen=True):
    """A new token, shown this once."""

    token: Annotated[
        str | None, said("Null: the request was sent before, and the token was shown then.")
    ]


class TokenList(msgspec.Struct, frozen=True):
    """Tokens, newest first."""

    items: list[TokenView]


class TokenRevoked(msgspec.Struct, frozen=True):
    """The token works no longer."""

    token_id: UUID
    revoked: bool


@post(
    "/tokens",
    summary="Make a token for an operator",
    operation_id="createToken",
    responses=action_errors(),
    **example({"name": "ann", "scopes": ["read", "credits"]}),
)
async def create_token(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    data: JSONBody[TokenBody],
) -> Response[Envelope[TokenMade]]:
    """A token of these scopes, shown this once. Its name is never given again."""
    expires_at = data.expires_at and utc(data.expires_at)
    try:
        made = await parts.operator.tokens.create(
            context, data.name, frozenset(data.scopes), expires_at
        )
    except NameTaken:
        raise wrong("name", "Another token has this name, or had it. Nothing was made.") from None
    except ValueError as error:
        raise wrong("name", f"This cannot be a name: {error}.") from error
    fields = msgspec.structs.asdict(_view(made.admin_token))
    return Response(
        Envelope(TokenMade(**fields, token=made.token)),
        headers={"Idempotent-Replayed": "true"} if made.token is None else None,
    )


@get(
    "/tokens",
    summary="List the operators' tokens",
    operation_id="listTokens",
    responses=operator_errors(),
    **needs(Scope.ALL),
)
async def list_tokens(parts: NamedDependency[Parts]) -> Envelope[TokenList]:
    """The newest hundred, newest first, those that stopped working included."""
    return Envelope(TokenList([_view(each) for each in await parts.operator.tokens.list()]))


@delete(
    "/tokens/{token_id:uuid}",
    summary="Revoke an operator's token",
    operation_id="revokeToken",
    status_code=200,
    responses=action_errors(ErrorCode.NOT_FOUND),
)
async def revoke_token(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    token_id: FromPath[UUID],
) -> Envelope[TokenRevoked]:
    """The token stops working at once, on every process, for ever."""
    if not await parts.operator.tokens.revoke(context, token_id):
        raise not_found("token")
    return Envelope(TokenRevoked(token_id, revoked=True))


def _view(token: AdminToken) -> TokenView:
    return TokenView(
        token_id=token.token_id,
        name=token.name,
        token_start=token.token_start,
        scopes=sorted(token.scopes),
        created_at=utc(token.created_at),
        expires_at=token.expires_at and utc(token.expires_at),
        revoked_at=token.revoked_at and utc(token.revoked_at),
    )
