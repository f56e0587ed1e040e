"""What the API takes and answers. Made by `make clients` from docs/openapi.json."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from storecredit_client.open_enums import StrEnum


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptureBody:
    """How much of a hold to spend."""

    amount: int | None = None
    """At most what is held; the rest goes back. All of it unless given."""


CheckoutBodyPlan: TypeAlias = str


CheckoutBodyCredits: TypeAlias = int


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckoutBody:
    """What to buy: a plan to subscribe to, or a number of credits; one of the two."""

    plan: CheckoutBodyPlan | None = None
    credits: CheckoutBodyCredits | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CreateBody:
    """A request for one generation."""

    image_urls: list[str]
    """What it is made of: `https:`, `http:` or `data:image/…` addresses."""
    prompt: str | None = None
    """What to make of them."""
    options: dict[str, str] | None = None
    """How to make it: names and values of the operator's price list, which may cost more."""
    metadata: dict[str, str] | None = None
    """Yours: returned as it was sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditsOnSale:
    """
    Single credits: how many at a time, and `unit_amount` for each.

    `expires_after_days`: how long they can be spent; left out where they do not expire.
    """

    unit_amount: int
    min: int
    max: int
    expires_after_days: int | None = None


class ErrorCode(StrEnum):
    """Every `error.code` an answer can have."""

    VALIDATION_ERROR = "VALIDATION_ERROR"
    INVALID_API_KEY = "INVALID_API_KEY"
    API_KEY_REVOKED = "API_KEY_REVOKED"
    API_KEY_EXPIRED = "API_KEY_EXPIRED"
    INVALID_SIGNATURE = "INVALID_SIGNATURE"
    INSUFFICIENT_CREDITS = "INSUFFICIENT_CREDITS"
    STORE_SUSPENDED = "STORE_SUSPENDED"
    DOMAIN_MISMATCH = "DOMAIN_MISMATCH"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    HOLD_ENDED = "HOLD_ENDED"
    USER_ERASED = "USER_ERASED"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    CAPTURE_EXCEEDS_HOLD = "CAPTURE_EXCEEDS_HOLD"
    REFUND_EXCEEDS_SPEND = "REFUND_EXCEEDS_SPEND"
    RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpiringView:
    """Credits that can be spent until a moment."""

    amount: int
    """How many credits."""
    expires_at: datetime
    """From then on they are no part of the balance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtendBody:
    """How long a hold is to last."""

    expires_in_seconds: int
    """From now; a hold that lasts longer already stays as it is."""


class FailureCode(StrEnum):
    """
    Why a session failed; its credits were given back.

    MODERATION_BLOCKED: moderation refuses the prompt, the images or what came of them.
    IMAGE_UNREACHABLE: an input image could not be fetched.
    IMAGE_UNREADABLE: an input image is here, and is none that can be used.
    GENERATOR_REJECTED: the generator refuses the request.
    GENERATOR_QUOTA_EXCEEDED: the generator's account has no quota or money left.
    GENERATOR_UNAVAILABLE: the generator was away or busy until the last attempt.
    GENERATOR_TIMEOUT: the generator took too long at the last attempt.
    GENERATION_FAILED: anything else.
    """

    MODERATION_BLOCKED = "MODERATION_BLOCKED"
    IMAGE_UNREACHABLE = "IMAGE_UNREACHABLE"
    IMAGE_UNREADABLE = "IMAGE_UNREADABLE"
    GENERATOR_REJECTED = "GENERATOR_REJECTED"
    GENERATOR_QUOTA_EXCEEDED = "GENERATOR_QUOTA_EXCEEDED"
    GENERATOR_UNAVAILABLE = "GENERATOR_UNAVAILABLE"
    GENERATOR_TIMEOUT = "GENERATOR_TIMEOUT"
    GENERATION_FAILED = "GENERATION_FAILED"


