"""The pages of the operator's console, by address."""

from litestar import Router
from litestar.di import Provide

from storecredit.web.console import (
    audit,
    generations,
    grants,
    ledger,
    live,
    look_up,
    overview,
    owners,
    settings,
    store,
    stores,
    tokens,
    user,
    users,
    verification,
)
from storecredit.web.console.action_routes import ACTION_PAGES
from storecredit.web.pages.routers import page_router


def console_router() -> Router:
    """Every address below `/console`."""
    return page_router(
        "console",
        [
            overview.overview_page,  # GET /
            live.console_events,  # GET /events
            live.store_events,  # GET /stores/{store_id}/events
            live.user_events,  # GET /users/{user_id}/events
            stores.stores_page,  # GET /stores
            stores.new_store_page,  # GET /stores/new
            stores.make_store,  # POST /stores/new
            look_up.look_up_page,  # GET /look-up
            store.store_page,  # GET /stores/{store_id}
            *ACTION_PAGES,
            ledger.store_ledger_page,  # GET /stores/{store_id}/ledger
            ledger.store_ledger_file,  # GET /stores/{store_id}/ledger.csv
            ledger.user_ledger_page,  # GET /users/{user_id}/ledger
            ledger.user_ledger_file,  # GET /users/{user_id}/ledger.csv
            users.users_page,  # GET /users
            user.user_page,  # GET /users/{user_id}
            user.block_page,  # GET /users/{user_id}/block
            user.block_user,  # POST /users/{user_id}/block
            user.unblock_page,  # GET /users/{user_id}/unblock
            user.unblock_user,  # POST /users/{user_id}/unblock
            user.erase_page,  # GET /users/{user_id}/erase
            user.erase_user,  # POST /users/{user_id}/erase
            generations.store_generations_page,  # GET /stores/{store_id}/generations
            generations.user_generations_page,  # GET /users/{user_id}/generations
            grants.store_grants_page,  # GET /stores/{store_id}/grants
            grants.store_grant_page,  # GET /stores/{store_id}/grants/{seq}
            grants.set_store_grant,  # POST /stores/{store_id}/grants/{seq}
            grants.user_grants_page,  # GET /users/{user_id}/grants
            grants.user_grant_page,  # GET /users/{user_id}/grants/{seq}
            grants.set_user_grant,  # POST /users/{user_id}/grants/{seq}
            verification.verify_page,  # GET /verify
            verification.verify,  # POST /verify
            audit.audit_page,  # GET /audit
            tokens.tokens_page,  # GET /tokens
            tokens.create_token,  # POST /tokens
            tokens.revoke_page,  # GET /tokens/{token_id}/revoke
            tokens.revoke_token,  # POST /tokens/{token_id}/revoke
            settings.settings_page,  # GET /settings
        ],
        {"store": Provide(owners.named_store), "user": Provide(owners.known_user)},
    )
