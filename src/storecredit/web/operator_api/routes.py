"""The operator's doors, by path."""

from litestar import Router
from litestar.di import Provide

from storecredit.web.http.addresses import ADMIN
from storecredit.web.http.paths import refuse_nul
from storecredit.web.http.queries import QueryCheck
from storecredit.web.http.scopes import check_scope
from storecredit.web.operator_api import (
    audit,
    billing_problems,
    checkpoints,
    corrections,
    credits,
    generations,
    grants,
    holds,
    keys,
    named_stores,
    portal_sessions,
    purchases,
    report,
    requests,
    spending,
    stores,
    tokens,
    top_ups,
    transactions,
    users,
    verification,
)
from storecredit.web.operator_api.acting import acting
from storecredit.web.operator_api.webhooks import OPERATORS, STORES
from storecredit.web.resources.webhooks.doors import doors


def operator_router() -> Router:
    """Every address below `/api/admin`."""
    return Router(
        ADMIN,
        before_request=QueryCheck(),
        guards=[check_scope, refuse_nul],
        dependencies={
            "store": Provide(named_stores.named_store),
            "context": Provide(acting),
        },
        tags=["operator"],
        security=[{"admin_token": []}],
        route_handlers=[
            stores.create_store,  # POST  /stores
            stores.list_stores,  # GET   /stores
            stores.get_store,  # GET   /stores/{store_id}
            stores.update_store,  # PATCH /stores/{store_id}
            keys.create_key,  # POST  /stores/{store_id}/keys
            keys.list_keys,  # GET   /stores/{store_id}/keys
            keys.update_key,  # PATCH /stores/{store_id}/keys/{key_id}
            keys.revoke_key,  # DELETE /stores/{store_id}/keys/{key_id}
            keys.rotate_key,  # POST  /stores/{store_id}/keys/{key_id}/rotate
            portal_sessions.create_store_portal_session,  # POST  /stores/{store_id}/portal/sessions
            credits.add_credits,  # POST  /stores/{store_id}/credits
            corrections.remove_credits,  # POST  /stores/{store_id}/credits/remove
            corrections.update_grant,  # PUT   /stores/{store_id}/grants/{seq}
            corrections.remove_user_credits,  # POST  /users/{user_id}/credits/remove
            corrections.update_user_grant,  # PUT   /users/{user_id}/grants/{seq}
            corrections.transfer_credits,  # POST  /credits/transfer
            transactions.list_store_transactions,  # GET   /stores/{store_id}/transactions
            generations.list_generations,  # GET   /stores/{store_id}/generations
            grants.list_store_grants,  # GET   /stores/{store_id}/grants
            grants.list_user_grants,  # GET   /users/{user_id}/grants
            holds.create_hold,  # POST  /users/{user_id}/holds
            holds.list_holds,  # GET   /users/{user_id}/holds
            holds.get_hold,  # GET   /users/{user_id}/holds/{hold_id}
            holds.capture_hold,  # POST  /users/{user_id}/holds/{hold_id}/capture
            holds.release_hold,  # POST  /users/{user_id}/holds/{hold_id}/release
            holds.extend_hold,  # POST  /users/{user_id}/holds/{hold_id}/extend
            purchases.create_store_checkout,  # POST  /stores/{store_id}/checkout
            purchases.list_store_subscriptions,  # GET   /stores/{store_id}/subscriptions
            top_ups.get_store_top_up,  # GET   /stores/{store_id}/top-up
            top_ups.set_store_top_up,  # PUT   /stores/{store_id}/top-up
            top_ups.delete_store_top_up,  # DELETE /stores/{store_id}/top-up
            users.list_users,  # GET   /users
            users.get_user,  # GET   /users/{user_id}
            transactions.list_user_transactions,  # GET   /users/{user_id}/transactions
            users.list_user_generations,  # GET   /users/{user_id}/generations
            users.add_user_credits,  # POST  /users/{user_id}/credits
            users.block_user,  # POST  /users/{user_id}/block
            users.unblock_user,  # POST  /users/{user_id}/unblock
            users.erase_user,  # POST  /users/{user_id}/erase
            billing_problems.list_problems,  # GET   /billing/problems
            billing_problems.dismiss_problem,  # POST  /billing/problems/{problem_id}/dismiss
            billing_problems.book_transaction,  # POST  /billing/transactions/{id}/book
            billing_problems.retry_event,  # POST  /billing/events/{event_id}/retry
            report.get_report,  # GET   /report
            requests.get_request,  # GET   /requests/{request_id}
            spending.spend_user_credits,  # POST  /users/{user_id}/spend
            spending.spend_user_credits_in_batch,  # POST  /users/{user_id}/spend/batch
            spending.get_user_spend,  # GET   /users/{user_id}/spend/{id}
            spending.refund_user_spend,  # POST  /users/{user_id}/spend/{id}/refund
            *doors(OPERATORS),  # /webhooks…
            *doors(STORES),  # /stores/{store_id}/webhooks…
            audit.list_audit,  # GET   /audit
            tokens.create_token,  # POST  /tokens
            tokens.list_tokens,  # GET   /tokens
            tokens.revoke_token,  # DELETE /tokens/{token_id}
            verification.verify,  # GET   /verify
            checkpoints.list_checkpoints,  # GET   /checkpoints
            checkpoints.get_store_proof,  # GET   /stores/{store_id}/proof
            checkpoints.get_user_proof,  # GET   /users/{user_id}/proof
        ],
    )