class GenerationCreatedChargedAs(StrEnum):
    """
    `overage`: it was taken from beyond the balance; left out otherwise.
    """

    OVERAGE = "overage"


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationPrice:
    """What a generation costs: `credits`, multiplied by what each of its options says."""

    credits: int
    options: dict[str, dict[str, int]]


class GrantKind(StrEnum):
    """Whether credits were paid for. Of what is alike else, promo is spent first."""

    PAID = "paid"
    PROMO = "promo"


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """The key works."""

    status: str
    """`ok`"""
    store_id: str
    """The store whose key it is."""
    timestamp: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldBody:
    """Credits to set aside."""

    amount: int
    """How many credits."""
    expires_in_seconds: int | None = 600
    """When they go back by themselves, from now; at most a week."""
    description: str | None = None
    """What for, as the ledger shows it."""
    metadata: dict[str, str] | None = None
    """Yours: returned as it was sent."""


class HoldStatus(StrEnum):
    """held -> captured | released | expired; the last three are final."""

    HELD = "held"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldView:
    """One hold. `captured` and `ended_at` are null until it has ended."""

    hold_id: str
    """The hold's id."""
    status: HoldStatus
    request_id: str
    """The request that made it."""
    amount: int
    """How many credits were set aside."""
    captured: int | None
    """How many of them were spent; the others went back."""
    description: str
    metadata: dict[str, str] | None
    """As it was sent."""
    created_at: datetime
    expires_at: datetime
    """When it is over by itself."""
    ended_at: datetime | None
    """When it ended."""


class MovementType(StrEnum):
    """
    Every type of movement of a store's credits.

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


class PlanViewRollover(StrEnum):
    NONE = "none"
    ALL = "all"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanView:
    """
    A subscription on sale: so many credits each month for `amount`.

    `rollover`: how many of a month's credits live on into the next one (`none`, or a number); left
    out where they do not expire.
    """

    plan: str
    credits: int
    amount: int
    overage_unit_amount: int
    rollover: PlanViewRollover | int | None = PlanViewRollover.ALL


class PurchaseType(StrEnum):
    """What a checkout sells."""

    CREDITS = "credits"
    SUBSCRIPTION = "subscription"


@dataclass(frozen=True, kw_only=True, slots=True)
class RefundBody:
    """What to give back of a spend."""

    amount: int | None = None
    """How many credits; left out: all that is left."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RefundMade:
    """A part of a spend was given back, or had been by this very request."""

    request_id: str
    """The request id of the refund."""
    spend_request_id: str
    """The spend that it is of."""
    amount: int
    """How many credits were given back."""
    refundable: int
    """How many of the spend may still be given back."""
    balance: int
    """The credits that there are now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RefundView:
    """A part of a spend that was given back."""

    request_id: str
    """The request id of the refund."""
    amount: int
    """How many credits were given back."""
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseBody:
    """No field at all: a hold is released whole; to keep a part of it, capture that."""


class SessionStatus(StrEnum):
    """queued -> processing -> completed | failed; the last two are final."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class SpendAnswerOutcome(StrEnum):
    """
    `spent`: the credits were taken. `replayed`: this very spend had been made, nothing was taken now. `insufficient`: the credits did not suffice; it may be sent again. `conflict`: the request id is another's; send a new one.
    """

    SPENT = "spent"
    REPLAYED = "replayed"
    INSUFFICIENT = "insufficient"
    CONFLICT = "conflict"


