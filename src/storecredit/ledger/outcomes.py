"""The closed list of what a change of credits can come to.

Expected results are values, matched exhaustively; `CreditError` is what a credit function refuses
as a mistake of its caller. The SQLSTATEs stand once in SQL (`sql/functions/errors.sql`) and once
here; a test holds the two lists together.
"""

from enum import StrEnum
from typing import Literal

from storecredit.postgres.errors import StatementRefused


class CreditError(StrEnum):
    """Why a credit function refused, by SQLSTATE."""

    UNKNOWN_STORE = "SC001"
    INVALID_AMOUNT = "SC002"
    INVALID_REQUEST_ID = "SC003"
    REQUEST_CONFLICT = "SC004"
    NO_DEDUCTION = "SC005"
    REFUND_EXCEEDS_DEDUCTION = "SC006"
    INVALID_TYPE = "SC007"
    UNKNOWN_USER = "SC008"
    INVALID_OVERAGE = "SC009"
    UNKNOWN_ACCOUNT = "SC010"
    INVALID_TERMS = "SC011"


ChargedAs = Literal["balance", "overage"]
"""What credits were taken from: what the owner had, or what it may use beyond."""


class Addition(StrEnum):
    """What adding credits came to."""

    ADDED = "added"
    ALREADY_ADDED = "already_added"
    CONFLICT = "conflict"
    UNKNOWN_OWNER = "unknown_owner"
    """No such store, or no such user."""
    EXPIRED = "expired"
    """Their expiry is past."""
    TOO_MANY_GRANTS = "too_many_grants"
    """The owner has credits of as many grants with terms of their own as it may."""


class AdditionType(StrEnum):
    """How credits come in."""

    PURCHASE = "purchase"
    SUBSCRIPTION = "subscription"
    """To a store only."""
    GRANT = "grant"


class MovementType(StrEnum):
    """Every type of movement; what each does stands in the table `movement_types`."""

    DEDUCTION = "deduction"
    REFUND = "refund"
    PURCHASE = "purchase"
    SUBSCRIPTION = "subscription"
    GRANT = "grant"
    SIGNUP_BONUS = "signup_bonus"
    CLAWBACK = "clawback"
    OVERAGE = "overage"
    OVERAGE_REFUND = "overage_refund"
    OVERAGE_CREDIT = "overage_credit"
    OVERAGE_BILL = "overage_bill"
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


class StoreMovementType(StrEnum):
    """Every type of movement of a store's credits.

    Deductions, clawbacks, `expiry`, `removal` and `transfer_out` take credits. Refunds, purchases,
    subscriptions, grants, `transfer_in` and `overage_credit` (overage given back after it was
    billed) give them. A `hold` takes credits out of the balance; a `capture` spends them, a
    `release` or `hold_expiry` brings them back. The others leave the balance alone: `overage`,
    `overage_refund` and `overage_bill` count what is used beyond it; by a `rollover` or `reissue`
    what is left of a grant gets another end.
    """

    DEDUCTION = "deduction"
    REFUND = "refund"
    PURCHASE = "purchase"
    SUBSCRIPTION = "subscription"
    GRANT = "grant"
    CLAWBACK = "clawback"
    OVERAGE = "overage"
    OVERAGE_REFUND = "overage_refund"
    OVERAGE_CREDIT = "overage_credit"
    OVERAGE_BILL = "overage_bill"
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


def credit_error(error: StatementRefused) -> CreditError:
    """Which known error a refused statement is."""
    return CreditError(error.sqlstate)
