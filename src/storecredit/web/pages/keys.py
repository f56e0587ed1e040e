"""`…/keys`: the API keys of a store, made, changed, replaced, revoked, at console and portal."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from storecredit.operator.audit import ActionContext
from storecredit.operator.stores import MadeKey
from storecredit.operator.tokens import Scope
from storecredit.stores.api_keys import ApiKey
from storecredit.web.http.envelope import not_found
from storecredit.web.http.moments import utc
from storecredit.web.http.scopes import needs
from storecredit.web.pages.forms import NO_FORM, Form, FormRefused, read_form
from storecredit.web.pages.places import Place
from storecredit.web.pages.signed_in import SEE_OTHER, ended, signed_in
from storecredit.web.parts import Parts
from storecredit.web.resources.store_fields import Expiry, GraceSeconds, Label, Origins

AWAY: Final = "API key that still works"
KEYS_SHOWN: Final = 50
"""On a page."""
GRACES: Final = (
    ("0", "not at all"),
    (str(int(timedelta(hours=1).total_seconds())), "for an hour"),
    (str(int(timedelta(days=1).total_seconds())), "for a day"),
    (str(int(timedelta(days=7).total_seconds())), "for a week"),
    (str(int(timedelta(days=30).total_seconds())), "for 30 days"),
)
"""How long a key may work on after it was replaced: seconds, and what the page calls them."""


class NewKey(msgspec.Struct):
    """A key to make."""

    label: Label = ""
    allowed_origins: Origins = msgspec.field(default_factory=list)
    expires_at: Expiry | None = None


class KeyChanges(msgspec.Struct):
    """A key's label and origins as they are to be."""

    label: Label = ""
    allowed_origins: Origins = msgspec.field(default_factory=list)


class Replacement(msgspec.Struct):
    """How long the replaced key works on."""

    grace_seconds: GraceSeconds = 0


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A key, and what is to be said of it now."""

    key: ApiKey
    standing: Literal["works", "expired", "revoked"]

    @property
    def works(self) -> bool:
        """Whether it lets anybody in."""
        return self.standing == "works"

    @classmethod
    def of(cls, key: ApiKey) -> "ShownKey":
        """How it stands at this moment, by this machine's clock."""
        if key.revoked_at is not None:
            return cls(key, "revoked")
        if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
            return cls(key, "expired")
        return cls(key, "works")


@get("/keys")
async def keys_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], place: NamedDependency[Place]
) -> Response[Any]:
    """All of them, newest first, those that stopped working included."""
    after = request.query_params.get("after")
    try:
        cursor = None if after is None else UUID(after)
    except ValueError:
        raise not_found("page of keys") from None
    found = await parts.api_keys.list(place.owner.id, KEYS_SHOWN + 1, cursor)
    keys, more = found[:KEYS_SHOWN], found[KEYS_SHOWN:]
    return place.page(
        request,
        "keys.html",
        keys=[ShownKey.of(key) for key in keys],
        next_after=keys[-1].key_id if more else None,
        done=request.query_params.get("done"),
    )


@get("/keys/new", **needs(Scope.KEYS))
async def new_key_page(
    request: Request[Any, Any, Any], place: NamedDependency[Place]
) -> Response[str]:
    """Asks what the key is for, and from where it may be used."""
    return place.page(request, "key_new.html")