class SpendAnswerChargedAs(StrEnum):
    """
    As of a single spend; null: nothing was taken.
    """

    BALANCE = "balance"
    OVERAGE = "overage"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendAnswer:
    """What became of one spend of a batch."""

    request_id: str
    """The request id of the item."""
    outcome: SpendAnswerOutcome
    """`spent`: the credits were taken. `replayed`: this very spend had been made, nothing was taken now. `insufficient`: the credits did not suffice; it may be sent again. `conflict`: the request id is another's; send a new one."""
    amount: int
    """As it was sent."""
    balance: int
    """The credits that were left after it."""
    charged_as: SpendAnswerChargedAs | None
    """As of a single spend; null: nothing was taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendAnswers:
    """What became of each spend of a batch, in the order in which they were sent."""

    items: list[SpendAnswer]


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendBody:
    """Credits to take."""

    amount: int
    """How many credits."""
    description: str | None = None
    """What for, as the ledger shows it."""
    metadata: dict[str, str] | None = None
    """Yours: returned as it was sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendItem:
    """One spend of a batch; its request id makes it safe to send again."""

    request_id: str
    """Names the spend, as a key of its own would."""
    amount: int
    """How many credits."""
    description: str | None = None
    """What for, as the ledger shows it."""
    metadata: dict[str, str] | None = None
    """Yours: returned as it was sent."""


class SpendMadeChargedAs(StrEnum):
    """
    `overage`: they were taken from beyond the balance.
    """

    BALANCE = "balance"
    OVERAGE = "overage"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendMade:
    """The credits were taken, or had been by this very request."""

    request_id: str
    """The request id: the same one again is the same spend."""
    amount: int
    """How many were taken."""
    balance: int
    """The credits that are left."""
    charged_as: SpendMadeChargedAs
    """`overage`: they were taken from beyond the balance."""


class SpendViewChargedAs(StrEnum):
    """
    `overage`: they were taken from beyond the balance.
    """

    BALANCE = "balance"
    OVERAGE = "overage"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendView:
    """A spend, and what was given back of it."""

    request_id: str
    """The request that made it."""
    amount: int
    """How many credits were taken."""
    charged_as: SpendViewChargedAs
    """`overage`: they were taken from beyond the balance."""
    description: str
    metadata: dict[str, str] | None
    """As it was sent."""
    created_at: datetime
    refunded: int
    """How many credits were given back, by all refunds."""
    refundable: int
    """How many may still be given back."""
    refunds: list[RefundView]
    """Newest first, at most 100; the ledger has all of them."""


