"""The types of event there are, and who may hear of them."""

from typing import Final

STORE_EVENT_TYPES: Final = (
    "generation.completed",
    "generation.failed",
    "credits.low",
    "credits.depleted",
    "credits.added",
    "credits.expiring",
    "credits.clawed_back",
    "hold.expired",
    "overage.started",
    "overage.limit_reached",
    "overage.billed",
    "store.suspended",
    "key.created",
    "key.revoked",
    "endpoint.disabled",
)
"""What a store may hear of itself, and the operator of every owner."""
OPERATOR_EVENT_TYPES: Final = ("billing.problem", "verify.failed")
"""What the operator alone may hear."""
EVENT_TYPES: Final = (*STORE_EVENT_TYPES, *OPERATOR_EVENT_TYPES)
EVERY: Final = "*"
"""In the place of types: all that the owner may hear, those of later versions, too."""
TEST: Final = "webhook.test"
"""Told to the endpoint that is tested, whatever types it hears."""
