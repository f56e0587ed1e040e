"""The doors that need no key, by path."""

from typing import Any

from storecredit.web.public import (
    documentation,
    front_page,
    health,
    metrics,
    paddle_webhooks,
    results,
)


def public_routes(*, serves_metrics: bool) -> list[Any]:
    """`/metrics` among them unless it has an address of its own."""
    return [
        front_page.front_page,  # GET /
        paddle_webhooks.receive_paddle_event,  # POST /webhooks/paddle
        health.live,  # GET /health/live
        health.ready,  # GET /health/ready
        *([metrics.metrics] if serves_metrics else []),  # GET /metrics
        results.result,  # GET /results/{token}
        documentation.docs,  # GET /api/docs
        documentation.operator_docs,  # GET /api/docs/operator
        documentation.docs_asset,  # GET /api/docs/{name}
    ]
