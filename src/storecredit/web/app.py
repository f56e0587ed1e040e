"""The route table: every URL of the service on one screen."""

from collections.abc import Sequence
from typing import Any

from litestar import Litestar, Response, Router
from litestar.di import Provide
from litestar.types import ASGIApp, ExceptionHandlersMap, Scope

from storecredit.settings import Settings
from storecredit.web import (
    admin,
    admin_billing,
    admin_corrections,
    admin_generations,
    admin_holds,
    admin_keys,
    admin_report,
    admin_requests,
    admin_spending,
    admin_stores,
    admin_users,
    b2b,
    b2c,
    balance,
    billing,
    grants,
    holds,
    named_stores,
    paddle_webhooks,
    public,
    spend_forms,
    spending,
    top_ups,
    transactions,
    webhook_doors,
)
from storecredit.web.access import B2C, CREATE_PATH, Access
from storecredit.web.bodies import JsonRequest
from storecredit.web.direct import Direct, DirectDoor, DirectRoute
from storecredit.web.envelope import answer_to
from storecredit.web.head import HeadAsGet, allow_head
from storecredit.web.openapi_document import document, document_handler
from storecredit.web.parts import Parts
from storecredit.web.queries import QueryCheck
from storecredit.web.route_templates import RouteTemplates
from storecredit.web.waiting_reads import WaitingReads


def routes(*, serves_metrics: bool = True) -> list[Any]:
    """Every door, by path; `/metrics` unless it has an address of its own."""
    return [
        Router(
            "/api/v1",
            before_request=QueryCheck(),
            tags=["stores"],
            security=[{"api_key": []}],
            route_handlers=[
                b2b.create_generation,  # POST /generation/create
                b2b.get_generation,  # GET  /generation/{session_id}
                b2b.list_generations,  # GET  /generations
                balance.get_balance,  # GET  /credits/balance
                transactions.list_transactions,  # GET  /credits/transactions
                grants.list_grants,  # GET  /credits/grants
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
                billing.create_checkout,  # POST /billing/checkout
                billing.list_plans,  # GET  /billing/plans
                billing.list_subscriptions,  # GET  /billing/subscriptions
                top_ups.get_top_up,  # GET  /top-up
                top_ups.set_top_up,  # PUT  /top-up
                top_ups.delete_top_up,  # DELETE /top-up
                *webhook_doors.doors(webhook_doors.OWN),  # /webhooks…, as in its table
                b2b.get_health,  # GET  /health
            ],
        ),
        Router(
            "/api/admin",
            before_request=QueryCheck(),
            dependencies={"store": Provide(named_stores.named_store)},
            tags=["operator"],
            security=[{"admin_token": []}],
            route_handlers=[
                admin_stores.create_store,  # POST  /stores
                admin_stores.list_stores,  # GET   /stores
                admin_stores.get_store,  # GET   /stores/{store_id}
                admin_stores.update_store,  # PATCH /stores/{store_id}
                admin_keys.create_key,  # POST  /stores/{store_id}/keys
                admin_keys.list_keys,  # GET   /stores/{store_id}/keys
                admin_keys.update_key,  # PATCH /stores/{store_id}/keys/{key_id}
                admin_keys.revoke_key,  # DELETE /stores/{store_id}/keys/{key_id}
                admin_keys.rotate_key,  # POST  /stores/{store_id}/keys/{key_id}/rotate
                admin.add_credits,  # POST  /stores/{store_id}/credits
                admin_corrections.remove_credits,  # POST  /stores/{store_id}/credits/remove
                admin_corrections.update_grant,  # PUT   /stores/{store_id}/grants/{seq}
                admin_corrections.remove_user_credits,  # POST  /users/{user_id}/credits/remove
                admin_corrections.update_user_grant,  # PUT   /users/{user_id}/grants/{seq}
                admin_corrections.transfer_credits,  # POST  /credits/transfer
                transactions.list_store_transactions,  # GET   /stores/{store_id}/transactions
                admin_generations.list_generations,  # GET   /stores/{store_id}/generations
                grants.list_store_grants,  # GET   /stores/{store_id}/grants
                grants.list_user_grants,  # GET   /users/{user_id}/grants
                admin_holds.create_hold,  # POST  /users/{user_id}/holds
                admin_holds.list_holds,  # GET   /users/{user_id}/holds
                admin_holds.get_hold,  # GET   /users/{user_id}/holds/{hold_id}
                admin_holds.capture_hold,  # POST  /users/{user_id}/holds/{hold_id}/capture
                admin_holds.release_hold,  # POST  /users/{user_id}/holds/{hold_id}/release
                admin_holds.extend_hold,  # POST  /users/{user_id}/holds/{hold_id}/extend
                billing.create_store_checkout,  # POST  /stores/{store_id}/checkout
                billing.list_store_subscriptions,  # GET   /stores/{store_id}/subscriptions
                top_ups.get_store_top_up,  # GET   /stores/{store_id}/top-up
                top_ups.set_store_top_up,  # PUT   /stores/{store_id}/top-up
                top_ups.delete_store_top_up,  # DELETE /stores/{store_id}/top-up
                admin_users.list_users,  # GET   /users
                admin_users.get_user,  # GET   /users/{user_id}
                transactions.list_user_transactions,  # GET   /users/{user_id}/transactions
                admin_users.list_user_generations,  # GET   /users/{user_id}/generations
                admin_users.add_user_credits,  # POST  /users/{user_id}/credits
                admin_users.block_user,  # POST  /users/{user_id}/block
                admin_users.unblock_user,  # POST  /users/{user_id}/unblock
                admin_users.erase_user,  # POST  /users/{user_id}/erase
                admin_billing.list_problems,  # GET   /billing/problems
                admin_billing.dismiss_problem,  # POST  /billing/problems/{problem_id}/dismiss
                admin_billing.book_transaction,  # POST  /billing/transactions/{id}/book
                admin_billing.retry_event,  # POST  /billing/events/{event_id}/retry
                admin_report.get_report,  # GET   /report
                admin_requests.get_request,  # GET   /requests/{request_id}
                admin_spending.spend_user_credits,  # POST  /users/{user_id}/spend
                admin_spending.spend_user_credits_in_batch,  # POST  /users/{user_id}/spend/batch
                admin_spending.get_user_spend,  # GET   /users/{user_id}/spend/{id}
                admin_spending.refund_user_spend,  # POST  /users/{user_id}/spend/{id}/refund
                *webhook_doors.doors(webhook_doors.OPERATORS),  # /webhooks…
                *webhook_doors.doors(webhook_doors.STORES),  # /stores/{store_id}/webhooks…
                admin.verify,  # GET   /verify
            ],
        ),
        Router(
            B2C,
            route_handlers=[
                b2c.call,  # GET, POST /{procedures}, the names in procedures.py
                b2c.warm_up,  # HEAD /{anything}
            ],
        ),
        paddle_webhooks.receive_paddle_event,  # POST /webhooks/paddle
        public.live,  # GET /health/live
        public.ready,  # GET /health/ready
        *([public.metrics] if serves_metrics else []),  # GET /metrics
        public.result,  # GET /results/{token}
        public.trpc_types,  # GET /api/trpc.d.ts
        public.docs,  # GET /api/docs
        public.operator_docs,  # GET /api/docs/operator
        public.docs_asset,  # GET /api/docs/{name}
    ]


