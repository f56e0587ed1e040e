"""The route table: every URL of the service on one screen."""

from collections.abc import Sequence
from typing import Any

from litestar import Litestar, Response, Router
from litestar.di import Provide
from litestar.types import ASGIApp, ExceptionHandlersMap, Scope

from storecredit.settings import Settings
from storecredit.web.http.access import B2C, CREATE_PATH, Access
from storecredit.web.http.bodies import JsonRequest
from storecredit.web.http.direct import Direct, DirectDoor, DirectRoute
from storecredit.web.http.envelope import answer_to
from storecredit.web.http.head import HeadAsGet, allow_head
from storecredit.web.http.queries import QueryCheck
from storecredit.web.http.route_templates import RouteTemplates
from storecredit.web.operator_api import (
    billing_problems,
    corrections,
    credits,
    keys,
    named_stores,
    report,
    requests,
    stores,
    users,
)
from storecredit.web.operator_api import generations as store_generations
from storecredit.web.operator_api import holds as user_holds
from storecredit.web.operator_api import spending as user_spending
from storecredit.web.parts import Parts
from storecredit.web.public import documentation as public
from storecredit.web.public import paddle_webhooks
from storecredit.web.public.openapi_document import document, document_handler
from storecredit.web.resources import (
    grants,
    holds,
    purchases,
    spend_forms,
    spending,
    top_ups,
    transactions,
)
from storecredit.web.resources.webhooks import doors as webhook_doors
from storecredit.web.store_api import balance, generations
from storecredit.web.store_api.waiting_reads import WaitingReads
from storecredit.web.trpc import door as trpc


def routes(*, serves_metrics: bool = True) -> list[Any]:
    """Every door, by path; `/metrics` unless it has an address of its own."""
    return [
        Router(
            "/api/v1",
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
                *webhook_doors.doors(webhook_doors.OWN),  # /webhooks…, as in its table
                generations.get_health,  # GET  /health
            ],
        ),
        Router(
            "/api/admin",
            before_request=QueryCheck(),
            dependencies={"store": Provide(named_stores.named_store)},
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
                credits.add_credits,  # POST  /stores/{store_id}/credits
                corrections.remove_credits,  # POST  /stores/{store_id}/credits/remove
                corrections.update_grant,  # PUT   /stores/{store_id}/grants/{seq}
                corrections.remove_user_credits,  # POST  /users/{user_id}/credits/remove
                corrections.update_user_grant,  # PUT   /users/{user_id}/grants/{seq}
                corrections.transfer_credits,  # POST  /credits/transfer
                transactions.list_store_transactions,  # GET   /stores/{store_id}/transactions
                store_generations.list_generations,  # GET   /stores/{store_id}/generations
                grants.list_store_grants,  # GET   /stores/{store_id}/grants
                grants.list_user_grants,  # GET   /users/{user_id}/grants
                user_holds.create_hold,  # POST  /users/{user_id}/holds
                user_holds.list_holds,  # GET   /users/{user_id}/holds
                user_holds.get_hold,  # GET   /users/{user_id}/holds/{hold_id}
                user_holds.capture_hold,  # POST  /users/{user_id}/holds/{hold_id}/capture
                user_holds.release_hold,  # POST  /users/{user_id}/holds/{hold_id}/release
                user_holds.extend_hold,  # POST  /users/{user_id}/holds/{hold_id}/extend
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
                user_spending.spend_user_credits,  # POST  /users/{user_id}/spend
                user_spending.spend_user_credits_in_batch,  # POST  /users/{user_id}/spend/batch
                user_spending.get_user_spend,  # GET   /users/{user_id}/spend/{id}
                user_spending.refund_user_spend,  # POST  /users/{user_id}/spend/{id}/refund
                *webhook_doors.doors(webhook_doors.OPERATORS),  # /webhooks…
                *webhook_doors.doors(webhook_doors.STORES),  # /stores/{store_id}/webhooks…
                credits.verify,  # GET   /verify
            ],
        ),
        Router(
            B2C,
            route_handlers=[
                trpc.call,  # GET, POST /{procedures}, the names in procedures.py
                trpc.warm_up,  # HEAD /{anything}
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
        ("POST", CREATE_PATH): DirectRoute(generations.create, generations.CreateBody),
        ("GET", "/api/v1/credits/balance"): DirectRoute(balance.balance),
        ("POST", spending.SPEND_PATH): DirectRoute(spending.spend, spend_forms.SpendBody),
        ("POST", spending.BATCH_PATH): DirectRoute(spending.spend_batch, spend_forms.SpendBatch),
        ("POST", f"{B2C}/generation.create"): DirectDoor(trpc.call_directly, f"{B2C}/{{path}}"),
        ("GET", f"{B2C}/generation.onEnd"): DirectDoor(trpc.call_directly, f"{B2C}/{{path}}"),
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
