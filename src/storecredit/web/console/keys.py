"""`/console/stores/{store_id}/keys`: a store's API keys, made, changed, replaced and revoked."""

from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from storecredit.operator.audit import ActionContext
from storecredit.operator.stores import MadeKey
from storecredit.operator.tokens import Scope
from storecredit.stores.api_keys import ApiKey
from storecredit.stores.stores import Store
from storecredit.web.console.owners import place_of_store
from storecredit.web.http.envelope import not_found
from storecredit.web.http.moments import utc
from storecredit.web.http.scopes import needs
from storecredit.web.pages.forms import NO_FORM, Form, FormRefused, read_form
from storecredit.web.pages.keys import GRACES, KEYS_SHOWN, KeyChanges, NewKey, Replacement, ShownKey
from storecredit.web.pages.signed_in import SEE_OTHER
from storecredit.web.parts import Parts

AWAY: Final = "API key that still works"


@get("/stores/{store_id:str}/keys")
async def keys_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], store: NamedDependency[Store]
) -> Response[Any]:
    """All of them, newest first, those that stopped working included."""
    after = request.query_params.get("after")
    try:
        cursor = None if after is None else UUID(after)
    except ValueError:
        raise not_found("page of keys") from None
    found = await parts.api_keys.list(store.store_id, KEYS_SHOWN + 1, cursor)
    keys, more = found[:KEYS_SHOWN], found[KEYS_SHOWN:]
    return place_of_store(store).page(
        request,
        "keys.html",
        keys=[ShownKey.of(key) for key in keys],
        next_after=keys[-1].key_id if more else None,
        done=request.query_params.get("done"),
    )


@get("/stores/{store_id:str}/keys/new")
async def new_key_page(
    request: Request[Any, Any, Any], store: NamedDependency[Store]
) -> Response[str]:
    """Asks what the key is for, and from where it may be used."""
    return place_of_store(store).page(request, "key_new.html")


@post("/stores/{store_id:str}/keys/new", status_code=200, **needs(Scope.KEYS))
async def make_key(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    store: NamedDependency[Store],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[str]:
    """Makes it, and shows it this once."""
    try:
        wanted = read_form(request, form, NewKey)
    except FormRefused as refused:
        return place_of_store(store).page(request, "key_new.html", status=400, form=refused.form)
    made = await parts.operator.stores.make_key(
        context,
        store.store_id,
        label=wanted.label,
        allowed_origins=wanted.allowed_origins,
        expires_at=wanted.expires_at and utc(wanted.expires_at),
    )
    return _shown_once(request, store, made, replaced=None)


@get("/stores/{store_id:str}/keys/{key_id:uuid}")
async def key_page(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    store: NamedDependency[Store],
    key_id: FromPath[UUID],
) -> Response[str]:
    """One key, and what can be done with it."""
    key = await _key(parts, store, key_id)
    return _about(request, store, "key.html", key, done=request.query_params.get("done"))


@post("/stores/{store_id:str}/keys/{key_id:uuid}", status_code=200, **needs(Scope.KEYS))
async def change_key(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    store: NamedDependency[Store],
    key_id: FromPath[UUID],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Its label and the origins that may use it; the key itself stays, and so does its end."""
    key = await _key(parts, store, key_id)
    try:
        wanted = read_form(request, form, KeyChanges)
    except FormRefused as refused:
        return _about(request, store, "key.html", key, refused.form, done=None)
    changed = await parts.operator.stores.change_key(
        *(context, store.store_id, key_id),
        label=wanted.label,
        allowed_origins=wanted.allowed_origins,
    )
    if changed is None:
        raise not_found(AWAY)
    address = f"{place_of_store(store).address}/keys/{key_id}?done=changed"
    return Redirect(address, status_code=SEE_OTHER)


@get("/stores/{store_id:str}/keys/{key_id:uuid}/rotate")
async def replace_key_page(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    store: NamedDependency[Store],
    key_id: FromPath[UUID],
) -> Response[str]:
    """Says what will be, and asks how long the old one works on."""
    key = await _key(parts, store, key_id)
    return _about(request, store, "key_rotate.html", key, graces=GRACES)


@post("/stores/{store_id:str}/keys/{key_id:uuid}/rotate", status_code=200, **needs(Scope.KEYS))
async def replace_key(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    store: NamedDependency[Store],
    key_id: FromPath[UUID],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[str]:
    """A new key with the same label and origins, shown this once."""
    key = await _key(parts, store, key_id)
    try:
        wanted = read_form(request, form, Replacement)
    except FormRefused as refused:
        return _about(request, store, "key_rotate.html", key, refused.form, graces=GRACES)
    made = await parts.operator.stores.rotate_key(
        context, store.store_id, key_id, grace_seconds=wanted.grace_seconds
    )
    return _shown_once(request, store, made, replaced=key)


@get("/stores/{store_id:str}/keys/{key_id:uuid}/revoke")
async def revoke_key_page(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    store: NamedDependency[Store],
    key_id: FromPath[UUID],
) -> Response[str]:
    """Says which key it is that will work no longer."""
    return _about(request, store, "key_revoke.html", await _key(parts, store, key_id))


@post("/stores/{store_id:str}/keys/{key_id:uuid}/revoke", status_code=200, **needs(Scope.KEYS))
async def revoke_key(
    parts: NamedDependency[Parts],
    store: NamedDependency[Store],
    key_id: FromPath[UUID],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """The key stops working within a second on every process, for ever."""
    if not await parts.operator.stores.revoke_key(context, store.store_id, key_id):
        raise not_found("API key")
    address = f"{place_of_store(store).address}/keys?done=revoked"
    return Redirect(address, status_code=SEE_OTHER)


async def _key(parts: Parts, store: Store, key_id: UUID) -> ApiKey:
    key = await parts.api_keys.get(store.store_id, key_id)
    if key is None:
        raise not_found("API key")
    return key


def _about(
    request: Request[Any, Any, Any],
    store: Store,
    template: str,
    key: ApiKey,
    form: Form = NO_FORM,
    **values: object,
) -> Response[str]:
    status = 400 if form.faults else 200
    shown = ShownKey.of(key)
    return place_of_store(store).page(
        request, template, status=status, key=key, shown=shown, form=form, **values
    )


def _shown_once(
    request: Request[Any, Any, Any], store: Store, made: MadeKey | None, *, replaced: ApiKey | None
) -> Response[str]:
    if made is None:
        raise not_found(AWAY)
    return place_of_store(store).page(
        request, "key_made.html", key=made.api_key, secret=made.key, replaced=replaced
    )
