"""`/console/stores/{store_id}/settings`: what a store is, may use, and whether it is let in."""

from typing import Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect

from storecredit.ledger.balances import Balance
from storecredit.operator.audit import ActionContext
from storecredit.operator.stores import UNCHANGED, StoreChanges
from storecredit.operator.tokens import Scope
from storecredit.stores.shop_domains import normalise_shop_domain
from storecredit.stores.stores import Status, Store
from storecredit.web.http.scopes import needs
from storecredit.web.pages.forms import NO_FORM, Form, FormRefused, read_form
from storecredit.web.pages.places import Place
from storecredit.web.pages.signed_in import SEE_OTHER
from storecredit.web.parts import Parts
from storecredit.web.resources.store_fields import CreditCount, Domain, Name, Tier, refusing


class StoreSettings(msgspec.Struct):
    """A store as it is to be; `low_threshold` None: as the last addition of credits says."""

    name: Name
    shop_domain: Domain
    tier: Tier
    overage_limit: CreditCount = 0
    low_threshold: CreditCount | None = None


@get("/settings")
async def settings_page(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    store: NamedDependency[Store],
) -> Response[str]:
    """What there is to change."""
    return await _shown(request, parts, place, store, NO_FORM)


@post("/settings", status_code=200)
async def change_settings(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    store: NamedDependency[Store],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """All of what is otherwise now, or nothing."""
    try:
        wanted = read_form(request, form, StoreSettings)
    except FormRefused as refused:
        return await _shown(request, parts, place, store, refused.form)
    changes = _changes(store, await parts.credits.balance(place.owner), wanted)
    # What stays as it is, is not written down as changed; sent again, the form changes nothing.
    if changes.given():
        with refusing():
            await parts.operator.stores.change(context, store.store_id, changes)
    return Redirect(f"{place.address}/settings?done=changed", status_code=SEE_OTHER)


@get("/settings/suspend", **needs(Scope.ALL))
async def suspend_page(
    request: Request[Any, Any, Any], place: NamedDependency[Place]
) -> Response[str]:
    """Says what stops."""
    return place.page(request, "store_suspend.html")


@post("/settings/suspend", status_code=200)
async def suspend(
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """None of its keys works within a second, on every process."""
    return await _switched(parts, place, context, "suspended")


@get("/settings/resume", **needs(Scope.ALL))
async def resume_page(
    request: Request[Any, Any, Any], place: NamedDependency[Place]
) -> Response[str]:
    """Says what begins again."""
    return place.page(request, "store_resume.html")


@post("/settings/resume", status_code=200)
async def resume(
    parts: NamedDependency[Parts],
    place: NamedDependency[Place],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Those of its keys work again that were not revoked."""
    return await _switched(parts, place, context, "active")


async def _switched(
    parts: Parts, place: Place, context: ActionContext, status: Status
) -> Response[Any]:
    await parts.operator.stores.change(context, place.owner.id, StoreChanges(status=status))
    return Redirect(f"{place.address}/settings?done={status}", status_code=SEE_OTHER)


def _changes(store: Store, balance: Balance, wanted: StoreSettings) -> StoreChanges:
    """Those of the values that are otherwise now."""
    now = {
        "name": store.name,
        "shop_domain": store.shop_domain,
        "tier": store.tier,
        "overage_limit": balance.overage_limit,
        "low_threshold": balance.low_threshold,
    }
    asked = msgspec.structs.asdict(wanted)
    asked["shop_domain"] = normalise_shop_domain(wanted.shop_domain)
    same: dict[str, Any] = dict.fromkeys(now) | {"low_threshold": UNCHANGED}
    return StoreChanges(
        **{name: same[name] if asked[name] == now[name] else asked[name] for name in now}
    )


async def _shown(
    request: Request[Any, Any, Any], parts: Parts, place: Place, store: Store, form: Form
) -> Response[str]:
    tiers = dict.fromkeys([*parts.settings.rate_limits, store.tier])
    return place.page(
        request,
        "store_settings.html",
        status=400 if form.faults else 200,
        form=form,
        balance=await parts.credits.balance(place.owner),
        tiers=[(tier, tier) for tier in tiers],
        done=request.query_params.get("done"),
    )


HANDLERS: Final = (
    settings_page,  # GET /settings
    change_settings,  # POST /settings
    suspend_page,  # GET /settings/suspend
    suspend,  # POST /settings/suspend
    resume_page,  # GET /settings/resume
    resume,  # POST /settings/resume
)
