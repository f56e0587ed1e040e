"""What the API takes and answers. Made by `make clients` from docs/openapi.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from storecredit_client.open_enums import StrEnum


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptView:
    """One attempt at a delivery."""

    attempt: int
    """The first is 1."""
    attempted_at: datetime
    """When it was sent."""
    milliseconds: int
    """How long it took."""
    status_code: int | None
    """What was answered; null: nothing."""
    error: str | None
    """Why it failed, where `status_code` does not say it."""
    answer: str | None
    """The first 500 bytes of the answer."""


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
class CheckpointView:
    """What was signed of all ledgers."""

    number: int
    made_at: datetime
    owners: int
    """How many ledgers are in it."""
    movements: int
    """How many movements they have."""
    ledger: str
    """Which installation's it is: the same in all of them."""
    root: str
    """The root of the tree over all ledgers."""
    log_root: str
    """The root of the tree over all checkpoints before."""
    previous: str
    """The hash of the checkpoint before."""
    key_id: str
    """Which key signed it."""
    body: str
    """What was signed: the same, as text."""
    signature: str
    """Of the body (Ed25519), in hexadecimal digits."""


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
class CreditsAddedData:
    """Credits were added: bought, paid for by a subscription, granted, or moved here. Credits that come back (a refund, the rest of a hold) are not told."""

    amount: int
    """How many were added."""
    type: str
    """How, as the ledger calls it: `purchase`, `subscription`, `grant`, `signup_bonus`, `transfer_in`."""
    kind: str
    """What they are: `paid` or `promo`."""
    expires_at: datetime | None
    """When they expire; null: never."""
    balance: int
    """The credits that were left right after it."""
    request_id: str
    """The request that did it: it names the movement."""
    store_id: str | None = None
    """The store; left out if it is an end user's."""
    user_id: str | None = None
    """The end user; left out if it is a store's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditsAddedEvent:
    """`credits.added`: Credits were added: bought, paid for by a subscription, granted, or moved here. Credits that come back (a refund, the rest of a hold) are not told."""

    type: Literal["credits.added"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: CreditsAddedData


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditsClawedBackData:
    """Credits were taken back because their payment was given back."""

    amount: int
    """How many were taken."""
    balance: int
    """The credits that were left right after it."""
    request_id: str
    """The request that did it: it names the movement."""
    store_id: str | None = None
    """The store; left out if it is an end user's."""
    user_id: str | None = None
    """The end user; left out if it is a store's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditsClawedBackEvent:
    """`credits.clawed_back`: Credits were taken back because their payment was given back."""

    type: Literal["credits.clawed_back"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: CreditsClawedBackData


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditsDepletedData:
    """The balance has fallen to 0; told again only after there were credits."""

    balance: int
    """0."""
    request_id: str
    """The request that did it: it names the movement."""
    store_id: str | None = None
    """The store; left out if it is an end user's."""
    user_id: str | None = None
    """The end user; left out if it is a store's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditsDepletedEvent:
    """`credits.depleted`: The balance has fallen to 0; told again only after there were credits."""

    type: Literal["credits.depleted"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: CreditsDepletedData


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditsExpiringData:
    """Credits will expire within `STORECREDIT_EXPIRING_NOTICE_DAYS` (7); told once per addition. It is looked for every hour, and of what is left then."""

    amount: int
    """How many were left of them when this was told."""
    expires_at: datetime
    """When they expire."""
    store_id: str | None = None
    """The store; left out if it is an end user's."""
    user_id: str | None = None
    """The end user; left out if it is a store's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditsExpiringEvent:
    """`credits.expiring`: Credits will expire within `STORECREDIT_EXPIRING_NOTICE_DAYS` (7); told once per addition. It is looked for every hour, and of what is left then."""

    type: Literal["credits.expiring"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: CreditsExpiringData


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditsLowData:
    """The balance has fallen to the threshold or below it; told by the movement that crossed it. The threshold is the store's own or, unless it has one, a tenth of the last credits added, rounded up. It is told again only after the balance has been above it."""

    balance: int
    """The credits that were left right after it."""
    threshold: int
    """At or below so many credits the balance is low."""
    request_id: str
    """The request that did it: it names the movement."""
    store_id: str | None = None
    """The store; left out if it is an end user's."""
    user_id: str | None = None
    """The end user; left out if it is a store's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditsLowEvent:
    """`credits.low`: The balance has fallen to the threshold or below it; told by the movement that crossed it. The threshold is the store's own or, unless it has one, a tenth of the last credits added, rounded up. It is told again only after the balance has been above it."""

    type: Literal["credits.low"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: CreditsLowData


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


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveriesResent:
    """So many deliveries are pending again."""

    resent: int
    """How many; at most 10,000 at once."""
    next_cursor: str | None
    """Send it as `cursor` to go on with the rest; null: there is none."""


class DeliveryStatus(StrEnum):
    """
    pending -> delivered | failed, and pending again when it is sent anew.

    What happens while an endpoint is disabled has failed from the first, without an attempt.
    """

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryView:
    """One event, and what became of it at this endpoint."""

    event_id: str
    """As it stands in `webhook-id`."""
    type: str
    """The type of the event."""
    created_at: datetime
    """When it happened."""
    status: DeliveryStatus
    """`pending`: it is on its way, or will be tried again at `next_attempt_at`."""
    attempts: int
    """How often it was sent."""
    status_code: int | None
    """What the last attempt was answered; null: nothing, or there was none."""
    error: str | None
    """Why the last attempt failed, where `status_code` does not say it."""
    next_attempt_at: datetime | None
    """When it is tried again; null: at once, or never."""
    ended_at: datetime | None
    """When it was delivered, or given up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierCheckpoint:
    """An earlier checkpoint, and what leads from it to the log that the later one signs."""

    checkpoint: CheckpointView
    path: list[str]
    """That it is in that log: RFC 6962, 2.1.1."""
    consistency: list[str]
    """And all that came before it: RFC 6962, 2.1.2."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointDisabledData:
    """An endpoint was given up and is told nothing any more; the others of its owner hear of it. What it misses is kept for 30 days, and can be resent once it is enabled."""

    endpoint_id: str
    """The endpoint."""
    reason: str
    """`gone`: it answered 410. `failing`: every attempt failed for five days."""
    store_id: str | None = None
    """Whose it is; left out if it is the operator's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointDisabledEvent:
    """`endpoint.disabled`: An endpoint was given up and is told nothing any more; the others of its owner hear of it. What it misses is kept for 30 days, and can be resent once it is enabled."""

    type: Literal["endpoint.disabled"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: EndpointDisabledData


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
    INSUFFICIENT_SCOPE = "INSUFFICIENT_SCOPE"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    HOLD_ENDED = "HOLD_ENDED"
    USER_ERASED = "USER_ERASED"
    NO_SUBSCRIPTION = "NO_SUBSCRIPTION"
    LIMIT_REACHED = "LIMIT_REACHED"
    ENDPOINT_DISABLED = "ENDPOINT_DISABLED"
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


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationCompletedData:
    """A generation has ended and its result is there to be fetched."""

    session_id: str
    """The generation."""
    request_id: str
    """The request that created it."""
    credits_charged: int
    """What it cost."""
    created_at: datetime
    """When it was created."""
    completed_at: datetime
    """When it ended."""
    store_id: str | None = None
    """The store; left out if it is an end user's."""
    user_id: str | None = None
    """The end user; left out if it is a store's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationCompletedEvent:
    """`generation.completed`: A generation has ended and its result is there to be fetched."""

    type: Literal["generation.completed"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: GenerationCompletedData


class GenerationCreatedChargedAs(StrEnum):
    """
    `overage`: it was taken from beyond the balance; left out otherwise.
    """

    OVERAGE = "overage"


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationFailedData:
    """A generation has failed for good; what it cost was given back in the same transaction."""

    session_id: str
    """The generation."""
    request_id: str
    """The request that created it."""
    error_code: str
    """Why, as `error_code` of the generation says it."""
    credits_refunded: int
    """What was given back: all that it cost."""
    created_at: datetime
    """When it was created."""
    completed_at: datetime
    """When it ended."""
    store_id: str | None = None
    """The store; left out if it is an end user's."""
    user_id: str | None = None
    """The end user; left out if it is a store's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationFailedEvent:
    """`generation.failed`: A generation has failed for good; what it cost was given back in the same transaction."""

    type: Literal["generation.failed"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: GenerationFailedData


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


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldExpiredData:
    """A hold's time was over before anybody captured or released it: its credits are back."""

    hold_id: str
    """The hold."""
    amount: int
    """How many credits came back."""
    balance: int
    """The credits that were left right after it."""
    request_id: str
    """The request that made the hold."""
    store_id: str | None = None
    """The store; left out if it is an end user's."""
    user_id: str | None = None
    """The end user; left out if it is a store's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldExpiredEvent:
    """`hold.expired`: A hold's time was over before anybody captured or released it: its credits are back."""

    type: Literal["hold.expired"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: HoldExpiredData


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


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyCreatedData:
    """An API key was made for the store, or takes the place of another (rotation)."""

    store_id: str
    """The store."""
    key_id: str
    """The key; never the key itself."""
    expires_at: datetime | None
    """When it expires; null: never."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyCreatedEvent:
    """`key.created`: An API key was made for the store, or takes the place of another (rotation)."""

    type: Literal["key.created"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: KeyCreatedData


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRevokedData:
    """An API key of the store was revoked and is refused from now on, for ever."""

    store_id: str
    """The store."""
    key_id: str
    """The key; never the key itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRevokedEvent:
    """`key.revoked`: An API key of the store was revoked and is refused from now on, for ever."""

    type: Literal["key.revoked"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: KeyRevokedData


class LedgerStandingOwnerKind(StrEnum):
    STORE = "store"
    USER = "user"


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerStanding:
    """Where a ledger's chain stood, and what leads from there to the root."""

    owner_kind: LedgerStandingOwnerKind
    owner_id: str
    seq: int
    """The last movement that is proven."""
    head: str
    """The hash of it and all before it, as they are exported."""
    kept_head: str
    """Likewise of what is not exported."""
    position: int
    """Its place among the leaves."""
    path: list[str]
    """The siblings up to the root: RFC 6962, 2.1.1."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class OverageBilledData:
    """What was used beyond the balance was closed into a bill, which is charged next."""

    store_id: str
    """The store."""
    credits: int
    """How many credits are on the bill."""
    request_id: str
    """Names the bill in the ledger."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OverageBilledEvent:
    """`overage.billed`: What was used beyond the balance was closed into a bill, which is charged next."""

    type: Literal["overage.billed"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: OverageBilledData


@dataclass(frozen=True, kw_only=True, slots=True)
class OverageLimitReachedData:
    """All that the store may use beyond its balance is used. More goes once it has bought credits, or the overage is billed."""

    store_id: str
    """The store."""
    overage_used: int
    """How many were used and are not billed yet."""
    overage_limit: int
    """How many the store may use."""
    request_id: str
    """The request that did it: it names the movement."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OverageLimitReachedEvent:
    """`overage.limit_reached`: All that the store may use beyond its balance is used. More goes once it has bought credits, or the overage is billed."""

    type: Literal["overage.limit_reached"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: OverageLimitReachedData


@dataclass(frozen=True, kw_only=True, slots=True)
class OverageStartedData:
    """The first credits beyond the balance were used since the last bill."""

    store_id: str
    """The store."""
    overage_used: int
    """How many were used and are not billed yet."""
    overage_limit: int
    """How many the store may use."""
    request_id: str
    """The request that did it: it names the movement."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OverageStartedEvent:
    """`overage.started`: The first credits beyond the balance were used since the last bill."""

    type: Literal["overage.started"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: OverageStartedData


class PauseReason(StrEnum):
    """Why it does not although it was switched on."""

    DECLINED = "declined"
    NO_SUBSCRIPTION = "no_subscription"


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


@dataclass(frozen=True, kw_only=True, slots=True)
class PortalSessionBody:
    """How long the link can be used, and how long whoever uses it stays signed in."""

    expires_in_seconds: int | None = 300
    sign_in_seconds: int | None = 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class PortalSessionView:
    """A link that signs one browser in to the store's portal."""

    url: str = field(repr=False)
    """Works once. Whoever has it can use it: it is shown this once."""
    expires_at: datetime
    """Until when it can be used."""


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


class ResendBodyStatus(StrEnum):
    """
    Only what has ended so; else both.
    """

    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class ResendBody:
    """What to send again."""

    since: datetime
    """What has happened since then."""
    status: ResendBodyStatus | None = None
    """Only what has ended so; else both."""
    cursor: str | None = None
    """`next_cursor` of the answer before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RotateSecretBody:
    """How long the replaced secret signs along."""

    overlap_seconds: int | None = 86400
    """How long deliveries are signed with the secrets before it, too; a day unless given, 30 at most. 0: no longer."""


class SecretRotatedStatus(StrEnum):
    """
    Whether events are sent to it.
    """

    ENABLED = "enabled"
    DISABLED = "disabled"


class SecretRotatedDisabledReason(StrEnum):
    """
    `requested`: somebody asked for it. `gone`: it answered 410. `failing`: every attempt failed for five days.
    """

    REQUESTED = "requested"
    GONE = "gone"
    FAILING = "failing"


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretRotated:
    """An endpoint and its new secret, shown this once."""

    endpoint_id: str
    """The endpoint's id."""
    store_id: str | None
    """The store whose events it is told; null: all owners'."""
    url: str
    """Where events are posted to."""
    event_types: list[str]
    """The types of event it is told; `*`: all of them."""
    description: str
    ordered: bool
    """One event after the other, in the order in which they happened: one that cannot be delivered holds up the rest."""
    status: SecretRotatedStatus
    """Whether events are sent to it."""
    disabled_reason: SecretRotatedDisabledReason | None
    """`requested`: somebody asked for it. `gone`: it answered 410. `failing`: every attempt failed for five days."""
    disabled_at: datetime | None
    """Since when nothing is sent to it."""
    failing_since: datetime | None
    """Since when every attempt has failed; null: the last one did not."""
    created_at: datetime
    updated_at: datetime
    """When its owner changed it last."""
    secret: str = field(repr=False)
    """What its deliveries are signed with."""
    previous_expires_at: datetime | None
    """Until when deliveries are signed with the secrets before it, too."""


class SessionStatus(StrEnum):
    """queued -> processing -> completed | failed; the last two are final."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedCheckpoint:
    """A checkpoint, and the public key that signed it."""

    number: int
    made_at: datetime
    owners: int
    """How many ledgers are in it."""
    movements: int
    """How many movements they have."""
    ledger: str
    """Which installation's it is: the same in all of them."""
    root: str
    """The root of the tree over all ledgers."""
    log_root: str
    """The root of the tree over all checkpoints before."""
    previous: str
    """The hash of the checkpoint before."""
    key_id: str
    """Which key signed it."""
    body: str
    """What was signed: the same, as text."""
    signature: str
    """Of the body (Ed25519), in hexadecimal digits."""
    public_key: str | None
    """In hexadecimal digits; believe it only from elsewhere, too."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreSuspendedData:
    """The operator has suspended the store: its keys are refused until it is active again."""

    store_id: str
    """The store."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreSuspendedEvent:
    """`store.suspended`: The operator has suspended the store: its keys are refused until it is active again."""

    type: Literal["store.suspended"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: StoreSuspendedData


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
class TopUpBody:
    """At a balance of `threshold` or below, `credits` are bought, so often at most."""

    threshold: int
    credits: int
    max_per_day: int | None = 1
    max_per_month: int | None = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class TopUpFailedData:
    """The store buys no credits by itself any more: its auto top-up is paused. It goes on when somebody switches it on again; after a decline also when the means of payment of the subscription was replaced. One that went well is told as `credits.added`."""

    store_id: str
    """The store."""
    reason: str
    """`declined`: the means of payment was, and nothing was charged. `no_subscription`: the store has no subscription any more."""
    request_id: str | None
    """Names the top-up that was declined; else null."""
    credits: int | None
    """How many it was to add; else null."""
    amount: int | None
    """For how much, in the currency's smallest unit, before tax; else null."""
    currency: str | None
    """In which currency; else null."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TopUpFailedEvent:
    """`top_up.failed`: The store buys no credits by itself any more: its auto top-up is paused. It goes on when somebody switches it on again; after a decline also when the means of payment of the subscription was replaced. One that went well is told as `credits.added`."""

    type: Literal["top_up.failed"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: TopUpFailedData


class TopUpStatus(StrEnum):
    """Whether a store buys by itself."""

    OFF = "off"
    ON = "on"
    PAUSED = "paused"


@dataclass(frozen=True, kw_only=True, slots=True)
class TopUpView:
    """A store's auto top-up. Days and months are those of UTC."""

    status: TopUpStatus
    pause_reason: PauseReason | None
    """`declined`: the means of payment was; `no_subscription`: the store has none any more."""
    threshold: int | None
    credits: int | None
    max_per_day: int | None
    max_per_month: int | None
    amount: int | None
    """What one costs today, in the currency's smallest unit, before tax."""
    currency: str
    bought_today: int
    bought_this_month: int
    under_way: bool
    updated_at: datetime | None


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
class WebhookBody:
    """A webhook endpoint to register."""

    url: str
    """Where events are posted to: https, and no private address."""
    event_types: list[str] | None = None
    """The types of event to be told; `*`: all that there are, and will be."""
    description: str | None = ""
    """What it is for."""
    ordered: bool | None = False
    """One event after the other, in the order in which they happened: one that cannot be delivered holds up the rest."""


WebhookChangeUrl: TypeAlias = str
"""Where events are posted to: https, and no private address."""


WebhookChangeEventTypes: TypeAlias = list[str]
"""The types of event to be told; `*`: all that there are, and will be."""


WebhookChangeDescription: TypeAlias = str
"""What it is for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookChange:
    """What to change of an endpoint; what is left out stays. The types are the whole new list."""

    url: WebhookChangeUrl | None = None
    """Where events are posted to: https, and no private address."""
    event_types: WebhookChangeEventTypes | None = None
    """The types of event to be told; `*`: all that there are, and will be."""
    description: WebhookChangeDescription | None = None
    """What it is for."""
    ordered: bool | None = None
    """One event after the other, in the order in which they happened: one that cannot be delivered holds up the rest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookDeleted:
    """The endpoint is no more."""

    endpoint_id: str
    """The endpoint."""
    deleted: bool
    """It is."""


class WebhookIssuedStatus(StrEnum):
    """
    Whether events are sent to it.
    """

    ENABLED = "enabled"
    DISABLED = "disabled"


class WebhookIssuedDisabledReason(StrEnum):
    """
    `requested`: somebody asked for it. `gone`: it answered 410. `failing`: every attempt failed for five days.
    """

    REQUESTED = "requested"
    GONE = "gone"
    FAILING = "failing"


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookIssued:
    """An endpoint and its new secret, shown this once."""

    endpoint_id: str
    """The endpoint's id."""
    store_id: str | None
    """The store whose events it is told; null: all owners'."""
    url: str
    """Where events are posted to."""
    event_types: list[str]
    """The types of event it is told; `*`: all of them."""
    description: str
    ordered: bool
    """One event after the other, in the order in which they happened: one that cannot be delivered holds up the rest."""
    status: WebhookIssuedStatus
    """Whether events are sent to it."""
    disabled_reason: WebhookIssuedDisabledReason | None
    """`requested`: somebody asked for it. `gone`: it answered 410. `failing`: every attempt failed for five days."""
    disabled_at: datetime | None
    """Since when nothing is sent to it."""
    failing_since: datetime | None
    """Since when every attempt has failed; null: the last one did not."""
    created_at: datetime
    updated_at: datetime
    """When its owner changed it last."""
    secret: str = field(repr=False)
    """What its deliveries are signed with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookTestData:
    """Somebody asked for a test of this endpoint; nothing else has happened."""

    endpoint_id: str
    """The endpoint that is tested."""
    store_id: str | None = None
    """Whose it is; left out if it is the operator's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookTestEvent:
    """`webhook.test`: Somebody asked for a test of this endpoint; nothing else has happened."""

    type: Literal["webhook.test"]
    version: Literal[1]
    """Of the form of all events; it changes only if what is here does."""
    timestamp: datetime
    """When it happened."""
    data: WebhookTestData


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookTested:
    """The endpoint is being told of a `webhook.test` event."""

    event_id: str
    """The event: its delivery says what came of it."""


class WebhookViewStatus(StrEnum):
    """
    Whether events are sent to it.
    """

    ENABLED = "enabled"
    DISABLED = "disabled"


class WebhookViewDisabledReason(StrEnum):
    """
    `requested`: somebody asked for it. `gone`: it answered 410. `failing`: every attempt failed for five days.
    """

    REQUESTED = "requested"
    GONE = "gone"
    FAILING = "failing"


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookView:
    """A webhook endpoint; its secret is never shown again."""

    endpoint_id: str
    """The endpoint's id."""
    store_id: str | None
    """The store whose events it is told; null: all owners'."""
    url: str
    """Where events are posted to."""
    event_types: list[str]
    """The types of event it is told; `*`: all of them."""
    description: str
    ordered: bool
    """One event after the other, in the order in which they happened: one that cannot be delivered holds up the rest."""
    status: WebhookViewStatus
    """Whether events are sent to it."""
    disabled_reason: WebhookViewDisabledReason | None
    """`requested`: somebody asked for it. `gone`: it answered 410. `failing`: every attempt failed for five days."""
    disabled_at: datetime | None
    """Since when nothing is sent to it."""
    failing_since: datetime | None
    """Since when every attempt has failed; null: the last one did not."""
    created_at: datetime
    updated_at: datetime
    """When its owner changed it last."""


WebhookEvent: TypeAlias = GenerationCompletedEvent | GenerationFailedEvent | CreditsLowEvent | CreditsDepletedEvent | CreditsAddedEvent | CreditsExpiringEvent | CreditsClawedBackEvent | HoldExpiredEvent | OverageStartedEvent | OverageLimitReachedEvent | OverageBilledEvent | TopUpFailedEvent | StoreSuspendedEvent | KeyCreatedEvent | KeyRevokedEvent | EndpointDisabledEvent | WebhookTestEvent
"""What an endpoint of a store's may be told."""


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
class DeliveryAttempts:
    """One event, what became of it at this endpoint, and each attempt."""

    event_id: str
    """As it stands in `webhook-id`."""
    type: str
    """The type of the event."""
    created_at: datetime
    """When it happened."""
    status: DeliveryStatus
    """`pending`: it is on its way, or will be tried again at `next_attempt_at`."""
    attempts: int
    """How often it was sent."""
    status_code: int | None
    """What the last attempt was answered; null: nothing, or there was none."""
    error: str | None
    """Why the last attempt failed, where `status_code` does not say it."""
    next_attempt_at: datetime | None
    """When it is tried again; null: at once, or never."""
    ended_at: datetime | None
    """When it was delivered, or given up."""
    body: str
    """What is sent, the same at every attempt."""
    attempted: list[AttemptView]
    """Newest first, at most 100."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryPageView:
    """Deliveries, newest event first."""

    items: list[DeliveryView]
    next_cursor: str | None
    """The `cursor` of the next page; null: there is none."""


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
    generation: Generation | None = None
    """Of an answer that waited (`Prefer: wait`): the generation as it is by now."""


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
class LedgerProof:
    """What shows that an exported ledger is what was signed."""

    checkpoint: SignedCheckpoint
    since: EarlierCheckpoint | None
    ledger_proof: LedgerStanding


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
class WebhookList:
    """Webhook endpoints, newest first."""

    items: list[WebhookView]


@dataclass(frozen=True, kw_only=True, slots=True)
class GrantPage:
    """Grants, in the order in which they are spent."""

    items: list[GrantView]
    next_cursor: str | None
    """The `cursor` of the next page; null: there is none."""
