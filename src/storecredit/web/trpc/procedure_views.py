"""What the procedures give: results in the app's names and forms, as its client gets them.

Their docstrings are published with their types (`router_types.py`).
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from storecredit.generation.sessions import FailureCode, SessionStatus
from storecredit.ledger.outcomes import MovementType


class UserMovementType(StrEnum):
    """Every type of movement of an end user, by the names the app shows.

    generation (any deduction, a spend too), clawback, hold, expiry, removal and transfer_out take
    credits; capture, rollover and reissue leave the balance as it is; the others give credits.
    """

    GENERATION = "generation"
    REFUND = "refund"
    SIGNUP_BONUS = "signup_bonus"
    PURCHASE = "purchase"
    GRANT = "grant"
    CLAWBACK = "clawback"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    HOLD_EXPIRY = "hold_expiry"
    EXPIRY = "expiry"
    ROLLOVER = "rollover"
    REISSUE = "reissue"
    REMOVAL = "removal"
    TRANSFER_OUT = "transfer_out"
    TRANSFER_IN = "transfer_in"


def shown_to_users(type_: MovementType) -> UserMovementType:
    """The name by which the app knows a type of movement."""
    if type_ is MovementType.DEDUCTION:
        return UserMovementType.GENERATION
    return UserMovementType(type_.value)


class ExpiringView(msgspec.Struct, frozen=True):
    """Credits of a balance that can be spent until a moment."""

    amount: int
    expires_at: datetime


class BalanceView(msgspec.Struct, frozen=True):
    """A user's credits: had, ever given, spent (deductions less refunds); when they last moved.

    `held` (set aside, and no part of the balance) and `expiring` (the soonest first) are
    there only where there are any.
    """

    balance: int
    total_earned: int
    total_spent: int
    updated_at: datetime
    held: int | msgspec.UnsetType = msgspec.UNSET
    expiring: list[ExpiringView] | msgspec.UnsetType = msgspec.UNSET


class TransactionView(msgspec.Struct, frozen=True):
    """One movement of a user's credits; what took them is below zero."""

    id: UUID
    amount: int
    type: UserMovementType
    description: str
    created_at: datetime


class PackView(msgspec.Struct, frozen=True):
    """Credits on sale; `amount` is in the currency's smallest unit (cents), without tax."""

    id: str
    name: str
    credits: int
    amount: int
    currency: str


class Checkout(msgspec.Struct, frozen=True, rename="camel"):
    """Where to pay; the credits come once Paddle says that it is paid."""

    checkout_url: str
    transaction_id: str


class GenerationView(msgspec.Struct, frozen=True):
    """One generation session of a user."""

    id: UUID
    status: SessionStatus
    result_url: str | None
    error_code: FailureCode | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class StatsView(msgspec.Struct, frozen=True):
    """How many generations a user has."""

    total: int
    completed: int
    active: int
    failed: int


class GenerationQueued(msgspec.Struct, frozen=True, rename="camel"):
    """Credits were taken and the generation queued, now or by this very request before."""

    session_id: UUID
    status: SessionStatus = SessionStatus.QUEUED
    message: str = "Your generation has been queued."
