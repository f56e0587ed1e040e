"""The doors of stores, by path."""

from litestar import Router

from storecredit.web.http.addresses import B2B, CREATE_PATH
from storecredit.web.http.direct import DirectRoute
from storecredit.web.http.queries import QueryCheck
from storecredit.web.resources.spend_forms import SpendBatch, SpendBody
from storecredit.web.resources.webhooks.doors import doors
from storecredit.web.store_api import (
    balance,
    generations,
    grants,
    health,
    holds,
    ledger_proof,
    portal_sessions,
    purchases,
    spending,
    top_ups,
    transactions,
)
from storecredit.web.store_api.webhooks import OWN


def store_router() -> Router:
    """Every address below `/api/v1`."""
    return Router(
        B2B,
        before_request=QueryCheck(),
        tags=["stores"],
        security=[{"api_key": []}],
        route_handlers=[
            generations.create_generation,  # POST /generation/create
            generations.get_generation,  # GET  /generation/{session_id}
            generations.list_generations,  # GET  /generations
            balance.get_balance,  # GET  /credits/balance
            transactions.list_transactions,  # GET  /credits/transactions
            grants.list_grants,  # GET  /credits/grants
            ledger_proof.get_ledger_proof,  # GET  /ledger/proof
            holds.create_hold,  # POST /credits/holds
            holds.list_holds,  # GET  /credits/holds
            holds.get_hold,  # GET  /credits/holds/{hold_id}
            holds.capture_hold,  # POST /credits/holds/{hold_id}/capture
            holds.release_hold,  # POST /credits/holds/{hold_id}/release
            holds.extend_hold,  # POST /credits/holds/{hold_id}/extend
            spending.spend_credits,  # POST /credits/spend
            spending.spend_credits_in_batch,  # POST /credits/spend/batch
            spending.get_spend,  # GET  /credits/spend/{spend_request_id}
            spending.refund_spend,  # POST /credits/spend/{spend_request_id}/refund
            purchases.create_checkout,  # POST /billing/checkout
            purchases.list_plans,  # GET  /billing/plans
            purchases.list_subscriptions,  # GET  /billing/subscriptions
            top_ups.get_top_up,  # GET  /top-up
            top_ups.set_top_up,  # PUT  /top-up
            top_ups.delete_top_up,  # DELETE /top-up
            portal_sessions.create_portal_session,  # POST /portal/sessions
            *doors(OWN),  # /webhooks…, as in its table
            health.get_health,  # GET  /health
        ],
    )


def direct_store_routes() -> dict[tuple[str, str], DirectRoute]:
    """Those of them that are served without the framework, by method and path."""
    return {
        ("POST", CREATE_PATH): DirectRoute(generations.create, generations.CreateBody),
        ("GET", "/api/v1/credits/balance"): DirectRoute(balance.balance),
        ("POST", spending.SPEND_PATH): DirectRoute(spending.spend, SpendBody),
        ("POST", spending.BATCH_PATH): DirectRoute(spending.spend_batch, SpendBatch),
    }