def direct_routes() -> dict[tuple[str, str], DirectRoute | DirectDoor]:
    """Those of the doors above that are served without the framework, by method and path."""
    return {
        ("POST", CREATE_PATH): DirectRoute(b2b.create, b2b.CreateBody),
        ("GET", "/api/v1/credits/balance"): DirectRoute(balance.balance),
        ("POST", spending.SPEND_PATH): DirectRoute(spending.spend, spend_forms.SpendBody),
        ("POST", spending.BATCH_PATH): DirectRoute(spending.spend_batch, spend_forms.SpendBatch),
        ("POST", f"{B2C}/generation.create"): DirectDoor(b2c.call_directly, f"{B2C}/{{path}}"),
        ("GET", f"{B2C}/generation.onEnd"): DirectDoor(b2c.call_directly, f"{B2C}/{{path}}"),
    }


def create_app(
    parts: Parts, *, is_direct: bool = True, framework: Litestar | None = None
) -> ASGIApp:
    """The whole HTTP application over a running service's parts.

    `is_direct` False: the framework serves the direct routes as well, to compare. `framework`: one
    that was made for settings like these; it serves these parts from now on.
    """
    framework = framework or framework_for(parts.settings)
    _serve(framework, parts)
    served = Direct(WaitingReads(framework, parts), parts, direct_routes())
    return Access(
        HeadAsGet(served if is_direct else framework),
        parts.api_keys,
        parts.rate_limits,
        parts.settings,
        parts.metrics,
        RouteTemplates(framework.routes),
    )


def create_metrics_app(parts: Parts) -> ASGIApp:
    """`/metrics` and nothing else, for an address of its own; its requests are not counted."""
    framework = _framework(parts.settings, [public.metrics])
    _serve(framework, parts)
    return HeadAsGet(framework)


def framework_for(settings: Settings) -> Litestar:
    """Every route, over no service's parts yet: most of what an application takes to make."""
    serves_metrics = settings.metrics_address is None
    return _framework(
        settings, [*routes(serves_metrics=serves_metrics), document_handler(openapi_document)]
    )


def _serve(framework: Litestar, parts: Parts) -> None:
    framework.state.update({"parts": parts, "settings": parts.settings})


async def _parts(scope: Scope) -> Parts:
    parts: Parts = scope["litestar_app"].state["parts"]
    return parts


def _framework(settings: Settings, route_handlers: Sequence[Any]) -> Litestar:
    return Litestar(
        route_handlers,
        dependencies={"parts": Provide(_parts)},
        exception_handlers=_exception_handlers(),
        before_send=[allow_head],
        openapi_config=None,
        request_class=JsonRequest,
        request_max_body_size=settings.body_max_bytes,
        logging_config=None,
    )


def openapi_document() -> bytes:
    """The OpenAPI document of all routes, JSON."""
    return document(routes())


def _exception_handlers() -> ExceptionHandlersMap:
    def answer(_request: Any, error: Exception) -> Response[bytes]:
        return answer_to(error).response()

    return {Exception: answer, 404: answer, 405: answer}