@post("/keys/new", status_code=200, **needs(Scope.KEYS))
async def make_key(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[str]:
    """Makes it, and shows it this once."""
    try:
        wanted = read_form(request, form, NewKey)
    except FormRefused as refused:
        return place.page(request, "key_new.html", status=400, form=refused.form)
    made = await parts.operator.stores.make_key(
        context,
        place.owner.id,
        label=wanted.label,
        allowed_origins=wanted.allowed_origins,
        expires_at=wanted.expires_at and utc(wanted.expires_at),
    )
    return _shown_once(request, place, made, replaced=None)


@get("/keys/{key_id:uuid}")
async def key_page(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    key_id: FromPath[UUID],
) -> Response[str]:
    """One key, and what can be done with it."""
    key = await _key(parts, place, key_id)
    return _about(request, place, "key.html", key, done=request.query_params.get("done"))


@post("/keys/{key_id:uuid}", status_code=200, **needs(Scope.KEYS))
async def change_key(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    key_id: FromPath[UUID],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Its label and the origins that may use it; the key itself stays, and so does its end."""
    key = await _key(parts, place, key_id)
    try:
        wanted = read_form(request, form, KeyChanges)
    except FormRefused as refused:
        return _about(request, place, "key.html", key, refused.form, done=None)
    changed = await parts.operator.stores.change_key(
        *(context, place.owner.id, key_id),
        label=wanted.label,
        allowed_origins=wanted.allowed_origins,
    )
    if changed is None:
        raise not_found(AWAY)
    address = f"{place.address}/keys/{key_id}?done=changed"
    return Redirect(address, status_code=SEE_OTHER)


@get("/keys/{key_id:uuid}/rotate", **needs(Scope.KEYS))
async def replace_key_page(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    key_id: FromPath[UUID],
) -> Response[str]:
    """Says what will be, and asks how long the old one works on."""
    key = await _key(parts, place, key_id)
    return _about(request, place, "key_rotate.html", key, graces=GRACES)


@post("/keys/{key_id:uuid}/rotate", status_code=200, **needs(Scope.KEYS))
async def replace_key(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    key_id: FromPath[UUID],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[str]:
    """A new key with the same label and origins, shown this once."""
    key = await _key(parts, place, key_id)
    try:
        wanted = read_form(request, form, Replacement)
    except FormRefused as refused:
        return _about(request, place, "key_rotate.html", key, refused.form, graces=GRACES)
    made = await parts.operator.stores.rotate_key(
        context, place.owner.id, key_id, grace_seconds=wanted.grace_seconds
    )
    return _shown_once(request, place, made, replaced=key)


@get("/keys/{key_id:uuid}/revoke", **needs(Scope.KEYS))
async def revoke_key_page(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    key_id: FromPath[UUID],
) -> Response[str]:
    """Says which key it is that will work no longer."""
    return _about(request, place, "key_revoke.html", await _key(parts, place, key_id))


@post("/keys/{key_id:uuid}/revoke", status_code=200, **needs(Scope.KEYS))
async def revoke_key(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    key_id: FromPath[UUID],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """The key stops working within a second on every process, for ever.

    Who came in by it is signed out, and told why.
    """
    if not await parts.operator.stores.revoke_key(context, place.owner.id, key_id):
        raise not_found("API key")
    if signed_in(request).key_id == key_id:
        return await ended(request, parts, because="key-over")
    address = f"{place.address}/keys?done=revoked"
    return Redirect(address, status_code=SEE_OTHER)


async def _key(parts: Parts, place: Place, key_id: UUID) -> ApiKey:
    key = await parts.api_keys.get(place.owner.id, key_id)
    if key is None:
        raise not_found("API key")
    return key


def _about(
    request: Request[Any, Any, Any],
    place: Place,
    template: str,
    key: ApiKey,
    form: Form = NO_FORM,
    **values: object,
) -> Response[str]:
    status = 400 if form.faults else 200
    shown = ShownKey.of(key)
    return place.page(request, template, status=status, key=key, shown=shown, form=form, **values)


def _shown_once(
    request: Request[Any, Any, Any], place: Place, made: MadeKey | None, *, replaced: ApiKey | None
) -> Response[str]:
    if made is None:
        raise not_found(AWAY)
    return place.page(
        request, "key_made.html", key=made.api_key, secret=made.key, replaced=replaced
    )


HANDLERS: Final = (
    keys_page,  # GET /keys
    new_key_page,  # GET /keys/new
    make_key,  # POST /keys/new
    key_page,  # GET /keys/{key_id}
    change_key,  # POST /keys/{key_id}
    replace_key_page,  # GET /keys/{key_id}/rotate
    replace_key,  # POST /keys/{key_id}/rotate
    revoke_key_page,  # GET /keys/{key_id}/revoke
    revoke_key,  # POST /keys/{key_id}/revoke
)
