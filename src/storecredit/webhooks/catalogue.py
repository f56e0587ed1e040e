"""The catalogue of events: every type there is, who may hear of it, and what it says.

The one truth for the doors (which types can be asked for), the pages and schemas in docs/, and the
OpenAPI document. SQL tells the events; a test makes each happen and holds what is told against it.
"""

import inspect
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from msgspec import Struct

from storecredit.webhooks.event_data import (
    BillingProblemData,
    CreditsAddedData,
    CreditsClawedBackData,
    CreditsDepletedData,
    CreditsExpiringData,
    CreditsLowData,
    EndpointDisabledData,
    GenerationCompletedData,
    GenerationFailedData,
    HoldExpiredData,
    KeyCreatedData,
    KeyRevokedData,
    OverageBilledData,
    OverageLimitReachedData,
    OverageStartedData,
    StoreSuspendedData,
    TopUpFailedData,
    VerifyFailedData,
    WebhookTestData,
)

VERSION: Final = 1
"""Of all events. Within it fields and types are added; what there is keeps its name and meaning."""
EVERY: Final = "*"
"""In the place of types: all that the owner may hear, those of later versions, too."""


class HeardBy(StrEnum):
    """Who may hear of a type of event."""

    STORE = "store"
    """The store that it is about; and the operator, of every owner."""
    OPERATOR = "operator"
    TESTED = "tested"
    """The endpoint that is tested, whatever types it hears."""


@dataclass(frozen=True, slots=True)
class EventType:
    """A type of event. `data` is what its deliveries say; `example` is one of them."""

    name: str
    heard_by: HeardBy
    example: Struct

    @property
    def data(self) -> type[Struct]:
        """The struct of its data."""
        return type(self.example)

    @property
    def words(self) -> str:
        """What has happened and when it is told: sentences for people, on one line."""
        return " ".join(inspect.cleandoc(self.data.__doc__ or "").split())


_STORE: Final = UUID("0199f3a0-7c00-7000-8000-000000000001")
_KEY: Final = UUID("0199f3a0-7c00-7000-8000-000000000002")
_SESSION: Final = UUID("0199f3a0-7c00-7000-8000-000000000003")
_HOLD: Final = UUID("0199f3a0-7c00-7000-8000-000000000004")
_ENDPOINT: Final = UUID("0199f3a0-7c00-7000-8000-000000000005")
EXAMPLE_TIME: Final = datetime(2026, 11, 30, 10, tzinfo=UTC)
"""When the examples happen."""
_BEGUN: Final = EXAMPLE_TIME - timedelta(seconds=12)
_IN_A_MONTH: Final = EXAMPLE_TIME + timedelta(days=30)

CATALOGUE: Final = (
    EventType(
        "generation.completed",
        HeardBy.STORE,
        GenerationCompletedData(
            store_id=_STORE,
            session_id=_SESSION,
            request_id="order-1001",
            credits_charged=1,
            created_at=_BEGUN,
            completed_at=EXAMPLE_TIME,
        ),
    ),
    EventType(
        "generation.failed",
        HeardBy.STORE,
        GenerationFailedData(
            store_id=_STORE,
            session_id=_SESSION,
            request_id="order-1001",
            error_code="GENERATION_FAILED",
            credits_refunded=1,
            created_at=_BEGUN,
            completed_at=EXAMPLE_TIME,
        ),
    ),
    EventType(
        "credits.low",
        HeardBy.STORE,
        CreditsLowData(store_id=_STORE, balance=50, threshold=50, request_id="order-1001"),
    ),
    EventType(
        "credits.depleted",
        HeardBy.STORE,
        CreditsDepletedData(store_id=_STORE, balance=0, request_id="order-1051"),
    ),
    EventType(
        "credits.added",
        HeardBy.STORE,
        CreditsAddedData(
            store_id=_STORE,
            amount=500,
            type="purchase",
            kind="paid",
            expires_at=None,
            balance=520,
            request_id="txn_01kbt8example",
        ),
    ),
    EventType(
        "credits.expiring",
        HeardBy.STORE,
        CreditsExpiringData(
            store_id=_STORE, amount=120, expires_at=EXAMPLE_TIME + timedelta(days=7)
        ),
    ),
    EventType(
        "credits.clawed_back",
        HeardBy.STORE,
        CreditsClawedBackData(
            store_id=_STORE, amount=500, balance=20, request_id="adj_01kbt8example"
        ),
    ),
    EventType(
        "hold.expired",
        HeardBy.STORE,
        HoldExpiredData(
            store_id=_STORE, hold_id=_HOLD, amount=10, balance=100, request_id="call-2001"
        ),
    ),
    EventType(
        "overage.started",
        HeardBy.STORE,
        OverageStartedData(
            store_id=_STORE, overage_used=1, overage_limit=1000, request_id="order-1052"
        ),
    ),
    EventType(
        "overage.limit_reached",
        HeardBy.STORE,
        OverageLimitReachedData(
            store_id=_STORE, overage_used=1000, overage_limit=1000, request_id="order-2051"
        ),
    ),
    EventType(
        "overage.billed",
        HeardBy.STORE,
        OverageBilledData(store_id=_STORE, credits=1000, request_id="overage-2026-11"),
    ),
    EventType(
        "top_up.failed",
        HeardBy.STORE,
        TopUpFailedData(
            store_id=_STORE,
            reason="declined",
            request_id="top-up-7",
            credits=500,
            amount=9000,
            currency="USD",
        ),
    ),
    EventType("store.suspended", HeardBy.STORE, StoreSuspendedData(store_id=_STORE)),
    EventType(
        "key.created",
        HeardBy.STORE,
        KeyCreatedData(store_id=_STORE, key_id=_KEY, expires_at=_IN_A_MONTH),
    ),
    EventType("key.revoked", HeardBy.STORE, KeyRevokedData(store_id=_STORE, key_id=_KEY)),
    EventType(
        "endpoint.disabled",
        HeardBy.STORE,
        EndpointDisabledData(store_id=_STORE, endpoint_id=_ENDPOINT, reason="gone"),
    ),
    EventType(
        "billing.problem",
        HeardBy.OPERATOR,
        BillingProblemData(
            kind="clawback",
            provider="paddle",
            id="adj_01kbt8example",
            about="refund",
            store_id=_STORE,
        ),
    ),
    EventType(
        "verify.failed",
        HeardBy.OPERATOR,
        VerifyFailedData(verified_at=EXAMPLE_TIME, discrepancies=1),
    ),
    EventType(
        "webhook.test", HeardBy.TESTED, WebhookTestData(store_id=_STORE, endpoint_id=_ENDPOINT)
    ),
)
"""Every type of event, in the order in which people read them."""

STORE_EVENT_TYPES: Final = tuple(e.name for e in CATALOGUE if e.heard_by is HeardBy.STORE)
"""What a store may hear of itself, and the operator of every owner."""
OPERATOR_EVENT_TYPES: Final = tuple(e.name for e in CATALOGUE if e.heard_by is HeardBy.OPERATOR)
"""What the operator alone may hear."""
EVENT_TYPES: Final = (*STORE_EVENT_TYPES, *OPERATOR_EVENT_TYPES)
"""What an endpoint may ask for."""
(TEST,) = (e.name for e in CATALOGUE if e.heard_by is HeardBy.TESTED)
