"""`/api/admin/stores/{store_id}/keys`: a store's API keys, as the operator manages them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from storecredit.operator.audit import ActionContext
from storecredit.operator.stores import MadeKey
from storecredit.operator.tokens import Scope
from storecredit.stores.api_keys import ApiKey
from storecredit.stores.stores import Store
from storecredit.web.http.bodies import Body
from storecredit.web.http.envelope import Envelope, ErrorCode, not_found
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import action_errors, example, operator_errors, said
from storecredit.web.http.scopes import needs
from storecredit.web.parts import Parts
from storecredit.web.resources.store_fields import (
    Expiry,
    GraceSeconds,
    Label,
    Origins,
    refusing,
)


class KeyBody(Body, frozen=True):
    """An API key to make."""

    label: Label = ""
    allowed_origins: Origins = msgspec.field(default_factory=list)
    expires_at: Expiry | None = None


class KeyChange(Body, frozen=True):
    """What to change of an API key; what is left out stays. The origins are the whole new list."""

    label: Label | None = None
    allowed_origins: Origins | None = None


class RotateBody(Body, frozen=True):
    """How long the replaced key works on."""

    grace_seconds: GraceSeconds = 0


class KeyView(msgspec.Struct, frozen=True):
    """An API key, by its first characters; the key itself is kept nowhere."""

    key_id: UUID
    store_id: UUID
    label: str
    key_start: str
    allowed_origins: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class KeyMade(KeyView, frozen=True):
    """A new key, shown this once."""

    api_key: Annotated[
        str | None, said("Null: the request was sent before, and the key was shown then.")
    ]


class KeyRevoked(msgspec.Struct, frozen=True):
    """The key works no longer."""

    key_id: UUID
    revoked: bool


class KeyList(msgspec.Struct, frozen=True):
    """A store's keys, newest first."""

    items: list[KeyView]


@post(
    "/stores/{store_id:str}/keys",
    summary="Make an API key",
    operation_id="createKey",
    responses=action_errors(ErrorCode.NOT_FOUND),
    **example({"label": "web", "allowed_origins": ["https://hats.example"]}),
    **needs(Scope.KEYS),
)
async def create_key(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    store: NamedDependency[Store],
    data: JSONBody[KeyBody],
) -> Response[Envelope[KeyMade]]:
    """One more key for the store, shown this once."""
    with refusing():
        made = await parts.operator.stores.make_key(
            context,
            store.store_id,
            label=data.label,
            allowed_origins=data.allowed_origins,
            expires_at=data.expires_at and utc(data.expires_at),
        )
    if made is None:
        raise not_found("store")
    return _key_made(made)


@get(
    "/stores/{store_id:str}/keys",
    summary="List a store's keys",
    operation_id="listKeys",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def list_keys(
    parts: NamedDependency[Parts], store: NamedDependency[Store]
) -> Envelope[KeyList]:
    """The store's keys, newest first, those that stopped working included."""
    keys = await parts.api_keys.list(store.store_id)
    return Envelope(KeyList([_key_view(key) for key in keys]))


@patch(
    "/stores/{store_id:str}/keys/{key_id:uuid}",
    summary="Change an API key",
    operation_id="updateKey",
    responses=action_errors(ErrorCode.NOT_FOUND),
    **example({"allowed_origins": ["https://hats.example", "https://www.hats.example"]}),
    **needs(Scope.KEYS),
)
async def update_key(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    store: NamedDependency[Store],
    key_id: FromPath[UUID],
    data: JSONBody[KeyChange],
) -> Envelope[KeyView]:
    """Its label, or the origins that may use it; the key itself stays, and so does its expiry."""
    with refusing():
        changed = await parts.operator.stores.change_key(
            context, store.store_id, key_id, label=data.label, allowed_origins=data.allowed_origins
        )
    if changed is None:
        raise not_found("API key that still works")
    return Envelope(_key_view(changed))


@delete(
    "/stores/{store_id:str}/keys/{key_id:uuid}",
    summary="Revoke an API key",
    operation_id="revokeKey",
    status_code=200,
    responses=action_errors(ErrorCode.NOT_FOUND),
    **needs(Scope.KEYS),
)
async def revoke_key(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    store: NamedDependency[Store],
    key_id: FromPath[UUID],
) -> Envelope[KeyRevoked]:
    """The key stops working within a second on every process, for ever."""
    if not await parts.operator.stores.revoke_key(context, store.store_id, key_id):
        raise not_found("API key")
    return Envelope(KeyRevoked(key_id, revoked=True))


@post(
    "/stores/{store_id:str}/keys/{key_id:uuid}/rotate",
    summary="Replace an API key",
    operation_id="rotateKey",
    responses=action_errors(ErrorCode.NOT_FOUND),
    **example({"grace_seconds": 3600}),
    **needs(Scope.KEYS),
)
async def rotate_key(
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
    store: NamedDependency[Store],
    key_id: FromPath[UUID],
    data: JSONBody[RotateBody | None] = None,
) -> Response[Envelope[KeyMade]]:
    """A new key with the same origins; the old one works on for the grace time given."""
    with refusing():
        made = await parts.operator.stores.rotate_key(
            context, store.store_id, key_id, grace_seconds=(data or RotateBody()).grace_seconds
        )
    if made is None:
        raise not_found("API key that still works")
    return _key_made(made)


def _key_view(key: ApiKey) -> KeyView:
    return KeyView(
        key_id=key.key_id,
        store_id=key.store_id,
        label=key.label,
        key_start=key.key_start,
        allowed_origins=sorted(key.allowed_origins),
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
    )


def _key_made(made: MadeKey) -> Response[Envelope[KeyMade]]:
    fields = msgspec.structs.asdict(_key_view(made.api_key))
    return Response(
        Envelope(KeyMade(**fields, api_key=made.key)),
        headers={"Idempotent-Replayed": "true"} if made.key is None else None,
    )