class SubscriptionStatus(StrEnum):
    """The states of a subscription (https://developer.paddle.com/build/subscriptions)."""

    ACTIVE = "active"
    TRIALING = "trialing"
    PAST_DUE = "past_due"
    PAUSED = "paused"
    CANCELED = "canceled"


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscriptionView:
    """A subscription of a store."""

    subscription_id: str
    status: SubscriptionStatus
    plan: str
    credits: int
    amount: int
    currency: str
    period_starts_at: datetime | None
    period_ends_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Transaction:
    """One movement of a store's credits."""

    seq: int
    """Its place in the store's ledger: 1, 2, 3 without gaps."""
    type: MovementType
    amount: int
    """How many credits, always above 0: the type gives the sign."""
    balance_after: int
    """The balance after it."""
    request_id: str
    """The request that caused it."""
    session_id: str | None
    """The generation that it was for, if any."""
    description: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TransactionPage:
    """Movements, newest first."""

    items: list[Transaction]
    next_cursor: str | None
    """The `cursor` of the next page; null: there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BalanceView:
    """A store's credits."""

    balance: int
    """The credits that can be spent."""
    total_purchased: int
    """All that ever came in: bought, subscribed, granted."""
    total_spent: int
    """What was spent, less what was refunded."""
    total_clawed_back: int | None = None
    """What was taken back with a payment; left out where nothing was."""
    total_expired: int | None = None
    """What expired before it was spent; left out where nothing did."""
    total_removed: int | None = None
    """What the operator took out; left out where nothing was."""
    held: int | None = None
    """What is set aside by holds, and no part of the balance; left out without."""
    expiring: list[ExpiringView] | None = None
    """What of the balance will expire, the soonest first; left out where nothing will."""
    overage_used: int | None = None
    """What was used beyond the balance and is not billed; left out without."""
    overage_limit: int | None = None
    """How much may be used beyond the balance; left out without overage."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueView:
    """What a store can buy. Amounts are in the currency's smallest unit, before tax."""

    currency: str
    plans: list[PlanView]
    credits: CreditsOnSale
    generation: GenerationPrice


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckoutView:
    """A checkout to pay at. `amount` is in the currency's smallest unit, before tax."""

    checkout_url: str
    transaction_id: str
    purchase_type: PurchaseType
    plan: str
    credits: int
    amount: int
    currency: str
    request_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorBody:
    """The `error` of an answer; further fields stand beside code and message where they help."""

    code: ErrorCode
    message: str
    details: list[dict[str, str]] | None = None
    balance: int | None = None
    required: int | None = None
    buy_url: str | None = None
    status: str | None = None
    captured: int | None = None
    ended_at: datetime | None = None
    held: int | None = None
    refundable: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """One generation session."""

    session_id: str
    status: SessionStatus
    request_id: str
    """The request that created it."""
    result_url: str | None
    """The result image, by a link that expires."""
    error_code: FailureCode | None
    error_message: str | None
    """Why it failed, in words."""
    credits_charged: int
    """What was taken for it."""
    credits_refunded: int
    """What was given back: all of it when it failed."""
    metadata: dict[str, str] | None
    """As it was sent."""
    created_at: datetime
    started_at: datetime | None
    """When the first attempt began."""
    completed_at: datetime | None
    """When it ended, completed or failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationCreated:
    """A generation was queued, or had been by this very request."""

    session_id: str
    """The generation's id, to read it by."""
    status: SessionStatus
    request_id: str
    """The request id: the same one again is the same generation."""
    credits_charged: int
    """What was taken for it; given back if it fails."""
    balance: int
    """The credits that are left."""
    charged_as: GenerationCreatedChargedAs | None = None
    """`overage`: it was taken from beyond the balance; left out otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationPage:
    """Generations, newest first."""

    items: list[Generation]
    next_cursor: str | None
    """The `cursor` of the next page; null: there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GrantView:
    """One addition of credits to a store, and what is left of it."""

    grant_id: int
    """The `seq` of its movement in the ledger."""
    kind: GrantKind
    priority: int
    """The lower number is spent first; 100 unless it was given."""
    amount: int
    """How many credits came in with it."""
    remaining: int
    """How many of them are part of the balance."""
    expires_at: datetime | None
    """From then on they are not; null: never."""
    request_id: str
    """The request that added it."""
    description: str
    created_at: datetime
    type: MovementType


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldExtended:
    """The hold lasts until then."""

    hold_id: str
    """The hold."""
    status: HoldStatus
    expires_at: datetime
    """When it is over unless it is extended again."""
    balance: int
    """The credits that can be spent now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldMade:
    """Credits were set aside, now or by this very request before."""

    hold_id: str
    """The hold's id, to capture or release it by."""
    amount: int
    """How many credits."""
    expires_at: datetime
    """When it is over unless it is extended."""
    balance: int
    """The credits that are left; held ones are none of them."""
    request_id: str
    """The request id: the same one again is the same hold."""
    status: HoldStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldOver:
    """A hold has ended as was asked for, now or by an earlier request for the same."""

    hold_id: str
    """The hold."""
    status: HoldStatus
    amount: int
    """How many credits were held."""
    captured: int
    """How many of them were spent."""
    released: int
    """How many of them went back to the balance."""
    ended_at: datetime
    """When it ended."""
    balance: int
    """The credits that can be spent now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldPage:
    """Holds, newest first."""

    items: list[HoldView]
    next_cursor: str | None
    """The `cursor` of the next page; null: there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendBatch:
    """Spends, done in this order."""

    items: list[SpendItem]
    """The spends, in order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscriptionList:
    """A store's subscriptions, newest first, ended ones included."""

    items: list[SubscriptionView]


@dataclass(frozen=True, kw_only=True, slots=True)
class GrantPage:
    """Grants, in the order in which they are spent."""

    items: list[GrantView]
    next_cursor: str | None
    """The `cursor` of the next page; null: there is none."""
