"""The pages of the operator's console, by address."""

from litestar import Router
from litestar.di import Provide

from storecredit.web.console import (
    audit,
    billing,
    credits,
    grants,
    live,
    look_up,
    overview,
    owners,
    portal_link,
    settings,
    store,
    store_settings,
    stores,
    tokens,
    user,
    users,
    verification,
    webhooks,
)
from storecredit.web.pages import generations, keys, ledgers, purchases, top_ups
from storecredit.web.pages.hearing import operators_hearing, stores_hearing
from storecredit.web.pages.live import owner_events
from storecredit.web.pages.routers import page_router
from storecredit.web.pages.webhook_routes import webhook_router


def console_router() -> Router:
    """Every address below `/console`."""
    return page_router(
        "console",
        [
            overview.overview_page,  # GET /
            live.console_events,  # GET /events
            stores.stores_page,  # GET /stores
            stores.new_store_page,  # GET /stores/new
            stores.make_store,  # POST /stores/new
            _store_router(),  # /stores/{store_id}
            _user_router(),  # /users/{user_id}
            look_up.look_up_page,  # GET /look-up
            users.users_page,  # GET /users
            *billing.HANDLERS,  # /billing
            webhook_router(operators_hearing, webhooks.operators_endpoints_page),  # /webhooks
            verification.verify_page,  # GET /verify
            verification.verify,  # POST /verify
            audit.audit_page,  # GET /audit
            tokens.tokens_page,  # GET /tokens
            tokens.create_token,  # POST /tokens
            tokens.revoke_page,  # GET /tokens/{token_id}/revoke
            tokens.revoke_token,  # POST /tokens/{token_id}/revoke
            settings.settings_page,  # GET /settings
        ],
    )


def _store_router() -> Router:
    """A store's pages."""
    return Router(
        "/stores/{store_id:str}",
        dependencies={
            "store": Provide(owners.named_store),
            "place": Provide(owners.place_of_store),
        },
        route_handlers=[
            store.store_page,  # GET /
            *portal_link.HANDLERS,  # /portal
            owner_events,  # GET /events
            *ledgers.HANDLERS,  # /ledger
            *generations.HANDLERS,  # /generations
            *grants.HANDLERS,  # /grants
            *credits.HANDLERS,  # /credits
            *keys.HANDLERS,  # /keys
            *purchases.HANDLERS,  # /purchases
            *top_ups.HANDLERS,  # /top-up
            webhook_router(stores_hearing),  # /webhooks
            *store_settings.HANDLERS,  # /settings
        ],
    )


def _user_router() -> Router:
    """An end user's pages."""
    return Router(
        "/users/{user_id:uuid}",
        dependencies={
            "user": Provide(owners.known_user),
            "place": Provide(owners.place_of_user),
        },
        route_handlers=[
            user.user_page,  # GET /
            user.block_page,  # GET /block
            user.block_user,  # POST /block
            user.unblock_page,  # GET /unblock
            user.unblock_user,  # POST /unblock
            user.erase_page,  # GET /erase
            user.erase_user,  # POST /erase
            owner_events,  # GET /events
            *ledgers.HANDLERS,  # /ledger
            *generations.HANDLERS,  # /generations
            *grants.HANDLERS,  # /grants
            *credits.HANDLERS,  # /credits
        ],
    )
